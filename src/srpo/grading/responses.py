"""One way from a generated text to two grades, for evaluation, RL and reflection data alike.

Style `reflective`: the answer blocks count, even when the format around them is broken; the final answer is the last
one that is not the first. A text that stops after its first answer has no final answer: it is incorrect, and no first
answer is passed off as a confirmed one. Style `single`: the answer block, and when the format is broken, whatever final
answer the whole text has (plain models are evaluated in this style).
"""

from collections.abc import Callable
from typing import NamedTuple

from srpo.core.records import Attempt, FormatError, Grade, Problem, Response, Style
from srpo.core.response import parse, parse_attempt, pieces
from srpo.grading import SymbolicVerifier, grade

Grader = Callable[[str], Grade]
"""Grades an answer or a whole text against one gold."""


class Scored(NamedTuple):
    """What a text turned out to be; the fields are those of `Trace`."""

    response: Response | Attempt | None
    format_error: FormatError | None
    first_grade: Grade
    final_grade: Grade


def score_text(problem: Problem, text: str, style: Style, symbolic: SymbolicVerifier | None = None) -> Scored:
    """Parse `text` and grade its first and its final answer against the problem's gold."""
    return score_with(lambda answer: grade(problem, answer, symbolic=symbolic), text, style)


def score_with(grader: Grader, text: str, style: Style) -> Scored:
    """`score_text` with a rule of its own, as benchmarks have them."""
    return _score_reflective(grader, text) if style == "reflective" else _score_single(grader, text)


def _score_reflective(grader: Grader, text: str) -> Scored:
    response = parse(text)
    if isinstance(response, Response):
        return Scored(response, None, grader(response.first.answer), grader(response.second.answer))
    found = pieces(text)
    first = _grade_found(grader, found.first_answer, "no first answer")
    return Scored(None, response, first, _grade_found(grader, found.second_answer, "no second answer"))


def _score_single(grader: Grader, text: str) -> Scored:
    attempt = parse_attempt(text)
    if isinstance(attempt, Attempt):
        found = grader(attempt.answer)
        return Scored(attempt, None, found, found)
    found = grader(text)
    return Scored(None, attempt, found, found)


def _grade_found(grader: Grader, answer: str | None, missing: str) -> Grade:
    if answer is not None:
        return grader(answer)
    nothing = grader("")
    return nothing if nothing.verdict == "ungradable" else Grade(verdict="incorrect", extracted=None, reason=missing)
