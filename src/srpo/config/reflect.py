"""Settings of `srpo reflect` (stage 1a; paper section 3.2): from problems to verified, balanced reflection data.

teacher: scripted                                       # short form
teacher: {model: local:checkpoints/large, temperature: 0.7, retries: 2}
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from srpo.config.data import SourceConfig
from srpo.core.prompts import PromptName
from srpo.core.records import Record, Sampling

LOCAL = "local:"
"""A teacher with this beginning is a checkpoint directory."""


class TeacherConfig(Record):
    """Who writes reflection and second attempt."""

    model: str = "scripted"
    """`scripted`: knows the solution steps of drawn problems; `policy`: the model itself; `local:<checkpoint>`."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """0 is greedy, and then a retry differs by the reason fed back alone."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest reply."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a rejected reply is asked for again, with the reason."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in {"scripted", "policy"} and len(value.removeprefix(LOCAL)) in {0, len(value)}:
            raise ValueError(f"unknown teacher {value!r}; use scripted, policy, or {LOCAL}<checkpoint directory>")
        return value


class ReflectConfig(Record):
    """Sample first attempts, let a teacher reflect upon them, keep what is verified and balanced."""

    model: str
    """Checkpoint directory of the policy whose first attempts are reflected upon."""
    data: SourceConfig
    """Problems with gold answers."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use the first so many usable problems only."""
    teacher: TeacherConfig = TeacherConfig()
    """Who writes reflection and second attempt."""
    prompt: PromptName = "single"
    """Prompt for the first attempts; `bare` for models that were trained on bare questions, as the tiny one."""
    num_samples: Annotated[int, Field(ge=1)] = 4
    """First attempts per problem."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Of the first attempts."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest first attempt."""
    seed: int = 0
    """Seed of sampling and selection."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Problems per batch; the run is saved after each."""
    wrong_share: Annotated[float, Field(ge=0, le=1)] | None = 0.7
    """Share of kept traces whose first attempt is wrong (the paper: about 0.7); null keeps all that pass."""
    max_count: Annotated[int, Field(ge=1)] | None = None
    """Keep at most so many traces; None keeps as many as the ratio allows."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Scale larger pictures down to this area before the model's own processor sees them."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    device: str = "cpu"
    """Torch device, e.g. `cuda:0`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights."""

    @property
    def sampling(self) -> Sampling:
        """How first attempts are sampled."""
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=self.seed)
