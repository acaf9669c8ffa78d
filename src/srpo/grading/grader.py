"""`Grader`: one owner of everything that grading needs, the symbolic worker included. Stages take it, users may.

    with Grader() as grader:  # math-verify is asked where the rules cannot tell
        grader.grade(problem, "The answer is 7.").verdict
        grader.grade_response(problem, text, "reflective").final_grade

A response has two answers. Style `reflective`: the answer blocks count, even when the format around them is broken; the
final answer is the last one that is not the first. A text that stops after its first answer has no final answer: it is
incorrect, and no first answer is passed off as a confirmed one. Style `single`: the answer block, and when the format
is broken, whatever final answer the whole text has (plain models are evaluated in this style).
"""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from srpo.core.records import FormatError, Grade, GradedText, Problem, Style, TokenCounts
from srpo.core.response import parse, parse_attempt, pieces
from srpo.core.rewards import RewardCase
from srpo.grading.rules.choices import option_beside
from srpo.grading.rules.route import Aids, SymbolicVerifier, grade_answer
from srpo.grading.symbolic import SymbolicPool
from srpo.runs.progress import note

_MOST_KEPT = 10_000
"""Grades that a grader remembers."""
_KEPT_CHARS = 400
"""Longest text whose grade is remembered."""

Rule = Callable[[str], Grade]
"""Grades an answer, or a whole text without blocks, against one gold."""


class Grader:
    """Grades answers and whole responses. Safe to call from many threads; close it, or use it in a `with`."""

    def __init__(
        self, *, symbolic: bool | SymbolicVerifier = True, rounded: float | None = None, num_workers: int = 1
    ) -> None:
        """Start nothing yet: a worker process starts when it is needed.

        Args:
            symbolic: Ask math-verify about mathematics that no rule reads, or a verifier of your own.
            rounded: Relative tolerance for decimals that answer an exact gold: 0.01 lets 8.66 answer 5√3. None asks for
                exact answers.
            num_workers: Processes that may run math-verify at the same time, for callers with as many threads.

        Raises:
            ValueError: `rounded` is no share.
        """
        if rounded is not None and not 0 < rounded < 1:
            raise ValueError(f"rounded must be between 0 and 1, as 0.01, or None; not {rounded!r}")
        self._pool = SymbolicPool(num_workers=num_workers) if symbolic is True else None
        self._verifier: SymbolicVerifier | None = self._pool if isinstance(symbolic, bool) else symbolic
        self._aids = Aids(self._verifier, rounded)
        # A verifier of the user's own may say something else the next time.
        self._keeps = isinstance(symbolic, bool)
        self._kept: dict[tuple[object, ...], Grade] = {}

    def grade(self, problem: Problem, text: str) -> Grade:
        """Grade an answer, or the final answer of a whole text, against the problem's gold answer.

        An ungradable gold is `ungradable`, an answer on which computer algebra ran out of its CPU time `undecided`; a
        text without a final answer, with several answers where one is asked for, or with a hedge is `incorrect`.
        """
        if not self._keeps or len(text) > _KEPT_CHARS:
            return grade_answer(problem, text, self._aids)
        # The responses of a group share their gold, and give the same answer again and again.
        asked = (problem.answer, problem.choices, problem.kind, text)
        found = self._kept.get(asked)
        if found is None:
            found = grade_answer(problem, text, self._aids)
            if found.verdict == "undecided":
                return found
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[asked] = found
        return found

    def grade_response(self, problem: Problem, text: str, style: Style) -> GradedText:
        """Parse `text`, and grade its first and its final answer.

        A letter beside the text of another option earns nothing here, where `grade` believes the letter: a policy must
        not learn to name two options.
        """
        return grade_with(lambda answer: _of_one_option(self.grade(problem, answer), problem), text, style)

    def verify(self, gold: str, prediction: str) -> bool | None:
        """Are two formulas equal by computer algebra? None when nobody can tell; may raise OutOfTime."""
        return None if self._verifier is None else self._verifier.verify(gold, prediction)

    @property
    def num_workers(self) -> int:
        """Processes that may run at the same time; 0 where there is none to wait for."""
        return 0 if self._pool is None else self._pool.num_workers

    def close(self) -> None:
        """Stop the workers; says so when one of them ran out of time."""
        if self._pool is None:
            return
        self._pool.close()
        if self._pool.num_timeouts:
            note(
                f"srpo: math-verify ran out of its CPU time on {self._pool.num_timeouts} comparisons; "
                "they are undecided, and do not count"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


RULES_ONLY: Final = Grader(symbolic=False)
"""Nothing but the rules: no process, nothing to close."""


def grade(problem: Problem, text: str) -> Grade:
    """Grade by the rules alone; see `Grader.grade`."""
    return RULES_ONLY.grade(problem, text)


Score = Callable[[Problem, str, Style], GradedText]
"""`Grader.grade_response`, or a rule of somebody else's."""


def case_of(
    problem: Problem, text: str, tokens: TokenCounts, style: Style, score: Score = RULES_ONLY.grade_response
) -> RewardCase:
    """Parse and grade a text: all that `core.rewards.pay` needs to know of it.

    It stands here and not beside `pay` because core grades nothing.

        >>> from srpo.core.rewards import pay
        >>> problem, tokens = Problem(id="1", question="3+4?", answer="7"), TokenCounts(prompt=9, total=7)
        >>> case = case_of(problem, "<think>3+4</think><answer>7</answer>", tokens, "single")
        >>> {term.name: term.value for term in pay(case, "answer").terms}
        {'format': 0.5, 'accuracy': 1.0}
    """
    graded = score(problem, text, style)
    return RewardCase(problem, text, graded.parsed, graded.first_grade, graded.final_grade, tokens, style)


def grade_with(rule: Rule, text: str, style: Style) -> GradedText:
    """`Grader.grade_response` by a rule of one's own, as benchmarks have them."""
    return _grade_reflective(rule, text) if style == "reflective" else _grade_single(rule, text)


def _of_one_option(grade: Grade, problem: Problem) -> Grade:
    if grade.is_correct and problem.choices and option_beside(grade.extracted or "", problem.choices):
        return grade.model_copy(update={"verdict": "incorrect", "reason": "letter and text name different options"})
    return grade


def _grade_reflective(rule: Rule, text: str) -> GradedText:
    parsed = parse(text)
    if not isinstance(parsed, FormatError):
        return GradedText(parsed, rule(parsed.first.answer), rule(parsed.second.answer))
    found = pieces(text)
    first = _grade_found(rule, found.first_answer, "no first answer")
    return GradedText(parsed, first, _grade_found(rule, found.second_answer, "no second answer"))


def _grade_single(rule: Rule, text: str) -> GradedText:
    parsed = parse_attempt(text)
    found = rule(text if isinstance(parsed, FormatError) else parsed.answer)
    return GradedText(parsed, found, found)


def _grade_found(rule: Rule, answer: str | None, missing: str) -> Grade:
    if answer is not None:
        return rule(answer)
    nothing = rule("")
    return nothing if nothing.verdict == "ungradable" else Grade(verdict="incorrect", extracted=None, reason=missing)
