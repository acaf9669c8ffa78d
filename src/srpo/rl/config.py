"""Settings of `srpo rl`, reflection-aware GRPO (stage 2; paper section 3.3)."""

import functools
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from srpo.config.fields import Spelling
from srpo.core.advantages import Credit
from srpo.core.records import Record, Style
from srpo.core.rewards import Preset, weights_of
from srpo.data.config import SourceConfig
from srpo.policy.config import LoraConfig, OptimConfig, PromptChoice, TrainedDtype
from srpo.policy.engine import EngineConfig
from srpo.policy.precision import Attention
from srpo.rl.alarms import AlarmConfig
from srpo.rl.vllm.config import SamplerConfig
from srpo.runs.best import check_best
from srpo.runs.progress import note
from srpo.runs.trackers import TrackerName

RL_MAY_GROW = ("steps", "token_budget", "patience")
"""With more of these a run goes on, a finished one too."""
RL_MAY_CHANGE = ("alarms", "trackers", "tracker_project", "cards_every", "picture_workers")
"""These decide nothing about what is learned: a stopped run may go on with others."""
LossVariant = Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo"]
OnlineFilter = Literal["off", "final", "outcome"]

_OLD_PRESETS: dict[object, Preset] = {"grpo": "answer", "final": "answer"}
_IMPORTANCE_CAP = 2.0
_OPTIM = {"lr": 1e-6, "schedule": "constant", "warmup_steps": 5}


class LossConfig(Record):
    """The policy-gradient loss (paper eq. 9-10 and its published variants)."""

    variant: LossVariant = "grpo"
    """`grpo`: mean over each response, then over responses (the paper); `dr_grpo`: no division by length; `dapo`:
    mean over all tokens; `gspo`: one importance ratio per response; `cispo`: the clipped ratio is a weight, and no
    token loses its gradient."""
    clip_low: float = Field(default=0.2, ge=0, le=1)
    """The ratio is clipped from below at 1 - clip_low; 1 sets no bound, as CISPO's authors do."""
    clip_high: float = Field(default=0.2, ge=0)
    """The ratio is clipped from above at 1 + clip_high; 0.28 is DAPO's clip-higher."""
    kl_coef: float = Field(default=0.0, ge=0)
    """Weight of the k3 estimate of the KL divergence to the start model. Above 0 a frozen second copy is loaded."""
    kl_on: Literal["all", "first"] = "all"
    """Tokens that pay for it: all, or those of the first attempt alone, so that reflection may move freely while the
    first answer stays what it was."""
    importance_cap: float | None = Field(default=None, ge=1)
    """Truncated importance sampling, for samplers that are another program than the trainer: every token is weighted by
    its probability under the trainer over that under the sampler, at most by this (2 is usual); null weights none."""
    inner_epochs: int = Field(default=1, ge=1)
    """Passes over each rollout."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass. With one pass and one minibatch every step is exactly on-policy."""


class RlEvalConfig(Record):
    """A small held-out evaluation inside the training run."""

    data: SourceConfig
    """Problems that are not trained on."""
    every: int = Field(default=20, ge=1)
    """Optimizer steps between evaluations; the first comes before the first step."""
    num_samples: int = Field(default=1, ge=1)
    """Responses per problem, at the temperature of the rollout."""


class RlConfig(Record):
    """What to train, on which problems, with which reward, and for how long."""

    model: str
    """Checkpoint directory to start from: the result of `srpo sft`."""
    data: SourceConfig
    """Problems to train on."""
    style: Style = "reflective"
    """`reflective` for the five blocks, `single` for plain GRPO on one attempt."""
    prompt: PromptChoice | None = None
    """Prompt around the question: a name, or `{file: PATH}` for one of your own; null takes the one that `sft` trained
    the model with, and `reflective` where none is saved in it."""
    system: str = ""
    """System turn before the question; empty takes the one that `sft` trained the model with, if any."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Problems whose prompt, pictures included, has more tokens are left out, and counted in `rejected.jsonl`."""
    preset: Preset = "paper"
    """Reward: `paper` (eq. 4-8), `release-openrlhf` (the released code's ordering), `answer` (format and final answer:
    plain GRPO with style `single`; with style `reflective` five blocks, paid by their last answer alone)."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weights of reward terms that are to differ from the preset's, e.g. `{effect: 0}`: a term of weight 0 is logged
    and pays nothing."""
    length_floor: int = Field(default=0, ge=0)
    """Least target of the length term, in tokens, for twice a short guess is too short for looking again; the paper has
    none."""
    reward: str | None = None
    """`module:function` that pays in place of the preset (see `rl/reward.py`)."""
    credit: Credit = "total"
    """`total` gives every token the advantage of the whole reward (the paper); `segment` credits the first attempt's
    tokens by the first answer, and reflection and second attempt by what they changed."""
    sampler: SamplerConfig = SamplerConfig()
    """Where responses come from."""
    engine: EngineConfig | None = None
    """Who trains: null is this process; `verl` is a cluster (docs/clusters.md). The engine brings its own sampler."""
    loss: LossConfig = Field(default=LossConfig(), validate_default=True)
    """Policy-gradient loss. With `sampler.kind: vllm`, or an engine, its importance_cap is 2 unless one is given."""
    optim: OptimConfig = OptimConfig.model_validate(_OPTIM)
    """Optimizer and schedule."""
    num_prompts: int = Field(default=16, ge=1)
    """Problems per step (groups)."""
    group_size: int = Field(default=8, ge=2)
    """Responses per problem, G."""
    steps: Annotated[int | None, Spelling("steps", "limit")] = Field(default=None, ge=1)
    """Stop after this many steps."""
    token_budget: int | None = Field(default=None, ge=1)
    """Stop when this many tokens have been generated, dropped groups included: for comparisons at equal tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the rollout; the trainer's log-probabilities use the same."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest response; a longer one is cut and counted as truncated."""
    online_filter: OnlineFilter = "final"
    """Which groups are left out of the loss besides those whose rewards are all equal. `final`: those whose share of
    right final answers is not between `filter_low` and `filter_high`, all right and all wrong included; `outcome`:
    those whose responses agree in format, first and final correctness, so that only their length differs; `off`:
    none."""
    filter_low: float = Field(default=0.0, ge=0, le=1)
    """Groups with a share of right final answers at or below this are left out by filter `final`."""
    filter_high: float = Field(default=1.0, ge=0, le=1)
    """Groups with a share of right final answers at or above this are left out by filter `final`."""
    max_refills: int = Field(default=1, ge=0)
    """How often a step may draw fresh problems in place of the groups that were left out."""
    roll_ins: float = Field(default=0.0, ge=0, le=1)
    """Groups that go on from a wrong first attempt of another group, as a share of `num_prompts`: what is given carries
    no loss, reflection and second attempt are sampled from it. They come on top of `num_prompts`."""
    roll_in_buffer: int = Field(default=0, ge=0)
    """Tokens of wrong first attempts of earlier steps that are kept for roll-ins to go on from, the oldest out first
    (VRRL); this step's own are taken where there are too few. 0 keeps none."""
    recombine: float = Field(default=0.0, ge=0, le=1)
    """Groups put together from those of the step, as a share of `num_prompts` on top of it (Octopus): behind a wrong
    first attempt, which carries no loss, stand reflections and second attempts of other responses with the same first
    answer, as many right as wrong. They cost no generated tokens; the policy scores them anew."""
    recombine_any: bool = False
    """Let reflections on any other wrong first answer follow too, as Octopus does: many more pairs, but their
    reflections may be about what this first attempt does not claim."""
    mask_first: float = Field(default=0.0, ge=0, le=1)
    """Chance that a response's first attempt carries no loss, so that what follows is learned by itself at times."""
    micro_prompts: int | None = Field(default=None, ge=1)
    """Groups per forward and backward pass at most. It changes memory, not the result."""
    micro_responses: int | None = Field(default=None, ge=1)
    """Responses that are learned from at one time, for groups that are too large themselves; their prompts are computed
    once all the same. None takes all of the pass."""
    micro_tokens: int | None = Field(default=None, ge=1)
    """Tokens of prompts and responses that are learned from at one time, about: as many groups as have them, and of a
    group that has more, as many responses. Where this, `micro_prompts` and `micro_responses` are all None, a CPU takes
    8,192, and a GPU what the memory plan has room for."""
    min_format_rate: float = Field(default=0.3, ge=0, le=1)
    """The run refuses to start when fewer of the first rollout's responses than this have the right format."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    rounded: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Relative tolerance for decimals that answer an exact gold: 0.01 lets 8.66 answer 5√3."""
    check_images: bool = True
    """Before the first step, check that exchanging the pictures changes the log-probabilities, and stop if not."""
    probe_every: int | None = Field(default=None, ge=1)
    """Steps between measurements of what other pictures do to the step's own responses: how far the log-probabilities
    of first attempt, reflection and second attempt move. Two passes over one response of each group; None: none."""
    mismatch_tolerance: float = Field(default=1e-3, gt=0)
    """Largest difference of sampler and trainer log-probabilities (nats, over all tokens) up to which the sampler's
    count as the old policy's; above it they are computed again, at the cost of one more forward pass."""
    traces_per_step: int = Field(default=4, ge=0)
    """Traces of each step's rollout that are written to `traces.jsonl`: one of each group, then another of each, and
    so on; with as many as there are responses, `srpo view` shows whole groups side by side."""
    eval: RlEvalConfig | None = None
    """Held-out evaluation inside the run."""
    keep_best: str | None = None
    """Metric by which the best model is kept in `best/`, beside the last one in `model/`: any that is logged, for
    instance `rl/eval/final_accuracy`; with a minus before it, `-rl/kl`, less is better."""
    patience: int | None = Field(default=None, ge=1)
    """The run ends when this many values of `keep_best` in a row were not better than the best one."""
    trackers: tuple[TrackerName, ...] = ()
    """Who else is told, beside `metrics.jsonl`: tensorboard (files in the run directory), wandb, trackio, mlflow. Each
    must be installed; one that fails is told once and never ends the run."""
    tracker_project: str = "srpo"
    """Project or experiment under which trackers file the run."""
    cards_every: int = Field(default=20, ge=1)
    """Steps between responses with their pictures that trackers are shown; `traces_per_step` says how many."""
    alarms: AlarmConfig = AlarmConfig()
    """What is told at once when it begins: nothing to learn from, no format, reflection that does harm."""
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
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints from which a stopped run goes on."""
    max_pixels: int | None = Field(default=None, ge=1)
    """Scale pictures of a larger area down to this many pixels; None leaves it to the model's own image processor."""
    prompt_cache: int = Field(default=256, ge=0)
    """Prompts with their processed pictures that are kept in this machine's memory, 2 GiB of them at most."""
    picture_workers: int = Field(default=0, ge=0)
    """Threads that read and cut pictures one step ahead, while this one is sampled and learned from; 0 does it in line,
    when they are needed. It changes time, not the result."""
    processes: int | None = Field(default=None, ge=1)
    """Processes that train together, on a CPU or with a GPU each: the groups of a step are divided among them, and the
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
    seed: int = 0
    """Seeds the order of the problems and the sampling."""

    @field_validator("preset", mode="before")
    @classmethod
    def _todays_preset(cls, value: Any) -> Any:
        return current_preset(value)

    @field_validator("optim", mode="before")
    @classmethod
    def _rl_defaults(cls, value: Any) -> Any:
        # Whoever sets `lr` alone must not get the schedule of SFT with it.
        return _OPTIM | value if isinstance(value, dict) else value

    @field_validator("loss")
    @classmethod
    def _weighs(cls, value: LossConfig, others: ValidationInfo) -> LossConfig:
        # Two programs never agree, so what one draws is another policy's to the other.
        sampler, engine = others.data.get("sampler"), others.data.get("engine")
        apart = engine is not None or (sampler is not None and sampler.kind != "local")
        if not apart or "importance_cap" in value.model_fields_set:
            return value
        return value.model_copy(update={"importance_cap": _IMPORTANCE_CAP})

    @model_validator(mode="after")
    def _best(self) -> Self:
        check_best(self.keep_best, self.patience)
        if self.keep_best is not None and self.keep_best.lstrip("-").startswith("rl/eval/") and self.eval is None:
            raise ValueError(f"keep_best: {self.keep_best!r} is logged by held-out evaluation; add an eval block")
        return self

    @model_validator(mode="after")
    def _four_bits(self) -> Self:
        if self.quantize is not None and self.lora is None:
            raise ValueError(f"quantize: {self.quantize!r} holds weights that cannot be trained; add a lora block")
        return self

    @model_validator(mode="after")
    def _after_a_first_attempt(self) -> Self:
        levers = self.roll_ins or self.recombine or self.mask_first or self.probe_every or self.loss.kl_on == "first"
        if self.style == "single" and levers:
            raise ValueError(
                "roll_ins, recombine, mask_first, probe_every and loss.kl_on: first are about what follows a first "
                "attempt, which style 'single' lacks; leave them out"
            )
        if self.roll_in_buffer and not self.roll_ins:
            raise ValueError(
                f"roll_in_buffer {self.roll_in_buffer} keeps first attempts that nothing goes on from; set roll_ins, "
                "e.g. to 0.25"
            )
        if self.recombine_any and not self.recombine:
            raise ValueError("recombine_any says what is recombined, and nothing is; set recombine, e.g. to 0.25")
        return self

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.processes is None or self.processes == 1:
            return self
        if self.engine is not None or self.sampler.kind != "local":
            other = "an engine" if self.engine is not None else f"sampler {self.sampler.kind!r}"
            raise ValueError(
                f"processes {self.processes} sample and learn by themselves, and {other} has processes of its own; "
                "unset one of the two"
            )
        if self.num_prompts < self.processes:
            raise ValueError(f"processes {self.processes} is more than num_prompts {self.num_prompts} of a step")
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps is None and self.token_budget is None:
            raise ValueError("neither steps nor token_budget is set, so the run would never end; set one of them")
        if self.steps is None and self.optim.warmup_steps is None:
            raise ValueError("without steps the warm-up has no length; set optim.warmup_steps")
        if self.reward is None:
            weights_of(self.preset, self.weights)
        if self.reward is None and self.style == "single" and self.preset != "answer":
            raise ValueError(f"preset {self.preset!r} pays for a reflection, which style 'single' lacks; use 'answer'")
        if self.style == "single" and self.credit == "segment":
            raise ValueError("credit 'segment' needs two attempts, which style 'single' lacks; use credit: total")
        if self.reward is None and self.credit == "segment" and self.preset == "answer":
            raise ValueError(
                f"credit 'segment' needs a reward for each attempt, preset {self.preset!r} has one; use 'paper'"
            )
        if self.style == "reflective" and self.filter_low >= self.filter_high:
            raise ValueError(f"filter_low {self.filter_low} must be below filter_high {self.filter_high}")
        if self.loss.minibatches > self.num_prompts:
            raise ValueError(
                f"loss.minibatches {self.loss.minibatches} is more than num_prompts {self.num_prompts}; a minibatch "
                "holds whole groups"
            )
        return self


def current_preset(value: object) -> object:
    """Today's name of a preset that was called otherwise; any other value as it is."""
    if not isinstance(value, str) or value not in _OLD_PRESETS:
        return value
    _say_renamed(value)
    return _OLD_PRESETS[value]


@functools.cache
def _say_renamed(name: str) -> None:
    note(f"srpo: preset {name!r} is called {_OLD_PRESETS[name]!r} now; `style` decides which blocks are wanted")
