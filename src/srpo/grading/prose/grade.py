"""Grading what models write in words, without an LLM that reads it first.

MathVista's authors let GPT-4 take the answer out of a response, and HallusionBench's let GPT-4 judge it. Here rules
read the answer, given the question: what `srpo.grading` takes for the marked answer (box, answer block, `the answer
is`) comes first, then the statement that takes up the question and concludes (`choice`, `number`, `yes_no`). Nothing
is guessed: a refusal, a range and two options named alike are no answer, and so are wrong. How well that agrees with
the authors' verdicts, and where it does not: docs/agreement.md.

    >>> item = Problem(id="1", question="How many objects are left?", answer="3")
    >>> grade_number(item, "After subtracting 2 cubes, there are 3 objects left. I hope this helps!", None).verdict
    'correct'
"""

import math
import re
from fractions import Fraction
from string import ascii_uppercase

from srpo.core.cleaning import spoken
from srpo.core.records import Grade, Problem
from srpo.grading.grader import Grader
from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.prose.choice import read_choice
from srpo.grading.prose.mentions import mentions
from srpo.grading.prose.number import read_number
from srpo.grading.prose.refusals import answering
from srpo.grading.prose.text import marked_answer, statements
from srpo.grading.prose.yes_no import UNCLEAR, read_yes_no
from srpo.grading.rules.route import CHOOSES_NONE
from srpo.grading.rules.text import gold_yes_no, same_text

_TAIL_CHARS = 4000
_SHORT_CHARS = 200
_LETTERS_ONLY = pattern(r"[A-Za-z][A-Za-z -]{3,60}", yes="market risk", no="24/7", by="fullmatch")
_ALTERNATIVE = pattern(r"\b(?:or|either|and|but)\b|[,;]", re.IGNORECASE, yes="red or blue", no="red")
_PLAIN_NUMBER = pattern(r"(?<![\w.])-?\d{1,40}(?:\.\d{1,40})?(?!\w)", yes="in 2014", no="v2014")
_LIST = pattern(r"[\[(]([^\[\]()]{1,400})[\])]", yes="[1, 2]", no="1, 2")


def grade_option(problem: Problem, text: str) -> Grade:
    """Grade by the text of the chosen option; an option that is listed twice is one."""
    if not any(same_text(problem.answer, option) for option in problem.choices):
        reason = f"the gold answer {problem.answer!r} is none of the {len(problem.choices)} options"
        return Grade(verdict="ungradable", extracted=None, reason=reason)
    found = read_choice(spoken(text), problem.question, problem.choices)
    if found.number is None:
        return Grade(verdict="incorrect", extracted=None, reason=f"no answer: {found.reason}")
    chosen = problem.choices[found.number]
    right = same_text(chosen, problem.answer)
    return Grade(verdict="correct" if right else "incorrect", extracted=chosen, reason=f"option: {found.reason}")


def grade_letter(problem: Problem, text: str, grader: Grader) -> Grade:
    """Grade a gold letter by the rules; where they find no option chosen, by what the prose says of the options."""
    found = grader.grade(problem, text)
    if CHOOSES_NONE not in found.reason:
        return found
    read = read_choice(spoken(text), problem.question, problem.choices)
    if read.number is None:
        return found
    again = grader.grade(problem, ascii_uppercase[read.number])
    return again.model_copy(update={"extracted": problem.choices[read.number], "reason": f"letter: {read.reason}"})


def names_gold(gold: str, said: str) -> bool:
    """Does a short answer name a gold of words among others, and no alternative: `transformational leadership`?

    >>> names_gold("transformational", "It is an example of transformational leadership.")
    True
    >>> names_gold("transformational", "transactional or transformational"), names_gold("red", "not red")
    (False, False)
    """
    if len(said) > _SHORT_CHARS or not _LETTERS_ONLY.fullmatch(gold) or _ALTERNATIVE.search(said):
        return False
    return any(not mention.rejected for mention in mentions(said, (gold,)))


def grade_number(problem: Problem, text: str, precision: int | None, unit: str = "") -> Grade:
    """Grade a number as MathVista does: `precision` decimals after rounding; None cuts off all decimals (14.9 is 14).

    Units do not count.
    """
    try:
        gold = Fraction(problem.answer)
    except (ValueError, ZeroDivisionError):
        reason = f"the gold answer {problem.answer!r} is no number"
        return Grade(verdict="ungradable", extracted=None, reason=reason)
    found = read_number(spoken(text), problem.question, unit)
    if found.value is None:
        return Grade(verdict="incorrect", extracted=None, reason=f"no answer: {found.reason}")
    right = as_official(found.value, precision) == as_official(gold, precision)
    shown = f"{float(found.value):.12g}" if abs(found.value) < _LARGEST else "too large"
    return Grade(verdict="correct" if right else "incorrect", extracted=shown, reason=f"number: {found.reason}")


_LARGEST = Fraction(10) ** 300


def as_official(value: Fraction, precision: int | None) -> Fraction | float | int:
    """What MathVista's code compares: the float rounded, or the whole part."""
    if precision is None:
        return math.trunc(value)
    return round(float(value), precision) if abs(value) < _LARGEST else value


def grade_list(problem: Problem, text: str) -> Grade:
    """Grade a list of numbers by its values in order; the last list of the text counts."""
    gold = _numbers(problem.answer)
    if gold is None:
        return Grade(verdict="ungradable", extracted=None, reason=f"the gold answer {problem.answer!r} is no list")
    text = spoken(text)
    marked = marked_answer(text)
    said = (marked.text or "") if marked else text
    lists = _LIST.findall(said[-_TAIL_CHARS:]) or _LIST.findall(text[-_TAIL_CHARS:]) or [said]
    given = _numbers(lists[-1]) or _listed(text, problem.question)
    if given is None:
        return Grade(verdict="incorrect", extracted=None, reason="no answer: no list of numbers")
    shown = ", ".join(f"{float(value):.12g}" for value in given[:50])
    reason = "list: equal" if given == gold else "list: different"
    return Grade(verdict="correct" if given == gold else "incorrect", extracted=f"[{shown}]", reason=reason)


def _listed(text: str, question: str) -> list[Fraction] | None:
    """The numbers of the last statement that names several: `between 2014 and 2016`."""
    for statement in reversed(answering(statements(text), question)):
        found = [Fraction(number) for number in _PLAIN_NUMBER.findall(statement.text)]
        if len(found) > 1:
            return found
    return None


def _numbers(text: str) -> list[Fraction] | None:
    parts = [part.strip(" '\"") for part in re.split(r",|;|\band\b", clean(text).strip("[]() ")) if part.strip()]
    try:
        return [Fraction(part) for part in parts if len(part) <= 40] if parts else None
    except (ValueError, ZeroDivisionError):
        return None


def grade_verdict(problem: Problem, text: str, *, unclear_is_right: bool = False) -> Grade:
    """Grade a yes-or-no question.

    Args:
        problem: Its gold is yes or no.
        text: A response.
        unclear_is_right: Whether a text that says that it cannot tell is right, as HallusionBench has it where nothing
            is shown. A text that says nothing is wrong in any case.
    """
    gold = gold_yes_no(problem.answer)
    if gold is None:
        return Grade(verdict="ungradable", extracted=None, reason=f"the gold answer {problem.answer!r} is no yes or no")
    found = read_yes_no(spoken(text), problem.question)
    if found.verdict is None:
        right = unclear_is_right and found.reason == UNCLEAR
        return Grade(verdict="correct" if right else "incorrect", extracted=None, reason=f"no answer: {found.reason}")
    right = found.verdict == gold
    return Grade(verdict="correct" if right else "incorrect", extracted=found.verdict, reason=f"yes_no: {found.reason}")
