"""Settings of `srpo eval`: a checkpoint on a set of problems."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from srpo.config.data import SourceConfig
from srpo.core.prompts import PromptName
from srpo.core.records import Record, Sampling, Style


class EvalConfig(Record):
    """Answer problems with a checkpoint and grade the first and the final answer."""

    model: str
    """Checkpoint directory."""
    data: SourceConfig
    """Problems to answer."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Answer the first so many usable problems only."""
    name: str = ""
    """Name of the row in tables; empty means the checkpoint's."""
    style: Style = "reflective"
    """`reflective`: five blocks, both answers are graded; `single`: one attempt, also for plain models."""
    prompt: PromptName = "reflective"
    """Prompt around the question; `bare` for models that were trained on bare questions, as the tiny one."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Responses per problem."""
    majority: bool = False
    """Also report the accuracy of the most frequent final answer among the `num_samples`."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the probability that is sampled from."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest response; what runs into it is counted as truncated."""
    seed: int = 0
    """Seed of the sampling."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Problems per batch. Another batch size draws other samples (greedy responses stay the same)."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Scale larger pictures down to this area before the model's own processor sees them."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    device: str = "cpu"
    """Torch device, e.g. `cuda:0`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights."""

    @model_validator(mode="after")
    def _several_samples_differ(self) -> "EvalConfig":
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError(f"num_samples {self.num_samples} at temperature 0 are all the same; give temperature 1.0")
        if self.majority and self.num_samples < 2:
            raise ValueError("majority: a vote needs num_samples of 2 or more")
        return self

    @property
    def sampling(self) -> Sampling:
        """How responses are sampled."""
        return Sampling(temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens, seed=self.seed)
