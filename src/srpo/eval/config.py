"""Settings of `srpo eval` and `srpo score`: a model on problems or on a benchmark, and who grades what.

model: runs/rl/model                                                            # a checkpoint directory, or a server:
model: {model: Qwen/Qwen2.5-VL-72B-Instruct, base_url: "http://localhost:8000/v1"}
benchmark: mathvista
data: data/mathvista                                                            # without it, from the hub
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from srpo.config.fields import Positional, Spelling
from srpo.core.records import MarkStyle, Record, Sampling
from srpo.data.config import SourceConfig
from srpo.eval.benchmarks.named import BenchmarkName
from srpo.models.config import MAY_CHANGE, BudgetConfig, Engine, Model, RayConfig, ServerConfig, check_local
from srpo.policy.config import PromptChoice
from srpo.policy.precision import Attention, AutoDtype

Probe = Literal["blank", "swap", "noise"]
"""What is done to the pictures for a second answer: grey ones, another problem's, noisy ones."""

EVAL_MAY_CHANGE = tuple(name for name in MAY_CHANGE if not name.startswith("teacher."))
"""Settings that decide how a run gets on, not what comes out: a stopped run may go on with others."""


SCORE_MAY_CHANGE = ("responses", "max_usd", *(name for name in EVAL_MAY_CHANGE if name.startswith("judge.")))
"""The same for `srpo score`; the responses are known by their hash."""


class EvalJudgeConfig(Record):
    """A model that decides what rules cannot: whether an answer is right, and if wanted how good a reflection is."""

    model: Model
    """A server (`{model: NAME, base_url: ...}`), or `local:<checkpoint>`."""
    answers: bool = True
    """Let it decide final answers that the rule found wrong without being certain; it sees the answer alone."""
    reflections: bool = False
    """Let it give every reflection 0 to 5 points."""
    max_tokens: Annotated[int, Field(ge=1)] = 300
    """Longest judgement."""

    @field_validator("model")
    @classmethod
    def _known(cls, value: str | ServerConfig) -> str | ServerConfig:
        if isinstance(value, str):
            check_local(value, "judge", "a server")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.answers or self.reflections):
            raise ValueError("a judge of neither answers nor reflections has nothing to do; leave it out")
        return self


class EvalConfig(Record):
    """Answer problems or a benchmark with a checkpoint or a server, and grade the first and the final answer."""

    model: Model
    """Checkpoint directory, or a server that has the model (`{model: NAME, base_url: ...}`)."""
    benchmark: BenchmarkName | None = None
    """Benchmark whose data, prompt, rule and tables are used; null: plain problems."""
    data: SourceConfig | None = None
    """Problems to answer. With a benchmark, where its data lies; null then reads it from the hub."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Answer the first so many usable problems only."""
    name: str = ""
    """Name of the row in tables; empty means the model's."""
    style: MarkStyle = "reflective"
    """`reflective`: five blocks, both answers are graded; `single`: one attempt, also for plain models; `auto`: each
    response as what it is."""
    prompt: PromptChoice | None = None
    """Prompt around the question: a name, or `{file: PATH}` for one of your own; null takes the one that the checkpoint
    was trained with, and `reflective` where none is saved in it."""
    system: str = ""
    """System turn before the question; empty takes the one that the checkpoint was trained with, if any."""
    max_prompt_tokens: Annotated[int, Field(ge=1)] | None = None
    """Problems whose prompt, pictures included, has more tokens are left out, and counted in `rejected.jsonl`."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Responses per problem."""
    majority: bool = False
    """Also report the accuracy of the most frequent final answer among the `num_samples`."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the probability that is sampled from."""
    max_tokens: Annotated[int, Field(ge=1)] = 2048
    """Longest response; what runs into it is counted as truncated. There are no stop texts."""
    seed: int = 0
    """Seed of the sampling."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Problems per batch; the run is saved after each. Another batch size draws other samples from a checkpoint (greedy
    responses stay the same)."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Scale larger pictures down to this area before the model's own processor sees them."""
    probe: Probe | None = None
    """Answer everything a second time with a disturbed picture (`blank`: grey, `swap`: another problem's, `noise`) and
    tell what changes: how much first answer, reflection and final answer rely on it. Twice the work."""
    judge: EvalJudgeConfig | None = None
    """A model that decides what the rules cannot."""
    budget: BudgetConfig = BudgetConfig()
    """How much money the run may spend on servers, the judge's included."""
    engine: Engine = "local"
    """Where pictures are read, requests built and answers graded: `local` in this process, `ray` by workers on a Ray
    cluster, for models behind servers; what comes out is the same."""
    ray: RayConfig = RayConfig()
    """Which cluster."""
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
    def _several_samples_differ(self) -> Self:
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError(f"num_samples {self.num_samples} at temperature 0 are all the same; give temperature 1.0")
        if self.majority and self.num_samples < 2:
            raise ValueError("majority: a vote needs num_samples of 2 or more")
        return self

    @model_validator(mode="after")
    def _knows_its_problems(self) -> Self:
        if self.data is None and self.benchmark in {None, "custom"}:
            raise ValueError("no problems named: give data (a file or folder), or benchmark")
        if self.judge is not None and self.benchmark is None:
            raise ValueError("a judge goes by the rubric of a benchmark; set benchmark (custom for your own data)")
        return self

    @model_validator(mode="after")
    def _probes_by_rule(self) -> Self:
        if self.probe is not None and self.judge is not None:
            raise ValueError(f"probe {self.probe} compares what the rules say; leave judge out, or evaluate twice")
        return self

    @property
    def sampling(self) -> Sampling:
        """How responses are sampled."""
        return Sampling(temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens, seed=self.seed)

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that is evaluated, unless a server is."""
        return self.model if isinstance(self.model, str) else None

    @property
    def model_name(self) -> str:
        """What goes into `Origin`: the directory, or the served model's name."""
        return self.model.model if isinstance(self.model, ServerConfig) else self.model

    @property
    def servers(self) -> tuple[ServerConfig, ...]:
        """The servers that the run asks, each once."""
        return servers_of(self.model, self.judge.model if self.judge else "")


class ScoreConfig(Record):
    """Grade recorded responses to a benchmark."""

    benchmark: Annotated[BenchmarkName, Positional("BENCHMARK")]
    """Benchmark whose items the responses answer."""
    data: SourceConfig
    """Where its items are."""
    responses: str
    """File with rows `{id, response}`, .jsonl or .jsonl.gz; `-` for standard input."""
    responses_sha256: str = ""
    """SHA-256 of that file, checked when it is given; so a run directory is not taken for that of other responses."""
    style: MarkStyle = "auto"
    """How the responses are read; `auto`: one with a reflection block is reflective, every other one is single."""
    name: Annotated[str, Spelling("name", "model")] = ""
    """Name of the row in tables; empty means that of the file."""
    judge: EvalJudgeConfig | None = None
    """A model that decides what the rules cannot."""
    max_usd: Annotated[float, Field(gt=0)] | None = None
    """Most that the judge may cost."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    rounded: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Relative tolerance for decimals that answer an exact gold: 0.01 lets 8.66 answer 5√3."""

    @model_validator(mode="after")
    def _money_is_for_a_judge(self) -> Self:
        if self.max_usd is not None and self.judge is None:
            raise ValueError(f"max_usd {self.max_usd}: only a judge costs money; give --judge, or leave max_usd out")
        return self

    @property
    def servers(self) -> tuple[ServerConfig, ...]:
        """The servers that are asked."""
        return servers_of(self.judge.model if self.judge else "")


def servers_of(*models: str | ServerConfig) -> tuple[ServerConfig, ...]:
    """The servers among the models, each once."""
    found: list[ServerConfig] = []
    for model in models:
        if isinstance(model, ServerConfig) and model not in found:
            found.append(model)
    return tuple(found)
