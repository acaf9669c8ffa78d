"""One way from a generated text to two grades, for evaluation, RL and reflection data alike.

Style `reflective`: the answer blocks count, even when the format around them is broken; the final answer is the last
one that is not the first. A text that stops after its first answer has no final answer: it is incorrect, and no first
answer is passed off as a confirmed one. Style `single`: the answer block, and when the format is broken, whatever final
answer the whole text has (plain models are evaluated in this style).
"""

from typing import NamedTuple

from srpo.core.grading import SymbolicVerifier, grade, grade_gold
from srpo.core.records import Attempt, FormatError, Grade, Problem, Response, Style
from srpo.core.response import parse, parse_attempt, pieces


class Scored(NamedTuple):
    """What a text turned out to be; the fields are those of `Trace`."""

    response: Response | Attempt | None
    format_error: FormatError | None
    first_grade: Grade
    final_grade: Grade


def score_text(problem: Problem, text: str, style: Style, symbolic: SymbolicVerifier | None = None) -> Scored:
    """Parse `text` and grade its first and its final answer against the problem's gold."""
    return (
        _score_reflective(problem, text, symbolic) if style == "reflective" else _score_single(problem, text, symbolic)
    )


def _score_reflective(problem: Problem, text: str, symbolic: SymbolicVerifier | None) -> Scored:
    response = parse(text)
    if isinstance(response, Response):
        first = grade(problem, response.first.answer, symbolic=symbolic)
        return Scored(response, None, first, grade(problem, response.second.answer, symbolic=symbolic))
    found = pieces(text)
    first = _grade_found(problem, found.first_answer, "no first answer", symbolic)
    final = _grade_found(problem, found.second_answer, "no second answer", symbolic)
    return Scored(None, response, first, final)


def _score_single(problem: Problem, text: str, symbolic: SymbolicVerifier | None) -> Scored:
    attempt = parse_attempt(text)
    if isinstance(attempt, Attempt):
        found = grade(problem, attempt.answer, symbolic=symbolic)
        return Scored(attempt, None, found, found)
    found = grade(problem, text, symbolic=symbolic)
    return Scored(None, attempt, found, found)


def _grade_found(problem: Problem, answer: str | None, missing: str, symbolic: SymbolicVerifier | None) -> Grade:
    if answer is not None:
        return grade(problem, answer, symbolic=symbolic)
    if (reason := grade_gold(problem)) is not None:
        return Grade(verdict="ungradable", extracted=None, reason=reason)
    return Grade(verdict="incorrect", extracted=None, reason=missing)
