"""The number that answers a question, read out of prose.

What is marked as the answer comes first. Else the statement that takes up the question best is read, conclusions
before others, and of its numbers the one for which most speaks (`amounts`). A range, two numbers to choose from
and a refusal answer nothing.

>>> read_number("Since the 4 dots are divided into 2 groups, there are 4/2 = 2 dots in each.", "How many dots?").value
Fraction(2, 1)
>>> read_number("Between 3 and 5 people are in the picture.", "How many people are there?").value is None
True
"""

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.prose.amounts import EITHER, POINT, RANGE, Amount, Wanted, amounts, wanted_by
from srpo.grading.prose.refusals import answering
from srpo.grading.prose.text import NOTHING, Statement, marked_answer, overlap, statements
from srpo.grading.rules.reading import read
from srpo.grading.rules.values import Number

BARE_CHARS = 60
"""A text of this length without any mark may be the answer itself."""
_ON_TOPIC = 0.3
"""Share of the question's words from which a statement is about it."""


class NumberRead(NamedTuple):
    """The number that a text gives; None when it gives none, with the reason."""

    value: Fraction | None
    reason: str


def read_number(text: str, question: str, unit: str = "") -> NumberRead:
    """The number that `text` gives as the answer to `question`."""
    wanted = wanted_by(question, unit)
    marked = _marked(text, wanted)
    if marked is not None:
        return marked
    if _COUNTS.search(question) and _NONE.fullmatch(text.strip()):
        return NumberRead(Fraction(0), "none is left")
    made = statements(text)
    ranked = _ranked(answering(made, question), wanted)
    if not ranked:
        return NumberRead(None, "gives no answer" if made else "no statement")
    for statement in ranked:
        answer = _answer_in(statement, wanted)
        if answer is not None:
            return answer
    return NumberRead(None, "no number answers the question")


def _marked(text: str, wanted: Wanted) -> NumberRead | None:
    """What is boxed, in an answer block, behind `the answer is`, or the whole of a bare answer."""
    found = marked_answer(text)
    said = (found.text or "") if found else text if len(text) <= BARE_CHARS else ""
    answer = read(said).value if said.strip() else None
    value = answer.value if isinstance(answer, Number) else None
    if isinstance(value, Fraction | int) or (isinstance(value, float) and math.isfinite(value)):
        return NumberRead(Fraction(value), found.how if found else "whole text")
    if found is None:
        return None
    if NOTHING.match(said):
        return NumberRead(None, "gives no answer")
    said = clean(said)
    if RANGE.search(said) or EITHER.search(said):
        return NumberRead(None, "several numbers")
    single = _single(amounts(said, wanted))
    return None if single is None else NumberRead(single, found.how)


def _ranked(found: Sequence[Statement], wanted: Wanted) -> list[Statement]:
    """Statements, those first that take up the question, conclude and give a number for it; of equal ones the later."""

    def rank(index: int) -> tuple[float, int]:
        statement = found[index]
        best = max((amount.score for amount in _weighed(statement, wanted)), default=0)
        last = index == len(found) - 1
        worth = overlap(wanted.words, statement) + 0.4 * (wanted.head in statement.stems) + 0.12 * min(best, 5)
        return worth + 0.35 * statement.concludes + 0.15 * last, index

    return [found[index] for index in sorted(range(len(found)), key=rank, reverse=True)]


def _weighed(statement: Statement, wanted: Wanted) -> list[Amount]:
    """The numbers of a statement; what is in bold was meant to be seen."""
    bold = {amount.value for text in statement.bold for amount in amounts(text)}
    return [
        amount._replace(score=amount.score + 2 * (amount.value in bold and amount.score >= 0))
        for amount in amounts(statement.text, wanted)
    ]


def _answer_in(statement: Statement, wanted: Wanted) -> NumberRead | None:
    """What one statement answers; None when it has nothing to say about it."""
    text = statement.text
    if _SUPPOSES.match(text):
        return None
    point = _coordinate(text, wanted.question)
    if point is not None:
        return NumberRead(point, "coordinate")
    usable = [amount for amount in _weighed(statement, wanted) if amount.score >= 0]
    ranges = RANGE.search(text) and not any(amount.score > 2 for amount in usable)
    if ranges or EITHER.search(text):
        return NumberRead(None, "several numbers") if overlap(wanted.words, statement) >= _ON_TOPIC else None
    if not usable and _NOTHING_LEFT.search(text) and wanted.nouns.intersection(statement.stems):
        return NumberRead(Fraction(0), "none is left")
    value = _single(usable)
    return None if value is None else NumberRead(value, "prose")


_NOTHING_LEFT = pattern(
    r"\b(?:there (?:are|is|were|will be|would be) (?:now )?(?:no|none|nothing)|none (?:is|are|of)"
    r"|(?:no|zero) (?:\w+ ){1,4}(?:are |is |would be |will be )?(?:left|remain))\b",
    re.IGNORECASE,
    yes="there are no cats",
    no="there are cats",
)
_COUNTS = pattern(r"\bhow many\b|\b(?:number|count) of\b", re.IGNORECASE, yes="How many?", no="How long?")
_NONE = pattern(
    r"(?:there (?:are|is|were|was|will be|would be) )?(?:now )?(?:none|nothing|zero"
    r"|no (?!answer|solution|idea|option|information|way|image|data|clue)[a-z]+(?: [a-z]+){0,2})"
    r"(?: (?:left|remaining|anymore|at all))?[.!]?",
    re.IGNORECASE,
    yes="There are no objects left.",
    no="There is no way",
    by="fullmatch",
)
_SUPPOSES = pattern(
    r"\W*(?:but |and |so )?(?:if|suppose|assuming)\b.{0,200}\b(?:were|was|had|would|could)\b",
    re.IGNORECASE,
    yes="If there were 3",
    no="If 3",
    by="match",
)


_ACROSS = pattern(
    r"^when\b|\bx[ -](?:intercept|value|coordinate)|\bzeros? of\b|\broots?\b|(?:value of|which|what) x\b",
    re.IGNORECASE,
    yes="the x-intercept",
    no="the y-intercept",
)
_UP = pattern(
    r"\by[ -](?:intercept|value|coordinate)|value of (?:y\b|f\(|the function)|(?:local |\b)(?:maxim|minim)um",
    re.IGNORECASE,
    yes="the maximum",
    no="the x-intercept",
)


def _coordinate(text: str, question: str) -> Fraction | None:
    """The coordinate that is asked for, where a statement names one point."""
    points = POINT.findall(text)
    if len(points) != 1:
        return None
    across, up = _ACROSS.search(question), _UP.search(question)
    if bool(across) == bool(up):
        return None
    return Fraction(points[0][0 if across else 1])


def _single(found: Iterable[Amount]) -> Fraction | None:
    """The value of the best amount, when all the best ones are equal; of several results the last."""
    usable = [amount for amount in found if amount.score >= 0]
    if not usable:
        return None
    best = max(amount.score for amount in usable)
    values = [amount.value for amount in usable if amount.score == best]
    if len(set(values)) == 1 or best >= 4:
        return values[-1]
    return None
