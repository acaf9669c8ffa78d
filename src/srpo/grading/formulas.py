r"""Formulas for rules that compare in a way of their own, as OlympiadBench's judge does.

>>> area = Formula.read(r"$\frac{1}{2} x y$")
>>> area.equals(Formula.read("xy/2")), Formula.read("2 +") is None
(True, True)
"""

from fractions import Fraction
from typing import NamedTuple, Self

from srpo.grading.normalise import clean
from srpo.grading.rules.evaluate import compute, identical, magnitude, sample_values, variables
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.splitting import split_top, trim
from srpo.grading.rules.syntax import parse_formula

__all__ = ["Formula", "ratios", "split_top"]


class Formula(NamedTuple):
    """A formula that was read."""

    node: Op

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read LaTeX or ASCII; None when this is no formula that our parser knows."""
        node = parse_formula(trim(clean(text)))
        return None if node is None else cls(node)

    @property
    def is_constant(self) -> bool:
        """Whether it has no variables."""
        return not variables(self.node)

    def minus(self, other: "Formula") -> "Formula":
        """The difference of the two."""
        return Formula(Op("add", (self.node, Op("neg", (other.node,)))))

    def equals(self, other: "Formula") -> bool | None:
        """Equal for all values of the variables; None when that cannot be told."""
        return True if self == other else identical(self.node, other.node)

    def is_near(self, other: "Formula", tolerance: float) -> bool:
        """Whether two constants differ by no more than `tolerance`; False for those too large to compute."""
        left, right = compute(self.node), compute(other.node)
        if left is None or right is None:
            return False
        try:
            if isinstance(left, Fraction) and isinstance(right, Fraction):
                return abs(left - right) <= Fraction(tolerance)
            return magnitude(left - right) <= tolerance
        except OverflowError:
            return False


def ratios(above: Formula, below: Formula, num_trials: int) -> list[float]:
    """`above / below` at up to `num_trials` fixed places, without those at which either is zero, complex or undefined.

    >>> ratios(Formula.read("2x"), Formula.read("x"), 2)
    [2.0, 2.0]
    """
    names = variables(above.node) | variables(below.node)
    found: list[float] = []
    for trial in range(num_trials):
        values = sample_values(names, trial)
        a, b = compute(above.node, values), compute(below.node, values)
        if a is None or b is None or isinstance(a, complex) or isinstance(b, complex) or not a or not b:
            continue
        found.append(float(a / b))
    return found
