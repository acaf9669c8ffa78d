"""Where weights are trained: in this process, or by an engine on many GPUs (docs/clusters.md)."""

import os
import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from srpo.core.records import Record

VERL_PYTHON_VARIABLE = "SRPO_VERL_PYTHON"
ENGINE_MAY_CHANGE = tuple(
    f"engine.{name}"
    for name in ("python", "address", "environment", "tensor_parallel", "offload", "gpu_memory", "tokens_per_gpu",
                 "workers")
)  # fmt: skip
"""Settings that decide where and how fast a run learns, not what: a stopped run may go on with others. The number of
GPUs is not among them, for each has its own file in verl's checkpoints."""


class EngineConfig(Record):
    """An engine that trains on many GPUs; the name alone, or its settings."""

    short_form: ClassVar = "verl"
    named_by: ClassVar = "kind"
    """The field that a flag with the name alone sets."""

    kind: Literal["verl"] = "verl"
    """`verl` 0.9.1 (FSDP2, Ray, vLLM), in an environment of its own: `srpo engines install verl`."""
    nodes: int = Field(default=1, ge=1)
    """Machines."""
    gpus: int = Field(default=8, ge=1)
    """GPUs of each machine."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one copy of the model while sampling."""
    sequence_parallel: int = Field(default=1, ge=1)
    """GPUs that share a response while learning (Ulysses), for very long ones."""
    offload: bool = False
    """Keep weights and moments in the machine's memory while they are not in use."""
    gpu_memory: float = Field(default=0.5, gt=0, lt=1)
    """Share of a GPU's memory that the sampler may fill."""
    tokens_per_gpu: int | None = Field(default=None, ge=1)
    """Tokens of prompts and responses that a GPU learns from at once; null takes those of two of the longest."""
    sampler: Literal["vllm", "sglang"] = "vllm"
    """What samples."""
    workers: int = Field(default=8, ge=1)
    """Processes of each kind that read pictures, drive the sampler, and pay rewards."""
    python: str = ""
    """Interpreter that has the engine, under the same path on every machine; empty means $SRPO_VERL_PYTHON, or the one
    of `srpo engines install verl`."""
    address: str = ""
    """Address of a Ray cluster's dashboard, such as `http://head:8265`, to which the run is submitted as a job; empty
    starts Ray on this machine. The cluster must see the run directory under the same path."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Further variables of the engine's environment, such as `NCCL_SOCKET_IFNAME: eth0`."""
    overrides: tuple[str, ...] = ()
    """Further settings in the engine's own words, behind ours: `trainer.balance_batch=False`."""

    @property
    def num_gpus(self) -> int:
        """GPUs of all machines."""
        return self.nodes * self.gpus

    @property
    def interpreter(self) -> str | None:
        """The python that has the engine; None where none is named and none was installed."""
        named = self.python or os.environ.get(VERL_PYTHON_VARIABLE, "")
        if named:
            return named
        return str(installed) if (installed := default_python(self.kind)).is_file() else None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("tensor_parallel", "sequence_parallel"):
            if self.num_gpus % (shared := getattr(self, name)):
                raise ValueError(f"{name} {shared} does not divide {self.num_gpus} GPUs")
        if self.tensor_parallel > self.gpus:
            raise ValueError(f"tensor_parallel {self.tensor_parallel} is more than the {self.gpus} GPUs of a machine")
        for one in self.overrides:
            if not re.match(r"[+~]{0,2}[\w.@/]+(=|$)", one):
                raise ValueError(f"overrides: {one!r} is no setting; they look like trainer.balance_batch=False")
        if self.address and not self.address.startswith(("http://", "https://")):
            raise ValueError(f"address {self.address!r} is no address; it looks like http://head:8265")
        return self


def engines_home() -> Path:
    """Where engines are installed unless one says where."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "srpo" / "engines"


def default_python(kind: str) -> Path:
    """The interpreter of an engine that was installed there."""
    return engines_home() / kind / "bin" / "python"
