"""Problems that two evaluations answered differently: how many there are, and some of them at random."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from srpo.core.records import Trace
from srpo.eval.flips import draw_flips, first_graded
from srpo.report.model import Card, FlipPair, Flips
from srpo.report.notes import Notes
from srpo.runs.reader import RunReader

NUM_FLIPS: Final = 4
"""Problems of each direction that a report shows."""


def flip_ends(notes: Sequence[Notes]) -> tuple[Notes, Notes] | None:
    """The evaluations to compare: after the cold start and after SRPO where there are such, else first and last."""
    named = {word: one for one in notes for word in one.label.split()}
    before, after = named.get("sft"), named.get("srpo")
    if before is None or after is None:
        before, after = (notes[0], notes[-1]) if len(notes) > 1 else (None, None)
    if before is None or after is None or before is after or not before.final.keys() & after.final.keys():
        return None
    return before, after


def choose_flips(
    pair: tuple[Notes, Notes],
    runs: Mapping[str, RunReader],
    card: Callable[[str, Trace], Card],
    *,
    seed: int,
    num: int = NUM_FLIPS,
) -> Flips:
    """Count the flips between two runs and draw up to `num` of each direction; reads both runs once more."""
    before, after = pair
    verdicts = [{problem: right[0] for problem, right in one.final.items()} for one in pair]
    drawn = draw_flips(*verdicts, num=num, seed=seed)
    wanted = {problem for problems in drawn.shown for problem in problems}
    found = [first_graded(runs[one.label], wanted) for one in pair]
    return Flips(
        before=before.label,
        after=after.label,
        n=drawn.n,
        gained=len(drawn.gained),
        lost=len(drawn.lost),
        pairs=tuple(
            FlipPair(
                gained=problems is drawn.shown[0],
                before=card(before.label, found[0][problem]),
                after=card(after.label, found[1][problem]),
            )
            for problems in drawn.shown
            for problem in problems
        ),
    )
