"""Problems that one evaluation answers right and another wrong, both responses side by side, drawn by a seed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from srpo.core.records import Record, Trace
from srpo.eval.flips import draw_flips, first_graded
from srpo.report.model import Between, Card, FlippedPair
from srpo.runs.reader import RunReader

NUM_PAIRS: Final = 3
"""Problems of each direction that are shown."""

Finals = Mapping[str, Mapping[str, bool]]
"""Label -> problem -> whether the final answer of the first graded response is right."""


class Ends(Record):
    """The two evaluations that are compared."""

    before: str
    after: str


def ends_of(story: list[str], parents: Mapping[str, str | None]) -> Ends | None:
    """The last evaluation of a story and what it was trained from, or else the one before it."""
    if len(story) < 2:
        return None
    after = story[-1]
    parent = parents.get(after)
    return Ends(before=parent if parent in story else story[-2], after=after)


def flips_between(
    ends: Ends,
    finals: Finals,
    readers: Mapping[str, RunReader],
    cards_of: Callable[[Iterable[tuple[str, Trace]]], tuple[Card, ...]],
    *,
    seed: int,
) -> Between | None:
    """What flipped from one to the other; None where they share no problem."""
    drawn = draw_flips(finals.get(ends.before, {}), finals.get(ends.after, {}), num=NUM_PAIRS, seed=seed)
    if not drawn.n:
        return None
    wanted = frozenset(problem for chosen in drawn.shown for problem in chosen)
    before, after = (first_graded(readers[label], wanted) for label in (ends.before, ends.after))
    pairs = []
    for gained, chosen in zip((True, False), drawn.shown, strict=True):
        for problem in chosen:
            one, other = cards_of([(ends.before, before[problem]), (ends.after, after[problem])])
            pairs.append(FlippedPair(gained=gained, before=one, after=other))
    return Between(
        before=ends.before,
        after=ends.after,
        num=drawn.n,
        gained=len(drawn.gained),
        lost=len(drawn.lost),
        seed=seed,
        pairs=tuple(pairs),
    )
