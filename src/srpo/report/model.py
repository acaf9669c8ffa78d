"""What a report shows, as one frozen value: everything after it is pure (`ReportData` -> figures -> HTML)."""

from collections.abc import Sequence

from pydantic import Field

from srpo.core.records import Outcome, Record, Trace
from srpo.core.summary import StageSummary
from srpo.report.calibration import Calibration
from srpo.report.flow import Flow
from srpo.report.leaderboard.rank import Leaderboard
from srpo.report.reliance import LookTrend, Probed
from srpo.report.signs import EvaluationSigns, TrainingSigns
from srpo.report.spent import Spent
from srpo.sft.first_answers import FirstAnswers


def stage_of(label: str, stages: Sequence[str]) -> str | None:
    """The stage that a run belongs to: the one of that name, or the one whose name is a word of the run's label.

    >>> stage_of("eval srpo", ["base", "srpo"])
    'srpo'
    """
    if label in stages:
        return label
    return next((stage for stage in stages if stage in label.split()), None)


class Curve(Record):
    """One metric of one run over its steps."""

    run: str
    """Label of the run."""
    key: str
    """Metric name, `stage/term/stat`."""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    """As many as `steps`; finite."""


class Picture(Record):
    """One picture of a problem, ready for the page."""

    ref: str
    """The reference as the problem states it."""
    uri: str | None = None
    """`data:` URI; None when the picture could not be loaded."""
    width: int = 0
    """Pixels of the embedded picture."""
    height: int = 0
    reason: str | None = None
    """Why there is no picture."""

    @property
    def is_tiny(self) -> bool:
        """True for pictures that are enlarged with hard pixels."""
        return 0 < max(self.width, self.height) <= 160


class Card(Record):
    """One trace with its pictures."""

    run: str
    """Label of the run that wrote the trace."""
    trace: Trace
    pictures: tuple[Picture, ...] = ()

    @property
    def outcome(self) -> str:
        """The trace's outcome, or `ungradable`."""
        return self.trace.outcome or "ungradable"


class Flips(Record):
    """Responses of one run whose second attempt flipped the answer, drawn at random among all of them."""

    run: str
    """Label of the run."""
    outcome: Outcome
    num: int
    """Responses of this outcome in the run."""
    seed: int
    """Of the draw."""
    cards: tuple[Card, ...]


class FlippedPair(Record):
    """One problem whose final answer is right in one evaluation and wrong in the other."""

    gained: bool
    """True for wrong → right."""
    before: Card
    after: Card


class Between(Record):
    """Problems that two evaluations answered differently; the first response to each counts."""

    before: str
    """Label of the evaluation that is compared with."""
    after: str
    num: int
    """Problems that both answered and that can be graded."""
    gained: int
    """Wrong before, right after."""
    lost: int
    seed: int
    """Of the draw."""
    pairs: tuple[FlippedPair, ...]
    """Drawn at random: wrong → right first."""


class Panels(Record):
    """What the responses themselves show of a method that is paid for what it says of itself."""

    flows: tuple[Flow, ...] = ()
    """Outcomes of the same problems over the stages, a flow for each line of descent; none where fewer than two
    evaluations share problems."""
    flips: tuple[Flips, ...] = ()
    training_signs: tuple[TrainingSigns, ...] = ()
    evaluation_signs: tuple[EvaluationSigns, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    """Of every evaluation and RL run with reflections."""
    probes: tuple[Probed, ...] = ()
    """Of every evaluation with a probe."""
    look_trends: tuple[LookTrend, ...] = ()
    """Of every RL run that measured it."""
    between: Between | None = None
    """From what the last evaluation's policy was trained from, or else the evaluation before it, to the last one."""


class RunInfo(Record):
    """One run directory, in short."""

    label: str
    path: str
    num_traces: int = 0
    num_steps: int = 0
    """Steps that left metrics."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Traces by outcome (`ungradable` among them)."""
    single: bool = False
    """True when every trace has one attempt only (plain GRPO)."""


class StageComparison(Record):
    """Final accuracy of one stage against another on the same problems, paired problem by problem."""

    ours: str
    theirs: str
    mean: float
    """Ours minus theirs, between -1 and 1."""
    low: float
    """95% bootstrap interval over problems."""
    high: float
    n: int
    """Problems that both answered."""


class ReportData(Record):
    """A whole report before it is drawn."""

    title: str
    created: str = ""
    """Date or time at which the runs were made, as text."""
    command: str = ""
    """What to type to make it again."""
    seed: int | None = None
    hardware: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    """Package or program -> version."""
    about: str = ""
    """What a reader has to know of the setting before the numbers."""
    example: tuple[Card, ...] = ()
    """One problem through several runs, in their order."""
    stages: tuple[StageSummary, ...] = ()
    """Rows of the stage table, in the order in which they happened."""
    runs: tuple[RunInfo, ...] = ()
    comparisons: tuple[StageComparison, ...] = ()
    """Of every two stages whose evaluation traces are among the runs, the later one as `ours`."""
    first_answers: dict[str, FirstAnswers] = Field(default_factory=dict)
    """By label of the cold start: what it made of the first answer, where it was checked."""
    panels: Panels = Panels()
    spent: tuple[Spent, ...] = ()
    """What each run took."""
    curves: tuple[Curve, ...] = ()
    term_names: tuple[str, ...] = ()
    """Reward terms that occur in the traces; they decide which curves count as reward terms."""
    cards: tuple[Card, ...] = ()
    leaderboard: Leaderboard | None = None
    """The runs' benchmark results beside published ones; None where no run has any."""
