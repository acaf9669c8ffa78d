"""Which verified traces become SFT samples: no duplicates, caps held, the wanted balance.

`select` chooses in one pass over an iterator and keeps a few bytes of each trace. The paper takes about 70% revised
wrong attempts and 30% refined right ones (section 3.2), over all families alike; `balance` keeps a family or a
difficulty from being starved by the others.
"""

import math
import random
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Literal, NamedTuple

from srpo.core.records import Problem, Rejected, Trace
from srpo.core.verification import normalised

_PLACE = re.compile(r"(?::\d+|\[\d+\])$")
"""The row behind a data file's name."""


class Selection:
    """What `select` decided about each trace, by its position in the iterator."""

    def __init__(
        self, decisions: bytearray, duplicates: Mapping[int, str], balance: str, num_wrong: int, num_right: int
    ) -> None:
        """`duplicates` says what each repeats, `balance` how the balance came about."""
        self._decisions = decisions
        self._duplicates = duplicates
        self._balance = balance
        self.num_wrong = num_wrong
        """Kept traces whose first attempt is wrong (revised ones)."""
        self.num_right = num_right
        """Kept traces whose first attempt is right (refined ones)."""

    def __len__(self) -> int:
        """Traces that were looked at."""
        return len(self._decisions)

    def rejected(self, position: int, trace: Trace) -> Rejected | None:
        """Why `trace`, which is at `position`, is left out (`duplicate`, `cap`, `balance`); None when it is kept."""
        match self._decisions[position]:
            case Decision.DUPLICATE:
                reason, detail = "duplicate", self._duplicates[position]
            case Decision.CAP:
                reason, detail = "cap", "its source has enough traces, see caps"
            case Decision.BALANCE:
                reason, detail = "balance", self._balance
            case _:
                return None
        return Rejected.about(trace.problem, "selection", reason, detail, sample=trace.sample)


Balance = Literal["none", "family", "difficulty"]


_DIFFICULTIES = ("never", "seldom", "often", "always", "unknown")


class Decision(IntEnum):
    """About one trace; kept in a byte."""

    KEPT = 0
    DUPLICATE = 1
    CAP = 2
    BALANCE = 3


def source_of(problem: Problem) -> str:
    """What a cap counts together: the problem's family, or its data file where it has none."""
    return problem.family or _PLACE.sub("", problem.source)


def select(
    traces: Iterable[Trace],
    *,
    wrong_share: float | None = 0.7,
    max_count: int | None = None,
    caps: Mapping[str, int] | None = None,
    balance: Balance = "none",
    seed: int = 0,
) -> Selection:
    """Choose SFT samples: drop duplicates, hold the caps, balance wrong and right first attempts.

    Memory: about ten bytes a trace, so that millions can be chosen from.

    Args:
        traces: Traces that `verify_trace` lets pass; those of one problem stand together.
        wrong_share: Share of kept traces whose first attempt is wrong, between 0 and 1 (the paper: 0.7). The side that
            is too large is thinned at random until the share holds; None keeps every good trace.
        max_count: Keep at most so many.
        caps: At most so many of a source (`source_of`); `*` stands for every source that is not named.
        balance: Keep as many of every family, or of every difficulty, as far as there are so many: `max_count` is
            shared out evenly, and without it the smallest group sets the number. `wrong_share` is then held within
            each group as far as possible, and no longer over all: where the policy is usually right, it goes on seeing
            that.
        seed: Seeds the choice, which depends on nothing else.
    """
    if wrong_share is not None and not 0 <= wrong_share <= 1:
        raise ValueError(f"wrong_share {wrong_share!r} must lie between 0 and 1")
    if max_count is not None and max_count < 0:
        raise ValueError(f"max_count {max_count!r} must not be negative")
    pool = _pool(traces)
    rng = random.Random(f"select/{seed}")
    rng.shuffle(pool.wrong)
    rng.shuffle(pool.right)
    if caps:
        _hold_caps(pool, caps, wrong_share)
    if balance != "none":
        _even_out(pool, balance, wrong_share, max_count)
        wrong_share = None
    wrong, right = pool.wrong, pool.right
    num_wrong, num_right = _balance(len(wrong), len(right), wrong_share, max_count)
    for side, kept in ((wrong, num_wrong), (right, num_right)):
        for position in range(kept, len(side)):
            pool.decisions[side[position]] = Decision.BALANCE
    why = f"{len(wrong)} wrong and {len(right)} right first attempts passed, wrong_share is {wrong_share!r}"
    why += "" if max_count is None else f", max_count is {max_count}"
    return Selection(pool.decisions, pool.duplicates, why, num_wrong, num_right)


def difficulty_of(trace: Trace) -> str:
    """How often the policy solves the problem: `never`, `seldom`, `often`, `always`, or `unknown`."""
    share = trace.share_right
    if share is None:
        return "unknown"
    if share in (0.0, 1.0):
        return "always" if share else "never"
    return "often" if share > 0.5 else "seldom"


class _Pool(NamedTuple):
    """What `select` remembers of the traces."""

    decisions: bytearray
    wrong: "array[int]"
    """Positions of good traces with a wrong first attempt."""
    right: "array[int]"
    groups: "array[int]"
    """Number of each trace's source in `names`."""
    names: tuple[str, ...]
    difficulties: bytearray
    """Index of each trace's difficulty in `_DIFFICULTIES`."""
    duplicates: dict[int, str]
    """What to say about each duplicate."""


def _pool(traces: Iterable[Trace]) -> _Pool:
    decisions, wrong, right, groups = bytearray(), array("I"), array("I"), array("I")
    difficulties = bytearray()
    names: dict[str, int] = {}
    duplicates: dict[int, str] = {}
    problem, seen = None, dict[str, int]()
    for index, trace in enumerate(traces):
        if trace.problem.id != problem:
            problem, seen = trace.problem.id, {}
        decisions.append(Decision.KEPT)
        groups.append(names.setdefault(source_of(trace.problem), len(names)))
        difficulties.append(_DIFFICULTIES.index(difficulty_of(trace)))
        first = seen.setdefault(normalised(trace.text), index)
        if first != index:
            decisions[index] = Decision.DUPLICATE
            duplicates[index] = f"same text as trace {first} for this problem"
        else:
            (right if trace.first_grade.is_correct else wrong).append(index)
    return _Pool(decisions, wrong, right, groups, tuple(names), difficulties, duplicates)


def _hold_caps(pool: _Pool, caps: Mapping[str, int], wrong_share: float | None) -> None:
    """Leave what the caps allow; each source keeps its own mix close to `wrong_share`."""
    sizes = _sizes(pool, pool.groups)
    most = {group: caps.get(name, caps.get("*", sum(sizes[group]))) for group, name in enumerate(pool.names)}
    _thin(pool, pool.groups, sizes, most, wrong_share, Decision.CAP)


def _even_out(pool: _Pool, balance: Balance, wrong_share: float | None, max_count: int | None) -> None:
    """Leave as many of each group as the others have, or as `max_count` pays for."""
    groups = pool.groups if balance == "family" else pool.difficulties
    sizes = _sizes(pool, groups)
    totals = {group: sum(size) for group, size in sizes.items()}
    if totals:
        most = share_out(totals, min(totals.values()) * len(totals) if max_count is None else max_count)
        _thin(pool, groups, sizes, most, wrong_share, Decision.BALANCE)


def share_out(sizes: Mapping[int, int], limit: int) -> dict[int, int]:
    """Divide `limit` over groups as evenly as their sizes allow; what does not divide goes to the first ones.

    >>> share_out({0: 2, 1: 10, 2: 10}, 13)
    {0: 2, 1: 6, 2: 5}
    """
    shares: dict[int, int] = {}
    left = limit
    for num_done, group in enumerate(sorted(sizes, key=lambda one: (sizes[one], -one))):
        shares[group] = min(sizes[group], left // (len(sizes) - num_done))
        left -= shares[group]
    return {group: shares[group] for group in sizes}


def _sizes(pool: _Pool, groups: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Group -> wrong and right ones in it, groups in order of appearance."""
    wrong, right = (Counter(groups[index] for index in side) for side in (pool.wrong, pool.right))
    return {group: (wrong[group], right[group]) for group in sorted(wrong.keys() | right.keys())}


def _thin(
    pool: _Pool,
    groups: Sequence[int],
    sizes: Mapping[int, tuple[int, int]],
    most: Mapping[int, int],
    wrong_share: float | None,
    decision: Decision,
) -> None:
    """Leave at most `most` of each group, and its mix of wrong and right close to `wrong_share`, or as it is."""
    left: list[dict[int, int]] = [{}, {}]
    for group, (num_wrong, num_right) in sizes.items():
        cap = min(most[group], num_wrong + num_right)
        share = wrong_share if wrong_share is not None else num_wrong / max(1, num_wrong + num_right)
        left[0][group] = min(num_wrong, max(math.floor(cap * share + 0.5), cap - num_right))
        left[1][group] = cap - left[0][group]
    for side, indices in enumerate((pool.wrong, pool.right)):
        num_kept = 0
        for index in indices:
            group = groups[index]
            if left[side][group]:
                left[side][group] -= 1
                # In place: a second array of every position would be a third of what selection holds.
                indices[num_kept] = index
                num_kept += 1
            else:
                pool.decisions[index] = decision
        del indices[num_kept:]


def _balance(num_wrong: int, num_right: int, wrong_share: float | None, max_count: int | None) -> tuple[int, int]:
    """How many of each to keep, so that the share of wrong ones is within one trace of `wrong_share`."""
    limit = num_wrong + num_right if max_count is None else min(max_count, num_wrong + num_right)
    if wrong_share is None:
        # What is there keeps its own proportion when a limit cuts it.
        wrong_share = num_wrong / (num_wrong + num_right) if num_wrong + num_right else 0.0
    if wrong_share > 0:
        limit = min(limit, math.floor(num_wrong / wrong_share + 1e-9))
    if wrong_share < 1:
        limit = min(limit, math.floor(num_right / (1 - wrong_share) + 1e-9))
    wrong = min(num_wrong, math.floor(limit * wrong_share + 0.5))
    return wrong, min(num_right, limit - wrong)
