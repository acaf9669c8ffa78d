"""The same problems through several evaluations: bands from outcome to outcome, as the numbers of an SVG."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from srpo.report.palette import OUTCOME_MARKS

APART, BAR, HEIGHT, GAP, TOP = 260.0, 14.0, 240.0, 8.0, 26.0
"""Distance of stages, width of a bar, height of all problems, gap between outcomes, room for names: pixels."""
MOST: Final = 6
"""Evaluations that are shown."""


class Stack(NamedTuple):
    """One outcome of one stage."""

    outcome: str
    x: float
    y: float
    height: float
    num: int


class Band(NamedTuple):
    """Problems that went from one outcome to another between two stages."""

    outcome: str
    """Where they come from."""
    path: str
    """SVG path."""
    words: str


class Alluvial(NamedTuple):
    """The figure."""

    stages: tuple[tuple[str, float], ...]
    """Name and place of each stage."""
    bars: tuple[Stack, ...]
    bands: tuple[Band, ...]
    width: float
    height: float
    num: int
    """Problems, which all stages answered."""

    @property
    def description(self) -> str:
        """The bands in words, the largest changes first, for readers who see no picture."""
        return "; ".join(band.words for band in self.bands)


def alluvial(outcomes: Mapping[str, Mapping[str, str]]) -> Alluvial | None:
    """Draw what became of the problems that all runs answered; None below two runs or without such a problem."""
    stages = list(outcomes)[:MOST]
    if len(stages) < 2:
        return None
    shared = [one for one in outcomes[stages[0]] if all(one in outcomes[stage] for stage in stages)]
    if not shared:
        return None
    scale = HEIGHT / len(shared)
    bars: dict[tuple[str, str], Stack] = {}
    for column, stage in enumerate(stages):
        counts, y = Counter(outcomes[stage][one] for one in shared), TOP
        for name in OUTCOME_MARKS:
            if counts[name]:
                bars[stage, name] = Stack(name, column * APART, y, counts[name] * scale, counts[name])
                y += counts[name] * scale + GAP
    bands = [band for pair in pairwise(stages) for band in _bands(outcomes, pair, shared, bars, scale)]
    height = TOP + HEIGHT + GAP * len(OUTCOME_MARKS)
    places = tuple((stage, column * APART) for column, stage in enumerate(stages))
    return Alluvial(places, tuple(bars.values()), tuple(bands), (len(stages) - 1) * APART + BAR, height, len(shared))


def _bands(
    outcomes: Mapping[str, Mapping[str, str]],
    pair: tuple[str, str],
    shared: list[str],
    bars: Mapping[tuple[str, str], Stack],
    scale: float,
) -> list[Band]:
    left, right = pair
    counts = Counter((outcomes[left][one], outcomes[right][one]) for one in shared)
    used: Counter[tuple[str, str]] = Counter()
    found = []
    order = list(OUTCOME_MARKS)
    for (start, end), num in sorted(counts.items(), key=lambda item: [order.index(name) for name in item[0]]):
        one, two = bars[left, start], bars[right, end]
        x0, x1, middle = one.x + BAR, two.x, (one.x + BAR + two.x) / 2
        y0, y1, thick = one.y + scale * used[left, start], two.y + scale * used[right, end], scale * num
        used[left, start] += num
        used[right, end] += num
        path = (
            f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}V{y1 + thick:.1f}"
            f"C{middle:.1f} {y1 + thick:.1f} {middle:.1f} {y0 + thick:.1f} {x0:.1f} {y0 + thick:.1f}Z"
        )
        found.append(Band(start, path, f"{num:,} from {start} in {left} to {end} in {right}"))
    return found
