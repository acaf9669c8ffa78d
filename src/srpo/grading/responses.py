"""One way from a generated text to two grades, for evaluation, RL and reflection data alike.

Style `reflective`: the answer blocks count, even when the format around them is broken; the final answer is the last
one that is not the first. A text that stops after its first answer has no final answer: it is incorrect, and no first
answer is passed off as a confirmed one. Style `single`: the answer block, and when the format is broken, whatever final
answer the whole text has (plain models are evaluated in this style).
"""

from collections.abc import Callable

from srpo.core.records import Attempt, Grade, GradedText, Problem, Response, Style
from srpo.core.response import parse, parse_attempt, pieces
from srpo.grading import SymbolicVerifier, grade

Grader = Callable[[str], Grade]
"""Grades an answer or a whole text against one gold."""


def score_text(problem: Problem, text: str, style: Style, symbolic: SymbolicVerifier | None = None) -> GradedText:
    """Parse `text` and grade its first and its final answer against the problem's gold."""
    return score_with(lambda answer: grade(problem, answer, symbolic=symbolic), text, style)


def score_with(grader: Grader, text: str, style: Style) -> GradedText:
    """`score_text` with a rule of its own, as benchmarks have them."""
    return _score_reflective(grader, text) if style == "reflective" else _score_single(grader, text)


def _score_reflective(grader: Grader, text: str) -> GradedText:
    response = parse(text)
    if isinstance(response, Response):
        return GradedText(response, grader(response.first.answer), grader(response.second.answer))
    found = pieces(text)
    first = _grade_found(grader, found.first_answer, "no first answer")
    return GradedText(response, first, _grade_found(grader, found.second_answer, "no second answer"))


def _score_single(grader: Grader, text: str) -> GradedText:
    attempt = parse_attempt(text)
    found = grader(attempt.answer if isinstance(attempt, Attempt) else text)
    return GradedText(attempt, found, found)


def _grade_found(grader: Grader, answer: str | None, missing: str) -> Grade:
    if answer is not None:
        return grader(answer)
    nothing = grader("")
    return nothing if nothing.verdict == "ungradable" else Grade(verdict="incorrect", extracted=None, reason=missing)
