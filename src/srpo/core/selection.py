"""Which teacher traces become SFT samples: verified, without leaks and duplicates, in the wanted balance.

Nothing is dropped in silence: `Selection.dropped` names every trace that was left out and why. The paper takes about
70% revised wrong attempts and 30% refined right ones (section 3.2), and does not check what its teacher wrote.

    >>> leaks_gold("The reference answer says 7, so I must have missed a bar.", "7")
    "speaks of a solution that the reader does not have: 'reference answer'"
    >>> leaks_gold("The red bar is 4, not 3: 3+4=7, so the sum is 7.", "7") is None
    True
"""

import math
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from srpo.core.records import Response, Trace
from srpo.core.rewards import says_something

_SHOWN = r"(?:given(?! by)|provided|stated|listed|supplied|specified)"
_LEAK = re.compile(
    r"\b(?:reference|gold|golden|official|expected|ground[- ]truth) (?:answer|solution|label)s?\b"
    r"|\bground[- ]truth\b|\b(?:answer|solution) (?:key|sheet)\b|\bmodel answer\b|\bthe known (?:answer|solution)\b"
    # "The reference line" and "the reference angle" are things in a picture.
    r"|\b(?:according to|as per|based on|matches|match|agrees with) the (?:reference|gold)\b"
    r"(?! (?:line|point|frame|angle|axis|triangle|figure|picture|image|mark|scale|level|system))"
    rf"|\b(?:correct|right|true|actual) answer (?:is|was|has been) {_SHOWN}"
    rf"|\b{_SHOWN} (?:correct|right|true|gold) (?:answer|solution)\b"
    r"|\bi (?:was|am|have been) (?:told|given|shown) (?:that )?(?:the )?(?:(?:correct|right|true|final) )?"
    r"(?:answer|solution)\b"
    r"|参考答案|标准答案|正确答案(?:已)?(?:给出|给定|提供)|(?:给出|给定|提供|已知)的?(?:正确|标准)答案|答案(?:提示|显示)"
)
"""Phrases that only someone with access to the gold answer would write. Texts are compared in lower case."""

_STATED = re.compile(
    r"(?:answer|result|value|option|choice)(?: (?:is|was|should be|should have been|must be|would be|=|:))+ *"
    r"|(?:答案|结果|选项)(?:应该|应当|应)?(?:是|为|选)?[:：]? *"
)


class Dropped(NamedTuple):
    """One trace that was left out."""

    position: int
    """Its place among the traces that `select` was given."""
    reason: str
    """Kind of reason, as counted in `Selection.counts`."""
    detail: str
    """What exactly, for people."""


class Selection(NamedTuple):
    """What `select` kept, in the order in which it came, and everything that it did not keep."""

    kept: tuple[Trace, ...]
    dropped: tuple[Dropped, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many were dropped for each kind of reason."""
        return dict(Counter(dropped.reason for dropped in self.dropped))

    @property
    def num_wrong(self) -> int:
        """Kept traces whose first attempt is wrong (revised ones)."""
        return sum(not trace.first_grade.is_correct for trace in self.kept)

    @property
    def num_right(self) -> int:
        """Kept traces whose first attempt is right (refined ones)."""
        return len(self.kept) - self.num_wrong


def verify_trace(trace: Trace, *, strict: bool = False) -> str | None:
    """Why a teacher's trace must not be trained on, None if it may; the words before the colon are the kind of reason.

    It must have the five blocks, a gradable gold, a right final answer, and a reflection that says something, copies
    neither attempt and leaks nothing (`leaks_gold`).
    """
    response = trace.response
    if not isinstance(response, Response):
        error = trace.format_error
        return "format: not five blocks" + ("" if error is None else f"; at character {error.where}, {error.what}")
    if trace.outcome is None:
        return f"ungradable: {trace.final_grade.reason}"
    if not trace.final_grade.is_correct:
        return f"final answer wrong: {trace.final_grade.reason}"
    if not says_something(response.reflection):
        return f"empty reflection: {response.reflection[:40]!r} says nothing"
    reflection = normalised(response.reflection)
    for attempt, which in ((response.first, "first"), (response.second, "second")):
        if reflection in (normalised(attempt.think), normalised(attempt.answer)):
            return f"copied reflection: it is the {which} attempt once more"
    leak = leaks_gold(response.reflection, trace.problem.answer, strict=strict)
    leak = leak or leaks_gold(response.second.think, trace.problem.answer)
    return None if leak is None else f"leak: {leak}"


def leaks_gold(reflection: str, gold: str, *, strict: bool = False) -> str | None:
    """Why a reflection betrays that its writer was shown the solution; None if it does not.

    A leak is a phrase that speaks of a reference or a key. A reflection may come to the gold value by its own work, so
    the value alone is no leak. `strict` also refuses reflections that state the gold as the answer ("the answer should
    be 7"): right for tasks in which the reflection has to find the mistake and leave the solving to the second attempt.
    """
    text = normalised(reflection)
    found = _LEAK.search(text)
    if found is not None:
        return f"speaks of a solution that the reader does not have: {found.group()!r}"
    wanted = normalised(gold)
    if strict and wanted:
        for stated in _STATED.finditer(text):
            rest = text[stated.end() : stated.end() + len(wanted) + 3].lstrip("$*(\"'")
            if rest.startswith(wanted) and not rest[len(wanted) : len(wanted) + 1].isalnum():
                return f"states the gold as the answer: {stated.group() + wanted!r}"
    return None


def select(
    traces: Sequence[Trace],
    *,
    wrong_share: float | None = 0.7,
    max_count: int | None = None,
    seed: int = 0,
    strict: bool = False,
) -> Selection:
    """Choose SFT samples: drop what `verify_trace` refuses and duplicates, then balance wrong and right first attempts.

    Args:
        traces: Teacher traces in any order.
        wrong_share: Share of kept traces whose first attempt is wrong, between 0 and 1 (the paper: 0.7). The side that
            is too large is thinned at random until the share holds; None keeps every good trace.
        max_count: Keep at most so many.
        seed: Seeds the choice, which depends on nothing else.
        strict: As for `leaks_gold`.
    """
    if wrong_share is not None and not 0 <= wrong_share <= 1:
        raise ValueError(f"wrong_share {wrong_share!r} must lie between 0 and 1")
    if max_count is not None and max_count < 0:
        raise ValueError(f"max_count {max_count!r} must not be negative")
    good: list[int] = []
    dropped: list[Dropped] = []
    seen: dict[tuple[str, str], int] = {}
    for index, trace in enumerate(traces):
        refused = verify_trace(trace, strict=strict)
        if refused is not None:
            dropped.append(Dropped(index, refused.partition(":")[0], refused))
            continue
        first = seen.setdefault((trace.problem.id, normalised(trace.text)), index)
        if first != index:
            dropped.append(Dropped(index, "duplicate", f"duplicate: same text as trace {first} for this problem"))
        else:
            good.append(index)
    wrong = [index for index in good if not traces[index].first_grade.is_correct]
    right = [index for index in good if traces[index].first_grade.is_correct]
    rng = random.Random(f"select/{seed}")
    rng.shuffle(wrong)
    rng.shuffle(right)
    num_wrong, num_right = _balance(len(wrong), len(right), wrong_share, max_count)
    why = f"{len(wrong)} wrong and {len(right)} right first attempts passed, wrong_share is {wrong_share!r}"
    why += "" if max_count is None else f", max_count is {max_count}"
    dropped += [Dropped(index, "balance", f"balance: {why}") for index in (*wrong[num_wrong:], *right[num_right:])]
    kept = sorted((*wrong[:num_wrong], *right[:num_right]))
    return Selection(tuple(traces[index] for index in kept), tuple(sorted(dropped)))


def normalised(text: str) -> str:
    """Compatibility forms folded, lower case, runs of white space one blank: what counts as the same text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


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
