"""What a report shows, as one frozen value: everything after it is pure (`ReportData` -> figures -> HTML)."""

from collections.abc import Sequence

from pydantic import Field

from srpo.core.records import Record, Trace
from srpo.core.summary import StageSummary
from srpo.report.leaderboard.rank import Leaderboard
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


class FlipPair(Record):
    """One problem whose final answer is right in one run and wrong in the other."""

    gained: bool
    """True for wrong → right."""
    before: Card
    after: Card


class Flips(Record):
    """Problems that two runs answered differently, the first sample of each."""

    before: str
    """Label of the run that is compared with."""
    after: str
    n: int
    """Problems that both answered and that can be graded."""
    gained: int
    """Wrong before, right after."""
    lost: int
    pairs: tuple[FlipPair, ...]
    """Some of them, drawn at random with a fixed seed: wrong → right first."""


class Verdicts(Record):
    """What the reflections of a run said of the first answers, and what the first answers were."""

    run: str
    said_right: int
    said_right_is: int
    """Of `said_right`, first answers that were right."""
    said_wrong: int
    said_wrong_is: int
    """Of `said_wrong`, first answers that were wrong."""
    said_nothing: int


class Sign(Record):
    """One way to earn reward without answering better, looked for in one training run."""

    run: str
    name: str
    words: str
    """What would be seen, and from where on it is called seen."""
    early: str
    """Value at the beginning, as text."""
    late: str
    seen: bool | None
    """None when it was not measured."""


class TimeSpent(Record):
    """Where the time of a run went."""

    run: str
    seconds: float | None
    """Work in all; None where the run does not say."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Seconds by part, where the run measured them."""
    tokens: int | None = None
    """Generated."""
    usd: float | None = None
    """Paid for models; None where nothing was counted."""


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
    curves: tuple[Curve, ...] = ()
    term_names: tuple[str, ...] = ()
    """Reward terms that occur in the traces; they decide which curves count as reward terms."""
    cards: tuple[Card, ...] = ()
    flips: Flips | None = None
    """Between the first and the last evaluation; None where they share no problem."""
    outcomes: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By label of an evaluation and problem: the outcome of its first sample."""
    verdicts: tuple[Verdicts, ...] = ()
    signs: tuple[Sign, ...] = ()
    phases: tuple[TimeSpent, ...] = ()
    leaderboard: Leaderboard | None = None
    """The runs' benchmark results beside published ones; None where no run has any."""
