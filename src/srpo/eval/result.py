"""What a benchmark says about a model: the one record that `srpo score`, `srpo eval`, reports and tables share.

result = BenchmarkResult.model_validate(json.loads(path.read_text())["benchmark"])  # of a run's summary.json
result.accuracy, result.interval, result.headline
"""

from pydantic import Field

from srpo.core.records import MarkStyle, Record
from srpo.core.statistics import Estimate
from srpo.core.summary import StageSummary
from srpo.eval.benchmarks.benchmark import Breakdown
from srpo.eval.config import Probe
from srpo.eval.metrics.correction import CorrectionMetrics
from srpo.models.meter import Spend


class Headline(Record):
    """The number that papers quote for a benchmark."""

    name: str
    """`accuracy`, or a key of `Breakdown.metrics`."""
    value: float
    """Between 0 and 1."""


class OfficialAccuracy(Record):
    """The same responses by the authors' own code, its quirks included; no judge has a say in it."""

    code: str
    """The authors' file: `calculate_score.py`."""
    accuracy: float
    """Of the final answer, over `n`, as `BenchmarkResult.accuracy`."""
    interval: tuple[float, float]
    """95% interval of `accuracy`."""
    n: int
    """Items that count."""


class SampledMetrics(Record):
    """What several responses to each item say together."""

    num_samples: int
    """Responses to each item that were asked for."""
    pass_at: dict[int, float]
    """k -> chance that one of k responses is right (unbiased), for k = 1, 2, 4, ... and `num_samples`."""
    maj_at: dict[int, float]
    """k -> chance that the most frequent final answer of k responses is right; equals draw lots."""
    maj_interval: tuple[float, float]
    """95% interval of maj@`num_samples`."""
    tokens_per_sample: float | None
    """Generated tokens of a response; k of them cost k times as much. None where nobody counted."""


class ReflectionQuality(Record):
    """What a judge thinks of the reflections, 0 to 5 points each."""

    model: str
    """Who judged."""
    n: int
    """Reflections with a score."""
    failed: int
    """Reflections whose judgement failed or could not be read."""
    mean: float
    counts: dict[int, int]
    """Points -> how many."""


class BenchmarkResult(Record):
    """One model on one benchmark. `rows` in the benchmark's data = `n` + `ungradable` + `missing` + `unusable`."""

    benchmark: str
    """Name of the adapter, as the command line calls it."""
    title: str
    """Name as papers write it."""
    model: str
    """Name of the row in tables."""
    data: str
    """Where the items came from."""
    style: MarkStyle
    """How responses were read."""
    size: int
    """Items in the published set; 0 where there is none."""
    n: int
    """Items that count: gradable, and with a response."""
    missing: int
    """Gradable items without a response, those whose request failed included."""
    failed: int = 0
    """Among these, items whose requests failed for good."""
    ungradable: int
    """Items left out because their gold answer cannot be graded, or an answer to them is undecided."""
    undecided: int = 0
    """Among these, responses on which computer algebra ran out of its CPU time."""
    unusable: int
    """Rows of the data that are no item, or that the model cannot take."""
    accuracy: float
    """Of the final answer, over `n`; where there are several samples, averaged per item first."""
    interval: tuple[float, float]
    """95% interval of `accuracy`: Wilson, or bootstrap over items where there are several samples."""
    accuracy_over_all: float
    """The same with missing items counted as wrong."""
    headline: Headline
    """The number that papers quote."""
    official: OfficialAccuracy | None = None
    """What the authors' own code makes of the same answers; None where our rule is all there is."""
    first_accuracy: float | None = None
    """Of the first answer, over the reflective responses; None where there are none."""
    reflective: int = 0
    """Responses that were read as reflective."""
    correction: CorrectionMetrics | None = None
    """Metrics of self-correction, over the reflective responses."""
    quality: ReflectionQuality | None = None
    """Points for the reflections, where a judge was asked for them."""
    sampled: SampledMetrics | None = None
    """pass@k and votes, where there are several samples."""
    breakdown: Breakdown
    """The official tables and numbers; of several samples, over the first one of each item."""
    decided_by: dict[str, int]
    """`rule`, `judge` -> how many responses were decided so."""
    judge: str = ""
    """Name of the judge model; empty without one."""
    judge_failures: dict[str, int] = Field(default_factory=dict)
    """Why a judge did not decide, and how often; those responses keep the rule's verdict."""
    mean_tokens: float | None = None
    """Generated tokens per response; None where nobody counted them."""
    truncation_rate: float | None = None
    """Share of responses that ran into the limit of tokens; None where it is not known."""


class AnswerReliance(Record):
    """First or final answers with and without the picture."""

    plain: Estimate
    """Accuracy with the picture."""
    disturbed: Estimate
    """Accuracy with the disturbed one."""
    difference: Estimate
    """Disturbed less plain; paired bootstrap over problems."""
    changed: Estimate
    """Share of samples whose answer is another one: right ones are one class, wrong ones compared by what they mean."""


class ReflectionReliance(Record):
    """Reflections with and without the picture."""

    pairs: int
    """Samples with a reflection on both sides."""
    changed: Estimate
    """Share of them that have other words."""
    changed_alone: Estimate
    """The same among pairs whose first attempts have the same words: at temperature 0 the picture alone did it."""
    words: Estimate
    """Mean share of the words that are not on both sides."""
    gain: Estimate
    """Final less first accuracy with the picture, over all pairs."""
    gain_disturbed: Estimate
    """The same with the disturbed picture."""
    gain_difference: Estimate
    """Disturbed less plain: what the picture gives to correction, beyond what it gives to first answers."""


class ProbeResult(Record):
    """What a probe found. Numbers are over pairs of samples that can be graded, averaged per problem first."""

    probe: Probe
    temperature: float
    """Above 0 chance changes answers and words too; accuracies and their differences alone tell of the picture then."""
    problems: int
    """Problems with a pair."""
    pairs: int
    """Samples with an answer on both sides."""
    without_picture: int
    """Samples for problems without a picture, which have nothing to disturb."""
    lost: int
    """Samples whose answer to the disturbed picture failed; `rejected.jsonl` has them under `probe`."""
    ungradable: int
    """Pairs that have no grade on a side."""
    first: AnswerReliance | None
    """None where no response is reflective."""
    reflection: ReflectionReliance | None
    """None where no pair has two reflections."""
    final: AnswerReliance


class EvalResult(Record):
    """Contents of `summary.json`.

    `rows` is the sum of `answered`, `refused`, `failed`, `missing` and the rejected rows of the source.
    """

    stages: tuple[StageSummary, ...]
    """One row, in the form that reports and comparisons read."""
    rows: int
    """Rows of the source that were looked at."""
    answered: int
    """Problems with responses in `traces.jsonl`."""
    refused: int
    """Problems that the model cannot take: broken pictures, too many tokens."""
    failed: int = 0
    """Problems all of whose requests to a server failed for good."""
    missing: int = 0
    """Items without a recorded response."""
    rejected: dict[str, dict[str, int]]
    """How many rows and problems were left out, by place and reason; one by one in `rejected.jsonl`."""
    adjusted_pictures: int
    """Problems with a picture that was padded, or of which only the first frame was used."""
    truncation_rate: float | None
    """Share of responses that ran into `max_tokens`; None where it is not known."""
    majority_accuracy: float | None = None
    """Accuracy of the most frequent final answer of each problem, when asked for."""
    majority_interval: tuple[float, float] | None = None
    """95% Wilson interval of that accuracy."""

    benchmark: BenchmarkResult | None = None
    """What the benchmark says, where one was asked for."""
    probe: ProbeResult | None = None
    """What the answers owe to the pictures, where a probe was asked for."""
    spend: tuple[Spend, ...] = ()
    """What servers were asked and paid, by model."""

    @property
    def summary(self) -> StageSummary:
        """The row of the stage table."""
        return self.stages[0]
