"""How the same problems fare from stage to stage: an alluvial plot of outcomes, as numbers and as the paths of an SVG.

Of each problem the first sample counts, and only problems that every stage answered: so the columns are equally high,
and a ribbon is a number of problems that went from one outcome to another.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from srpo.core.records import OUTCOMES, Record

MAX_STAGES: Final = 6
MAX_FLOWS: Final = 4
OUTCOME_ORDER: Final[tuple[str, ...]] = (*OUTCOMES, "ungradable")
WIDTH: Final = 1000
HEIGHT: Final = 360
_BAR: Final = 16
"""Width of a column."""
_GAP: Final = 10
"""Between two outcomes of a column."""
_LEFT, _RIGHT, _TOP = 8, 150, 30
_LETTER: Final = 9.5
"""Width of a letter above a column."""
_MIN_LABELLED: Final = 14
"""Height from which on there is room for a label."""


class Ribbon(Record):
    """Problems that went from one outcome to another between two stages."""

    stage: int
    """Index of the stage that they come from."""
    source: str
    target: str
    num: int


class Flow(Record):
    """The outcomes of the same problems over stages."""

    stages: tuple[str, ...]
    num: int
    """Problems that all of them answered."""
    columns: tuple[dict[str, int], ...]
    """For each stage, problems by outcome (`ungradable` among them), in a fixed order."""
    ribbons: tuple[Ribbon, ...]
    is_descent: bool = False
    """Whether each stage's policy was trained from the one before it; else the order is the one that was given."""


def flows_of(
    outcomes: Mapping[str, Mapping[str, str | None]], paths: Sequence[Sequence[str]], story: Sequence[str]
) -> tuple[Flow, ...]:
    """A flow for each line of descent; where there is none, one through the stages of the story as they were given.

    Args:
        outcomes: Stage -> problem id -> outcome, None where it could not be graded.
        paths: Lines of descent, as stages.
        story: Stages in the order that was given.
    """
    lines = [flow_of({stage: outcomes[stage] for stage in path}) for path in paths]
    found = [flow.model_copy(update={"is_descent": True}) for flow in lines if flow is not None]
    if found:
        return tuple(found[:MAX_FLOWS])
    given = flow_of({stage: outcomes[stage] for stage in story})
    return () if given is None else (given,)


def flow_of(outcomes: Mapping[str, Mapping[str, str | None]]) -> Flow | None:
    """The flow through stages, in order; None when fewer than two share a problem.

    Args:
        outcomes: Stage -> problem id -> outcome, None where it could not be graded.
    """
    stages = list(outcomes)[-MAX_STAGES:]
    if len(stages) < 2:
        return None
    shared = [key for key in outcomes[stages[0]] if all(key in outcomes[stage] for stage in stages[1:])]
    if not shared:
        return None
    paths = [[outcomes[stage][key] or "ungradable" for stage in stages] for key in shared]
    columns = [Counter(path[at] for path in paths) for at in range(len(stages))]
    steps = [Counter((path[at], path[at + 1]) for path in paths) for at in range(len(stages) - 1)]
    return Flow(
        stages=tuple(stages),
        num=len(shared),
        columns=tuple({name: column[name] for name in OUTCOME_ORDER if column[name]} for column in columns),
        ribbons=tuple(
            Ribbon(stage=at, source=source, target=target, num=step[source, target])
            for at, step in enumerate(steps)
            for source in OUTCOME_ORDER
            for target in OUTCOME_ORDER
            if step[source, target]
        ),
    )


def outcomes_in(*flows: Flow) -> list[str]:
    """The outcomes that occur, in their order."""
    return [name for name in OUTCOME_ORDER if any(name in column for flow in flows for column in flow.columns)]


class FlowBar(NamedTuple):
    """One outcome of one column."""

    outcome: str
    num: int
    x: float
    y: float
    height: float
    has_label: bool


class Band(NamedTuple):
    """One ribbon."""

    ribbon: Ribbon
    path: str
    """`d` of an SVG path."""


class Head(NamedTuple):
    """The name above one column."""

    x: float
    stage: str
    text: str
    """The stage's name as there is room for it."""


class Drawing(NamedTuple):
    """A flow laid out in `WIDTH` x `HEIGHT` units."""

    bars: list[FlowBar]
    bands: list[Band]
    heads: list[Head]
    width: int = WIDTH
    height: int = HEIGHT
    bar: int = _BAR


def lay_out(flow: Flow) -> Drawing:
    """Lay out a flow: columns left to right, ribbons in the order of their outcomes, so that few cross."""
    room = HEIGHT - _TOP - _GAP * (len(OUTCOME_ORDER) - 1)
    step = (WIDTH - _LEFT - _RIGHT - _BAR) / (len(flow.stages) - 1)
    bars: list[FlowBar] = []
    tops: list[dict[str, float]] = []
    for at, column in enumerate(flow.columns):
        y, top = float(_TOP), {}
        for outcome, num in column.items():
            height = room * num / flow.num
            bars.append(FlowBar(outcome, num, _LEFT + at * step, y, height, height >= _MIN_LABELLED))
            top[outcome] = y
            y += height + _GAP
        tops.append(top)
    rooms = [*[step - _GAP] * (len(flow.stages) - 1), float(_RIGHT + _BAR)]
    heads = [Head(_LEFT + at * step, name, _shortened(name, rooms[at])) for at, name in enumerate(flow.stages)]
    return Drawing(bars, _bands(flow, tops, step, room), heads)


def _shortened(name: str, room: float) -> str:
    """A name that fits, cut in the middle: names of runs differ at their ends."""
    most = int(room / _LETTER)
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[: most - 1 - half]}…{name[len(name) - half :]}"


def _bands(flow: Flow, tops: Sequence[Mapping[str, float]], step: float, room: float) -> list[Band]:
    leaves = [dict(top) for top in tops]
    arrives = [dict(top) for top in tops]
    bands = []
    for ribbon in flow.ribbons:
        height = room * ribbon.num / flow.num
        y0, y1 = leaves[ribbon.stage][ribbon.source], arrives[ribbon.stage + 1][ribbon.target]
        leaves[ribbon.stage][ribbon.source] += height
        arrives[ribbon.stage + 1][ribbon.target] += height
        x0 = _LEFT + ribbon.stage * step + _BAR
        x1 = x0 + step - _BAR
        bands.append(Band(ribbon, _path(x0, x1, y0, y1, height)))
    return bands


def _path(x0: float, x1: float, y0: float, y1: float, height: float) -> str:
    middle = (x0 + x1) / 2
    out = (x0, y0, middle, y0, middle, y1, x1, y1)
    back = (height, middle, y1 + height, middle, y0 + height, x0, y0 + height)
    shown = [f"{number:.1f}" for number in (*out, *back)]
    return f"M{shown[0]} {shown[1]}C{' '.join(shown[2:8])}v{shown[8]}C{' '.join(shown[9:])}z"
