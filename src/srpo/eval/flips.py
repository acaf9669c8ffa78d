"""Problems that one run answers right and another wrong: how many, and some of them, drawn by a seed.

    flips = find_flips(RunDir.read("runs/base"), RunDir.read("runs/srpo"), num=3)
    flips.gained, [flip.question for flip in flips.shown if flip.gained]

The first graded sample of each problem counts.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from srpo.core.records import Record, Trace
from srpo.runs.reader import RunReader


class Flip(Record):
    """One problem."""

    problem: str
    """Its id."""
    gained: bool
    """True for wrong → right."""
    question: str
    gold: str
    first: str | None
    """Final answer of the first run; None where it has none."""
    second: str | None


class FoundFlips(Record):
    """Between two runs."""

    n: int
    """Problems that both answered and that can be graded."""
    gained: int
    """Wrong in the first run, right in the second."""
    lost: int
    shown: tuple[Flip, ...]
    """Some, drawn at random by the seed: wrong → right first."""


class DrawnFlips(NamedTuple):
    """Problem ids."""

    n: int
    gained: Sequence[str]
    lost: Sequence[str]
    shown: tuple[Sequence[str], Sequence[str]]
    """Of each, those that were drawn."""


def draw_flips(before: Mapping[str, bool], after: Mapping[str, bool], *, num: int, seed: int) -> DrawnFlips:
    """Which problems flipped, from the final verdicts of both runs; up to `num` of each direction are drawn.

    >>> draw_flips({"a": True, "b": False}, {"a": True, "b": True}, num=3, seed=0).gained
    ['b']
    """
    shared = [problem for problem in before if problem in after]
    gained = [one for one in shared if after[one] and not before[one]]
    lost = [one for one in shared if before[one] and not after[one]]
    draw = random.Random(f"flips/{seed}")
    shown = (draw.sample(gained, min(num, len(gained))), draw.sample(lost, min(num, len(lost))))
    return DrawnFlips(len(shared), gained, lost, shown)


def first_graded(run: RunReader, problems: Collection[str]) -> dict[str, Trace]:
    """The first trace with a grade of each of these problems."""
    found: dict[str, Trace] = {}
    for trace in run.traces():
        if trace.problem.id in problems and trace.outcome is not None:
            found.setdefault(trace.problem.id, trace)
    return found


def find_flips(first: RunReader, second: RunReader, *, num: int, seed: int = 0) -> FoundFlips:
    """Read both runs twice: for the verdicts, and for what was drawn."""
    drawn = draw_flips(_verdicts(first), _verdicts(second), num=num, seed=seed)
    problems = [problem for chosen in drawn.shown for problem in chosen]
    one, two = (first_graded(run, frozenset(problems)) for run in (first, second))
    shown = tuple(
        Flip(
            problem=problem,
            gained=two[problem].final_grade.is_correct,
            question=one[problem].problem.question,
            gold=one[problem].problem.answer,
            first=one[problem].final_grade.extracted,
            second=two[problem].final_grade.extracted,
        )
        for problem in problems
    )
    return FoundFlips(n=drawn.n, gained=len(drawn.gained), lost=len(drawn.lost), shown=shown)


def _verdicts(run: RunReader) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for trace in run.traces():
        if trace.outcome is not None:
            found.setdefault(trace.problem.id, trace.final_grade.is_correct)
    return found
