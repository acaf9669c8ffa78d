r"""OlympiadBench's judge (arXiv 2402.14008, `auto_scoring_judge.py`): lists, tolerance, intervals, equations.

    >>> olympiad_equal("0.003, 5.233", "0.002, 5.234", 0.001)
    True
    >>> olympiad_equal(r"x^2+y^2=1", r"\boxed{x^{2}=1-y^2}", None)
    True

As there: every box counts, `\approx` is `=`, degree and percent signs fall away, ± are two answers, the order of a list
does not count, a number may also be 100 times the gold or a hundredth of it (percent), a unit is a factor that must be
there, and an equation may be multiplied by a whole number. The tolerance is absolute, 1e-8 unless the item has one.

Differences, on purpose: nothing is handed to sympy in this process; formulas are read by our own parser, whose values
are exact and bounded, and what that cannot read goes to the symbolic verifier, if there is one. Intervals and points of
different lengths are not equal (the official loop stops at the shorter one), `n!` is not `n` (it strips the sign), and
the tolerance also holds for `x = 1.001` against `x = 1`.
"""

import math
import re
from collections.abc import Iterator, Sequence

from srpo.grading import RULES_ONLY, Grader
from srpo.grading.formulas import Formula, ratios, split_top
from srpo.grading.normalise import MAX_ANSWER_CHARS, clean

DEFAULT_TOLERANCE = 1e-8
_SLACK = 1.01
"""The official tolerance is stretched by this, for rounding."""
_MAX_ITEMS = 60
_TRIALS, _NEEDED = 6, 2

_DROPPED = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\$|\^\s?\{?\s?\\circ\s?\}?|°|\\?%|[\u4e00-\u9fff]")
_EQUALS = re.compile(r"\\(?:approx|simeq|sim)(?![A-Za-z])|≈|∼")
_EDGES = "\n$,.:;^_=+`@#%&*~，。 "

Tolerance = float | str | Sequence[float] | None
"""One for all answers, one for each, or the column `error` as it is published (`1e-3`, `0.1,0.01`, empty)."""


def olympiad_equal(gold: str, prediction: str, precision: Tolerance = None, grader: Grader = RULES_ONLY) -> bool:
    """The official verdict on a final answer.

    Args:
        gold: One gold answer of the item.
        prediction: A final answer, boxed or bare.
        precision: Absolute tolerance.
        grader: Asked about formulas that our parser does not read.

    Raises:
        ValueError: `precision` is no number.
    """
    tolerances = read_tolerance(precision)
    if max(len(gold), len(prediction)) > MAX_ANSWER_CHARS:
        return False
    left, right = _prepared(gold), _prepared(prediction)
    if left == right:
        return bool(left)
    golds, answers = list(_alternatives(_items(left))), list(_alternatives(_items(right)))
    if len(golds) != len(answers) or len(golds) > _MAX_ITEMS:
        return False
    free = [item for _, item in answers]
    for position, (index, item) in enumerate(golds):
        # A tolerance for each answer as it is written, or for each one that ± makes of them.
        at = index if len(tolerances) < len(golds) else position
        tolerance = tolerances[min(at, len(tolerances) - 1)] * _SLACK
        found = next((k for k, other in enumerate(free) if _equal(item, other, tolerance, grader)), None)
        if found is None:
            return False
        free.pop(found)
    return True


def read_tolerance(precision: Tolerance) -> tuple[float, ...]:
    """The tolerances as numbers; the default where there is none.

    >>> read_tolerance("0.1,0.01")
    (0.1, 0.01)
    """
    if precision is None:
        return (DEFAULT_TOLERANCE,)
    given = precision.split(",") if isinstance(precision, str) else precision
    parts = given if isinstance(given, Sequence) else [given]
    try:
        found = tuple(float(part) for part in parts if str(part).strip())
    except ValueError:
        found = (-1.0,)
    if not all(0 <= value < math.inf for value in found):
        raise ValueError(f"the tolerance {precision!r} is no number from 0 on, and no list of such numbers with commas")
    return found or (DEFAULT_TOLERANCE,)


# -- taking the texts apart


def _prepared(text: str) -> str:
    text = _boxes(text)
    text = text.split("\\in ", 1)[1] if "\\in " in text else text
    text = _EQUALS.sub("=", _DROPPED.sub("", text.replace("∶", ":").replace("，", ",")))
    return text.strip(_EDGES)


def _boxes(text: str) -> str:
    """Contents of all boxes; else all formulas of the last line; else the text."""
    found = [content for start in _starts(text) if (content := _content(text, start)) is not None]
    if not found:
        found = [part for part in text.strip().split("\n")[-1].split("$")[1::2] if part]
    return ",".join(found) if found else text


def _starts(text: str) -> Iterator[int]:
    """Where the contents of outermost boxes start."""
    at = 0
    while (at := text.find("\\boxed{", at)) >= 0:
        at += len("\\boxed{")
        yield at
        content = _content(text, at)
        at += 0 if content is None else len(content)


def _content(text: str, start: int) -> str | None:
    depth = 1
    for index in range(start, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return text[start:index]
    return None


def _items(text: str) -> list[str]:
    return [item.strip() for item in split_top(text, ",")]


def _alternatives(items: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each answer with its place in the list; ± makes two of one."""
    for index, item in enumerate(items):
        text = item.replace("\\pm", "±")
        for sign in "+-" if "±" in text else " ":
            yield index, text.replace("±", sign)


# -- comparing one answer with one


def _equal(gold: str, other: str, tolerance: float, grader: Grader) -> bool:
    if not gold or not other:
        return False
    if _bare(gold) == _bare(other):
        return True
    if _is_bracketed(gold) and _is_bracketed(other) and _same_intervals(gold, other, tolerance, grader):
        return True
    if _same_number(gold, other, tolerance):
        return True
    if "=" in gold and "=" in other:
        return _same_equation(gold, other, tolerance, grader)
    return _same_expression(gold, other, tolerance, grader)


def _bare(text: str) -> str:
    return clean(text).replace(" ", "").removeprefix("+")


def _is_bracketed(text: str) -> bool:
    return text.startswith(("(", "[")) and text.endswith((")", "]"))


def _same_intervals(gold: str, other: str, tolerance: float, grader: Grader) -> bool:
    lefts, rights = (text.replace("\\cup", "∪").split("∪") for text in (gold, other))
    if len(lefts) != len(rights):
        return False
    for left, right in zip((part.strip() for part in lefts), (part.strip() for part in rights), strict=True):
        if not left or not right or (left[0], left[-1]) != (right[0], right[-1]):
            return False
        ends, others = (_items(part.strip("[]()")) for part in (left, right))
        if len(ends) != len(others):
            return False
        if not all(
            _bare(a) == _bare(b) or _same_expression(a, b, tolerance, grader) for a, b in zip(ends, others, strict=True)
        ):
            return False
    return True


def _same_number(gold: str, other: str, tolerance: float) -> bool:
    try:
        reference, value = float(gold), float(other)
    except ValueError:
        return False
    return any(abs(amount - value) <= tolerance for amount in (reference / 100, reference, reference * 100))


def _same_expression(gold: str, other: str, tolerance: float, grader: Grader) -> bool:
    left, right = Formula.read(_right_side(gold)), Formula.read(_right_side(other))
    if left is None or right is None:
        return _ask(gold, other, grader)
    if left == right:
        return True
    constant = left.is_constant, right.is_constant
    if constant == (True, True):
        return left.is_near(right, tolerance)
    if any(constant):
        return False
    decision = left.equals(right)
    return _ask(gold, other, grader) if decision is None else decision


def _right_side(text: str) -> str:
    """What an equation says its left side is; of a chain, the first value."""
    return text.split("=")[1] if "=" in text else text


def _same_equation(gold: str, other: str, tolerance: float, grader: Grader) -> bool:
    """Is one difference of sides a whole multiple of the other?"""
    if _bare(gold.partition("=")[0]) == _bare(other.partition("=")[0]):
        return _same_expression(gold, other, tolerance, grader)
    left, right = _difference(gold), _difference(other)
    if left is None or right is None:
        return _ask(gold, other, grader)
    factors = ratios(left, right, _TRIALS)
    return len(factors) >= _NEEDED and _whole(factors)


def _difference(text: str) -> Formula | None:
    sides = [Formula.read(side) for side in text.split("=")]
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    return sides[0].minus(sides[1])


def _whole(factors: Sequence[float]) -> bool:
    factor = factors[0] if abs(factors[0]) >= 1 else 1 / factors[0]
    if abs(factor - round(factor)) > 1e-9 * abs(factor):
        return False
    return all(abs(other - factors[0]) <= 1e-9 * abs(factors[0]) for other in factors)


def _ask(gold: str, other: str, grader: Grader) -> bool:
    # Words are compared as texts above; only formulas are worth a question.
    return any(sign in gold + other for sign in "\\^_=+-*/") and bool(grader.verify(gold, other))
