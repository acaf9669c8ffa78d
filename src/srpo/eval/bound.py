"""A bound on the difference of two runs, as people write it: `final < -1.0`.

    read_bound("final.high < -1").holds(comparison)

Numbers are points: second run less first run, in percent. `final` and `first` are the differences of these answers,
`.low` and `.high` the ends of their 95% intervals.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from srpo.eval.compare import Comparison

_TESTS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_BOUND = re.compile(r"\s*(final|first)(?:\.(low|high))?\s*(<=|<|>=|>)\s*([+-]?\d+(?:\.\d+)?)\s*")


class Bound(NamedTuple):
    """See the module."""

    answer: str
    end: str
    """`value`, `low` or `high`."""
    test: str
    points: float

    def value(self, found: Comparison) -> float:
        """What is tested, in points.

        Raises:
            ValueError: the runs have no first answers.
        """
        for row in found.answers:
            if row.answer == self.answer:
                return 100 * float(getattr(row.difference, self.end))
        raise ValueError(f"--fail_if asks for {self.answer!r} answers, and neither run has any; ask for 'final'")

    def holds(self, found: Comparison) -> bool:
        """Whether the difference is as the bound says."""
        return _TESTS[self.test](self.value(found), self.points)


def read_bound(text: str) -> Bound:
    """Read a bound.

    >>> read_bound("final < -1.0")
    Bound(answer='final', end='value', test='<', points=-1.0)

    Raises:
        ValueError: it is none.
    """
    found = _BOUND.fullmatch(text)
    if found is None:
        raise ValueError(
            f"--fail_if {text!r} is no bound; write final, first or one of their ends (final.low, final.high), then <, "
            "<=, > or >=, then points, e.g. 'final < -1.0'"
        )
    return Bound(found[1], found[2] or "value", found[3], float(found[4]))
