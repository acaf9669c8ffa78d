"""Settings of what samples: the trainer itself, or a vLLM server that follows it (docs/vllm.md)."""

import os
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from srpo.core.records import Record

PYTHON_VARIABLE = "SRPO_VLLM_PYTHON"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SIGN_IN = re.compile(r"\w+://[^/?#]*@")


class SamplerConfig(Record):
    """Where responses come from."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a misplaced key must not come back in a message

    kind: Literal["local", "vllm"] = "local"
    """`local`: the model that is trained, in this process; `vllm`: a vLLM server, to which the weights are handed over
    before every step. All other fields are for `vllm`."""
    python: str = ""
    """A python that has vLLM, by which a server is started; empty means $SRPO_VLLM_PYTHON."""
    arguments: tuple[str, ...] = ()
    """Further words of the server's command line, such as `--max-model-len 8192`."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Further variables of the server's environment, such as `CUDA_VISIBLE_DEVICES: "1,2,3"`."""
    base_url: str = ""
    """Address, up to `/v1`, of a server that runs already; empty starts one here, which ends with the run."""
    model: str = "policy"
    """Name under which a server that runs already knows the model that the run begins with."""
    api_key_env: str = "SRPO_VLLM_API_KEY"
    """Name of the environment variable that holds such a server's key, where it wants one."""
    handover_dir: str | None = None
    """Folder through which weights go to the server, which must see it under the same path; null means /dev/shm, or the
    folder for temporary files."""
    max_mismatch: Annotated[float, Field(gt=0)] = 0.05
    """Largest difference of server and trainer log-probabilities (nats, mean over a step's tokens) with which the run
    goes on."""
    start_s: Annotated[float, Field(gt=0)] = 900.0
    """Seconds until a server that is not healthy is given up."""
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds until a request without an answer is given up: all requests of a step are sent at once."""
    patience_s: Annotated[float, Field(ge=0)] = 300.0
    """Seconds for which requests that fail are sent again, and for which a server that was given by address may be
    away. One that we started is started again as soon as it has ended."""

    @property
    def interpreter(self) -> str:
        """The python that has vLLM.

        Raises:
            ValueError: none is named.
        """
        found = self.python or os.environ.get(PYTHON_VARIABLE, "")
        if not found:
            raise ValueError(
                f"sampler.kind 'vllm' needs a python that has vLLM: set sampler.python or {PYTHON_VARIABLE}, or give a "
                "server's address in sampler.base_url; docs/vllm.md says how to get one"
            )
        return found

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the server can be reached from here alone."""
        return not self.base_url or urlsplit(self.base_url).hostname in LOOPBACK

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is no address; it begins with http:// or https:// and ends with /v1")
        if _SIGN_IN.match(value):
            raise ValueError("base_url holds a name or password, which would end up in the run; use api_key_env")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value.isidentifier():
            raise ValueError("api_key_env must be the name of a variable, such as SRPO_VLLM_API_KEY, and not the key")
        return value

    @model_validator(mode="after")
    def _is_read(self) -> Self:
        unread = self.model_fields_set - {"kind"} if self.kind == "local" else set()
        if self.kind == "vllm" and self.base_url:
            unread = self.model_fields_set & {"python", "arguments", "environment", "start_s"}
        elif self.kind == "vllm":
            unread = self.model_fields_set & {"model", "api_key_env"}
        if unread := {
            name
            for name in unread
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True)
        }:
            when = {"local": "kind: vllm"}.get(self.kind, "servers that we start" if self.base_url else "base_url")
            raise ValueError(f"sampler.{min(unread)} is for {when}, so nothing reads it here; leave it out")
        return self


SAMPLER_MAY_CHANGE = tuple(
    f"sampler.{name}"
    for name in ("python", "arguments", "environment", "base_url", "model", "api_key_env", "handover_dir",
                 "max_mismatch", "start_s", "timeout_s", "patience_s")
)  # fmt: skip
"""Settings that decide how a run gets its samples, not which: a stopped run may go on with others."""
