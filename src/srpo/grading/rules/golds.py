"""Gold answers, read once: what kind they are, what they say, and why some cannot be graded against."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from srpo.core.records import Problem
from srpo.grading.answers import extract_answer
from srpo.grading.normalise import MAX_ANSWER_CHARS, clean
from srpo.grading.patterns import pattern
from srpo.grading.rules.choices import LETTERS
from srpo.grading.rules.gold_choices import GoldChoice, gold_choice
from srpo.grading.rules.reading import read
from srpo.grading.rules.sentences import reductions
from srpo.grading.rules.text import YesNo, fold, gold_yes_no
from srpo.grading.rules.values import (
    Bearing,
    CalendarDate,
    ClockTime,
    Expression,
    Intervals,
    MatrixRows,
    Number,
    Ratio,
    Reading,
    Relation,
    Several,
    Words,
)

GoldKind = Literal[
    "letter", "letters", "option", "yes_no", "number", "percent", "ratio", "time", "bearing", "interval", "inequality",
    "set", "tuple", "list", "range", "date", "statements", "parts", "relation", "expression", "matrix", "text",
]  # fmt: skip
_HINTS = frozenset(
    ("ratio", "time", "expression", "text", "list", "tuple", "interval", "set", "letter", "letters", "option")
)

_UNREAD = Reading(Words(""))


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer, read once."""

    kind: GoldKind
    text: str
    hint: str = ""
    original: str = ""
    """The whole gold, cleaned, where `text` leaves out a remark or the working around a box."""
    raw: str = ""
    """The text before cleaning, as a computer algebra system would like it."""
    answer: Reading = _UNREAD
    choice: GoldChoice | None = None
    verdict: YesNo | None = None
    error: str = ""
    """Why nothing can be graded against this gold; empty when it is fine."""


UNIQUE = pattern(
    r"\s?\((?:(?:the )?answers?(?: may vary|(?: is)? not unique)|not unique|答案不唯一)[^()]{0,60}\)\s{0,3}$",
    re.IGNORECASE,
    yes="DE = DF (answer not unique)",
    no="12 (or 13)",
)
"""What data sets, and models, add to one answer of several."""
REMARK = pattern(
    r"\s?\((?:or |not unique|(?:the )?answers?(?: may vary|(?: is)? not unique)|答案不唯一)[^()]{0,60}\)\s{0,3}$",
    yes="5 (answers may vary)",
    no="5 (cm)",
)
_PROSE_CHARS = 100
_PLACEHOLDERS = frozenset(("nan", "null", "n/a", "?", "tbd", "-", "..."))


def _untagged(gold: str) -> str:
    """What a gold holds that is a response, with its tags or GSM8K's mark in front of the answer."""
    if "<" not in gold and "####" not in gold:
        return gold
    found = extract_answer(gold)
    marked = found.how == "answer block" or gold.lstrip().startswith("####") or "\n####" in gold
    return found.text if marked and found.text is not None else gold


def _outside(gold: str, choices: tuple[str, ...]) -> str:
    is_index = gold.isdigit() and int(gold) < len(LETTERS)
    hint = f"; if it is an index from 0, write {LETTERS[int(gold)]!r} or the option's text" if is_index else ""
    return f"the gold answer {gold!r} is none of the {len(choices)} options{hint}"


def lines_once(gold: str) -> str:
    r"""`-4.9\n-4.9` is one answer; different lines are a list."""
    lines = [line.strip() for line in gold.splitlines() if line.strip()]
    if len(lines) < 2:
        return gold
    return lines[0] if len(set(lines)) == 1 else ", ".join(lines)


def _hint(kind: str | None) -> str:
    name = (kind or "").lower()
    return "letter" if name.startswith("mcq") else name if name in _HINTS else ""


@lru_cache(maxsize=2048)
def read_gold(gold: str, choices: tuple[str, ...], kind: str | None) -> Gold:  # noqa: PLR0911 - one return a kind
    """Read a gold answer; `error` is set when it cannot be graded against."""
    hint = _hint(kind)
    if len(gold) > MAX_ANSWER_CHARS:
        return Gold("text", gold[:80], error="the gold answer is too long")
    gold = lines_once(_untagged(gold))
    original = clean(gold)
    gold = REMARK.sub("", gold)
    if "boxed" in gold and (boxed := extract_answer(gold)).text is not None:
        gold = boxed.text
    text = clean(gold)
    if not text or text.lower() in _PLACEHOLDERS or not fold_or_sign(text):
        return Gold("text", text, error=f"the gold answer {gold!r} is empty")
    choice = gold_choice(gold, choices, hint) if hint != "text" else None
    if choice is not None:
        return Gold("letters" if len(choice.letters) > 1 and not choice.any_of else "letter", text, hint, choice=choice)
    if choices and hint != "text":
        return Gold("letter", text, error=_outside(gold, choices))
    decided = gold_yes_no(text)
    if decided is not None:
        return Gold("yes_no", text, hint, answer=Reading(Words(text)), verdict=decided)
    raw = gold.strip().strip("$")
    answer = read(gold, hint)
    if (len(gold) > _PROSE_CHARS or "answer" in gold.lower()) and is_unread(answer):
        answer = _concluded(gold, hint) or answer
    if isinstance(answer.value, Words) and answer.value.mathematical and _unbalanced(text):
        return Gold("text", text, error=f"the gold answer {gold!r} is not well formed")
    if isinstance(answer.value, Relation | Expression):
        # x^2 + y^2 = 49 and 12k are golds of algebra, and neither 49 nor 12000 answers them
        answer = replace(answer, others=tuple(one for one in answer.others if not isinstance(one, Number)))
    return Gold(_kind_of(answer), text, hint, original, raw, answer)


def _concluded(gold: str, hint: str) -> Reading | None:
    """The answer at the end of a gold that is a whole solution in words."""
    found = extract_answer(gold)
    if found.text is None or found.how not in ("marker", "conclusion"):
        return None
    return next((answer for text in reductions(found.text) if not is_unread(answer := read(text, hint))), None)


def fold_or_sign(text: str) -> str:
    """What is left of a text as letters, digits or signs that can be an answer."""
    return fold(text) or "".join(c for c in text if c in "<>=≤≥≠+∅√×∞±")


def _unbalanced(text: str) -> bool:
    return (
        text.count("{") != text.count("}") or text.endswith("\\") or text.count("(") > text.count(")") + text.count("]")
    )


def _kind_of(answer: Reading) -> GoldKind:  # noqa: C901, PLR0911 - a table
    match answer.value:
        case Number(percent=percent):
            return "percent" if percent else "number"
        case Expression():
            return "expression"
        case Several(kind=kind):
            return "tuple" if kind == "bracket" else kind
        case Intervals(variable=variable):
            return "inequality" if variable else "interval"
        case Relation():
            return "relation"
        case Ratio():
            return "ratio"
        case ClockTime():
            return "time"
        case CalendarDate():
            return "date"
        case Bearing():
            return "bearing"
        case MatrixRows():
            return "matrix"
    return "text"


def classify_gold(problem: Problem) -> GoldKind | None:
    """The kind of a problem's gold answer; None when it is ungradable."""
    gold = read_gold(problem.answer, problem.choices, problem.kind)
    return None if gold.error else gold.kind


def grade_gold(problem: Problem) -> str | None:
    """Why a problem's gold answer cannot be graded against; None when it can."""
    return read_gold(problem.answer, problem.choices, problem.kind).error or None


def is_unread(answer: Reading) -> bool:
    """Nothing but words, or a list with words in it: a shorter statement may be inside."""
    if isinstance(answer.value, Words):
        return True
    if isinstance(answer.value, Several):
        return any(is_unread(item) for item in answer.value.items)
    return False
