"""Which teacher traces become SFT samples: verified, without leaks and duplicates, in the wanted balance.

`verify_trace` judges one trace; `select` chooses among those that passed, in one pass over an iterator, and keeps a few
bytes of each. The paper takes about 70% revised wrong attempts and 30% refined right ones (section 3.2), and does not
check what its teacher wrote.

    >>> leaks_gold("The reference answer says 7, so I must have missed a bar.", "7")
    "speaks of a solution that the reader does not have: 'reference answer'"
    >>> leaks_gold("The red bar is 4, not 3: 3+4=7, so the sum is 7.", "7") is None
    True
    >>> names_something("I should be more careful next time.", "How tall is the red bar?")
    False
    >>> names_something("The bar ends below the line.", "How tall is the red bar?")
    True
"""

import difflib
import math
import random
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from srpo.core.records import Attempt, FormatError, Problem, Rejected, Response, Trace
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


_CLAIM = re.compile(
    r"[0-9+*/=<>≤≥±×÷√°%^∠∥⊥△≈∞π]"
    r"|\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half|third|quarter|double|twice)\b"
    r"|[一二三四五六七八九十百千半两零]"
)
"""Numbers, in figures or words, and the signs of formulas."""

_WORD = re.compile(r"[^\W\d_]{3,}|[\u3400-\u9fff]")
_EMPTY_WORDS = frozenset(
    """
    about above after again all also and answer answers any are attempt because been before but can check checked
    choose correct could did does down each error find following for from good guess had has have here how image
    into its just look made make mistake more much must next not now off one only option other our out picture
    problem question reasoning reflection result right same shall should shown shows some solution solve step steps
    such sure than that the their them then there these they thing think this those through too under very was well
    were what when where which while who why will with work would wrong you your
    """.split()  # noqa: SIM905  a hundred words in quotes cannot be read
) | frozenset("的了是在不有和我这那个就也都要会对错题目答案图片看想再次应该没为因所以")
"""Words that say nothing about one problem in particular."""

_PLACE = re.compile(r"(?::\d+|\[\d+\])$")
"""The row behind a data file's name."""

_COPY_SHARE = 0.9
"""From this share of common words on, in order, a reflection counts as the attempt once more."""


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


class Decision(IntEnum):
    """About one trace; kept in a byte."""

    KEPT = 0
    DUPLICATE = 1
    CAP = 2
    BALANCE = 3


def verify_trace(trace: Trace, *, strict: bool = False) -> Rejected | None:
    """Why a teacher's trace must not be trained on, None if it may.

    It must have the five blocks, a gradable gold, a right final answer, and a reflection that says something about this
    problem in particular (`names_something`), copies neither attempt and leaks nothing (`leaks_gold`).
    """
    fault = _fault_of(trace, strict=strict)
    return None if fault is None else Rejected.about(trace.problem, "teacher", *fault, sample=trace.sample)


def _fault_of(trace: Trace, *, strict: bool) -> tuple[str, str] | None:
    """Reason and detail."""
    response = trace.parsed
    if isinstance(response, FormatError):
        return "format", f"not five blocks; at character {response.where}, {response.what}"
    if isinstance(response, Attempt):
        return "format", "not five blocks"
    if trace.outcome is None:
        return "ungradable", trace.final_grade.reason
    if not trace.final_grade.is_correct:
        return "final answer wrong", trace.final_grade.reason
    return _fault_of_reflection(trace.problem, response, strict=strict)


def _fault_of_reflection(problem: Problem, response: Response, *, strict: bool) -> tuple[str, str] | None:
    if not says_something(response.reflection):
        return "empty reflection", f"{response.reflection[:40]!r} says nothing"
    reflection = normalised(response.reflection)
    for attempt, which in ((response.first, "first"), (response.second, "second")):
        think = normalised(attempt.think)
        if reflection in (think, normalised(attempt.answer)) or (which == "first" and _is_copy(reflection, think)):
            return "copied reflection", f"it is the {which} attempt once more"
    if not names_something(response.reflection, _topic(problem, response.first)):
        return "nothing checkable", "it names no number, formula or thing of the problem, picture or attempt"
    leak = leaks_gold(response.reflection, problem.answer, strict=strict)
    leak = leak or leaks_gold(response.second.think, problem.answer)
    return None if leak is None else ("leak", leak)


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


def names_something(reflection: str, topic: str) -> bool:
    """Whether a reflection mentions something that can be checked: a number, a formula, or a thing that `topic` names.

    `topic` is whatever the reflection may refer to: question, options, caption, attempt. "I should read more carefully"
    is about no problem at all.
    """
    text = normalised(reflection)
    if _CLAIM.search(text):
        return True
    things = {_stem(word) for word in _WORD.findall(normalised(topic)) if word not in _EMPTY_WORDS}
    return any(_stem(word) in things for word in _WORD.findall(text))


def source_of(problem: Problem) -> str:
    """What a cap counts together: the problem's family, or its data file where it has none."""
    return problem.family or _PLACE.sub("", problem.source)


def select(
    traces: Iterable[Trace],
    *,
    wrong_share: float | None = 0.7,
    max_count: int | None = None,
    caps: Mapping[str, int] | None = None,
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
    wrong, right = _hold_caps(pool, caps or {}, wrong_share)
    num_wrong, num_right = _balance(len(wrong), len(right), wrong_share, max_count)
    for side, kept in ((wrong, num_wrong), (right, num_right)):
        for position in range(kept, len(side)):
            pool.decisions[side[position]] = Decision.BALANCE
    why = f"{len(wrong)} wrong and {len(right)} right first attempts passed, wrong_share is {wrong_share!r}"
    why += "" if max_count is None else f", max_count is {max_count}"
    return Selection(pool.decisions, pool.duplicates, why, num_wrong, num_right)


def normalised(text: str) -> str:
    """Compatibility forms folded, lower case, runs of white space one blank: what counts as the same text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class _Pool(NamedTuple):
    """What `select` remembers of the traces."""

    decisions: bytearray
    wrong: "array[int]"
    """Positions of good traces with a wrong first attempt."""
    right: "array[int]"
    groups: "array[int]"
    """Number of each trace's source in `names`."""
    names: tuple[str, ...]
    duplicates: dict[int, str]
    """What to say about each duplicate."""


def _pool(traces: Iterable[Trace]) -> _Pool:
    decisions, wrong, right, groups = bytearray(), array("I"), array("I"), array("I")
    names: dict[str, int] = {}
    duplicates: dict[int, str] = {}
    problem, seen = None, dict[str, int]()
    for index, trace in enumerate(traces):
        if trace.problem.id != problem:
            problem, seen = trace.problem.id, {}
        decisions.append(Decision.KEPT)
        groups.append(names.setdefault(source_of(trace.problem), len(names)))
        first = seen.setdefault(normalised(trace.text), index)
        if first != index:
            decisions[index] = Decision.DUPLICATE
            duplicates[index] = f"same text as trace {first} for this problem"
        else:
            (right if trace.first_grade.is_correct else wrong).append(index)
    return _Pool(decisions, wrong, right, groups, tuple(names), duplicates)


def _hold_caps(pool: _Pool, caps: Mapping[str, int], wrong_share: float | None) -> "tuple[array[int], array[int]]":
    """The positions that the caps leave, wrong and right; each source keeps its own mix close to `wrong_share`."""
    if not caps:
        return pool.wrong, pool.right
    sizes = [Counter(pool.groups[index] for index in side) for side in (pool.wrong, pool.right)]
    left: list[dict[int, int]] = [{}, {}]
    for group, name in enumerate(pool.names):
        num_wrong, num_right = sizes[0][group], sizes[1][group]
        cap = min(caps.get(name, caps.get("*", num_wrong + num_right)), num_wrong + num_right)
        share = wrong_share if wrong_share is not None else num_wrong / max(1, num_wrong + num_right)
        left[0][group] = min(num_wrong, max(math.floor(cap * share + 0.5), cap - num_right))
        left[1][group] = cap - left[0][group]
    for side, indices in enumerate((pool.wrong, pool.right)):
        num_kept = 0
        for index in indices:
            group = pool.groups[index]
            if left[side][group]:
                left[side][group] -= 1
                # In place: a second array of every position would be a third of what selection holds.
                indices[num_kept] = index
                num_kept += 1
            else:
                pool.decisions[index] = Decision.CAP
        del indices[num_kept:]
    return pool.wrong, pool.right


def _is_copy(reflection: str, think: str) -> bool:
    matcher = difflib.SequenceMatcher(None, reflection.split(), think.split(), autojunk=False)
    return all(ratio() >= _COPY_SHARE for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def _topic(problem: Problem, first: Attempt) -> str:
    return "\n".join((problem.question, *problem.choices, problem.caption, first.think, first.answer))


def _stem(word: str) -> str:
    """Plural and singular are one word."""
    return word.removesuffix("s") if len(word) > 3 else word


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
