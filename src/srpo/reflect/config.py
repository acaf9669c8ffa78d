"""Settings of `srpo reflect` (stage 1a; paper section 3.2): from problems to verified, balanced reflection data.

teacher: scripted                                       # short form
teacher: {model: local:checkpoints/large, temperature: 0.7, retries: 2}
teacher: {model: {model: gpt-5.1, concurrency: 64}}     # any OpenAI-compatible server, see models/config.py
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from srpo.core.prompts import Form, PromptName
from srpo.core.records import Record, Sampling
from srpo.core.selection import Balance
from srpo.data.config import SourceConfig
from srpo.models.config import BudgetConfig, Engine, Model, RayConfig, ServerConfig, check_local
from srpo.policy.precision import Attention, AutoDtype


class TeacherConfig(Record):
    """Who writes reflection and second attempt."""

    short_form: ClassVar = "scripted, policy or local:<checkpoint>"

    model: Model = "scripted"
    """`scripted`: knows the solution steps of drawn problems; `policy`: the model itself; `local:<checkpoint>`; or a
    server (`{model: NAME, base_url: ...}`)."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """0 is greedy, and then a retry differs by the reason fed back alone."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest reply."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a rejected reply is asked for again, with the reason."""
    careless: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of lessons that `scripted` gives without a look at the picture: real teachers do so at times, and no rule
    can tell such lessons from the others."""

    @model_validator(mode="after")
    def _who_is_careless(self) -> Self:
        if self.careless and self.model != "scripted":
            raise ValueError(f"careless {self.careless} is a setting of the scripted teacher, not of {self.model!r}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _known(cls, value: str | ServerConfig) -> str | ServerConfig:
        if isinstance(value, str) and value not in {"scripted", "policy"}:
            check_local(value, "teacher", "scripted, policy")
        return value


class JudgeConfig(Record):
    """A second model that gives each reflection 0 to 5 points."""

    model: Model
    """A server (`{model: NAME, base_url: ...}`), `policy`, or `local:<checkpoint>`."""
    min_score: Annotated[int, Field(ge=1, le=5)] = 3
    """Fewer points send the reply back to the teacher with the judge's reason."""
    max_tokens: Annotated[int, Field(ge=1)] = 200
    """Longest judgement."""

    @field_validator("model")
    @classmethod
    def _known(cls, value: str | ServerConfig) -> str | ServerConfig:
        if isinstance(value, str) and value != "policy":
            check_local(value, "judge", "policy")
        return value


class ReflectConfig(Record):
    """Sample first attempts, let a teacher reflect upon them, keep what is verified and balanced."""

    model: Model
    """Checkpoint directory of the policy whose first attempts are reflected upon, or a server that has it."""
    data: SourceConfig
    """Problems with gold answers."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use the first so many usable problems only."""
    keep_near_duplicates: bool = False
    """Keep problems whose question and pictures read and look like those of an earlier one."""
    benchmarks: tuple[str, ...] = ()
    """Files or folders of benchmarks; problems that share a question or a picture with them are left out."""
    teacher: TeacherConfig = TeacherConfig()
    """Who writes reflection and second attempt."""

    short_form: ClassVar = "scripted, policy or local:<checkpoint>"
    form: Form = "full"
    """`full`: the teacher writes reflection, second think and second answer; `paper`: the reflection alone, and the
    second attempt is the bare gold answer."""
    captions: Literal["off", "problem", "policy"] = "off"
    """Words in place of pictures for a text-only teacher: `problem` takes the data's own, `policy` lets the policy
    describe pictures that have none."""
    caption_tokens: Annotated[int, Field(ge=1)] = 400
    """Longest description that the policy may write."""
    judge: JudgeConfig | None = None
    """A second opinion on every reply that passed the checks."""
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
    caps: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Keep at most so many traces of a source: the problem's family, or its data file where it has none; `*` stands for
    every source that is not named."""
    balance: Balance = "none"
    """`family`: as many traces of every family, `difficulty`: of every difficulty for the policy; `wrong_share` is then
    held in each by itself, as far as it can be, so that the cold start does not unlearn what the policy is good at."""
    budget: BudgetConfig = BudgetConfig()
    """How much money the run may spend."""
    engine: Engine = "local"
    """Where pictures are read, requests built and answers graded: `local` in this process, `ray` by workers on a Ray
    cluster, for models behind servers; what comes out is the same."""
    ray: RayConfig = RayConfig()
    """Which cluster."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Scale larger pictures down to this area before a local model's own processor sees them."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    rounded: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Relative tolerance for decimals that answer an exact gold: 0.01 lets 8.66 answer 5√3."""
    device: str = "auto"
    """Torch device, e.g. `cuda:0`; `auto` takes a GPU where there is one."""
    dtype: AutoDtype = "auto"
    """Type of the weights; `auto` is bfloat16 on a GPU that has it, and float32 elsewhere."""
    attention: Attention = "auto"
    """Kernel of the vision tower's attention: `sdpa` is torch's own, `flash_attention_2` needs flash-attn and a GPU,
    `auto` takes it where it can run. The language model's is torch's own."""

    @model_validator(mode="after")
    def _eyes(self) -> Self:
        """A teacher that reads instead of seeing needs something to read."""
        model = self.teacher.model
        if isinstance(model, ServerConfig) and not model.sends_images and self.captions == "off":
            raise ValueError(
                "teacher.model.sends_images is false, so the teacher would not know the pictures; set captions to "
                "problem (the data's own) or policy (the policy describes them)"
            )
        return self

    @property
    def sampling(self) -> Sampling:
        """How first attempts are sampled."""
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=self.seed)

    @property
    def servers(self) -> tuple[ServerConfig, ...]:
        """The servers that the run asks, each once: policy, teacher, judge."""
        found: list[ServerConfig] = []
        for model in (self.model, self.teacher.model, self.judge.model if self.judge else ""):
            if isinstance(model, ServerConfig) and model not in found:
                found.append(model)
        return tuple(found)
