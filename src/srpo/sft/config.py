"""Settings of `srpo sft`, the cold start (stage 1b; paper section 3.2)."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from srpo.config.fields import Spelling
from srpo.core.prompts import PromptName
from srpo.core.records import Record, Style
from srpo.data.config import SourceConfig
from srpo.policy.config import LoraConfig, OptimConfig, PromptChoice, TrainedDtype
from srpo.policy.engine import EngineConfig
from srpo.policy.precision import Attention
from srpo.runs.best import check_best
from srpo.runs.trackers import TrackerName

SFT_MAY_GROW = ("epochs", "max_steps", "patience")
"""With more of these a run goes on, a finished one too."""
SFT_MAY_CHANGE = ("trackers", "tracker_project", "picture_workers")
"""These decide nothing about what is learned: a stopped run may go on with others."""
FirstAttemptLoss = Literal["all", "right", "none"]


class FirstAnswerCheck(Record):
    """Compare the first answer before and after: does the cold start harm what the model could do?"""

    short_form: ClassVar = "a number of problems"

    problems: int = Field(default=200, ge=1)
    """How many are asked, at most; 200 tell falls of about five points."""
    data: SourceConfig | None = None
    """Problems to ask. None holds back problems of the traces; these lean to what the model was wrong at where the
    traces do, so problems of one's own tell more."""
    prompt: PromptName | None = None
    """Prompt for the start model; None takes the one of the traces' first attempts. The result is asked as trained."""
    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest response."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"problems": value}
        if not isinstance(value, dict | FirstAnswerCheck):
            raise ValueError("give a number of problems, or the fields of a check (problems, data, prompt, ..)")
        return value


class SftConfig(Record):
    """What to train, on which traces, and how."""

    model: str
    """Checkpoint directory to start from."""
    traces: tuple[str, ...] = Field(min_length=1)
    """Run directories of `srpo reflect` (or `traces.jsonl` files) to learn from; order does not matter."""
    style: Style = "reflective"
    """`reflective` learns the five blocks, `single` learns one think and one answer. Traces of the other style are
    left out and counted."""
    prompt: PromptChoice = "reflective"
    """Prompt around the question: a name, or `{file: PATH}` for one of your own. It is saved with the model, and `rl`
    and `eval` take it from there."""
    system: str = ""
    """System turn before the question; empty leaves it to the model's chat template."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Traces whose prompt, pictures included, has more tokens are left out and counted."""
    first_attempt_loss: FirstAttemptLoss = "all"
    """Which first attempts are imitated: `all` is the paper's way and keeps the policy's own distribution of first
    answers; `right` imitates only those that are right, which lifts the first answer; `none` lets the first answer
    rot (measured, and kept as an ablation)."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the traces."""
    batch_size: int = Field(default=32, ge=1)
    """Traces per optimizer step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Traces per forward and backward pass; None takes the whole batch at once. It changes memory, not the result."""
    max_steps: Annotated[int | None, Spelling("max_steps", "limit")] = Field(default=None, ge=1)
    """Stop after this many optimizer steps even if an epoch is not over."""
    max_tokens: int = Field(default=2048, ge=1)
    """Targets with more tokens than this are left out and counted; they are never cut."""
    sort_window: int = Field(default=16, ge=1)
    """Batches are cut from windows of this many batches that are sorted by length inside a shuffled order, so that
    little is padded. 1 is a plain shuffle."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""
    engine: EngineConfig | None = None
    """Who trains: null is this process; `verl` is a cluster (docs/clusters.md)."""
    freeze_vision: bool = True
    """Leave the vision tower as it is, as the paper does."""
    lora: LoraConfig | None = None
    """Train low-rank adapters beside the language model's linear layers in place of its weights; the finished model has
    them merged, and stands beside them in `adapter/`."""
    quantize: Literal["nf4"] | None = None
    """Hold the weights beside the adapters in four bits (QLoRA); needs `lora` and bitsandbytes."""
    recompute: bool | None = None
    """Keep only the input of every layer and compute its inside again in the backward pass: a third more work in a
    tenth of the memory. None does so on a GPU."""
    check_first_answer: FirstAnswerCheck | None = None
    """Ask held-out problems before the first step and after the last one, and warn when the first answer falls by more
    than its 95% interval. None asks nothing."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Optimizer steps between checkpoints from which a stopped run goes on."""
    max_pixels: int | None = Field(default=None, ge=1)
    """Scale pictures of a larger area down to this many pixels; None leaves it to the model's own image processor."""
    prompt_cache: int = Field(default=1024, ge=0)
    """Prompts with their processed pictures that are kept in this machine's memory, 2 GiB of them at most."""
    picture_workers: int = Field(default=0, ge=0)
    """Threads that read and cut pictures one step ahead, while this one is sampled and learned from; 0 does it in line,
    when they are needed. It changes time, not the result."""
    processes: int | None = Field(default=None, ge=1)
    """Processes that train together, on a CPU or with a GPU each: the traces of a step are divided among them, and the
    result is that of one but for rounding. None is one, or as many as a launcher (`torchrun`) started."""
    device: str = "auto"
    """Torch device; `auto` takes a GPU where there is one."""
    dtype: TrainedDtype = "auto"
    """Type of the weights; `auto` is bfloat16 on a GPU that has it. The optimizer keeps float32 masters of them."""
    autocast: Literal["bfloat16"] | None = None
    """Type that forward passes compute in, where it is not that of the weights."""
    attention: Attention = "auto"
    """Kernel of the vision tower's attention: `sdpa` is torch's own, `flash_attention_2` needs flash-attn and a GPU,
    `auto` takes it where it can run. The language model's is torch's own."""
    keep_best: str | None = None
    """Metric by which the best model is kept in `best/`, beside the last one in `model/` (any that
    is logged); with a minus before it, `-sft/loss`, less is better."""
    patience: int | None = Field(default=None, ge=1)
    """The run ends when this many values of `keep_best` in a row were not better than the best one."""
    trackers: tuple[TrackerName, ...] = ()
    """Who else is told, beside `metrics.jsonl`: tensorboard (files in the run directory), wandb, trackio, mlflow. Each
    must be installed; one that fails is told once and never ends the run."""
    tracker_project: str = "srpo"
    """Project or experiment under which trackers file the run."""
    seed: int = 0
    """Seeds the order of the traces."""

    @model_validator(mode="after")
    def _best(self) -> Self:
        check_best(self.keep_best, self.patience)
        return self

    @model_validator(mode="after")
    def _four_bits(self) -> Self:
        if self.quantize is not None and self.lora is None:
            raise ValueError(f"quantize: {self.quantize!r} holds weights that cannot be trained; add a lora block")
        return self

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.processes is None or self.processes == 1:
            return self
        if self.engine is not None:
            raise ValueError(
                f"processes {self.processes} is for training without an engine, which has its own; unset it"
            )
        if self.batch_size < self.processes:
            raise ValueError(f"processes {self.processes} is more than batch_size {self.batch_size}, which they share")
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.style == "single" and self.first_attempt_loss != "all":
            raise ValueError(
                f"first_attempt_loss: {self.first_attempt_loss!r} has no meaning for style 'single', whose only "
                "attempt is the first one; leave it at 'all'"
            )
        return self
