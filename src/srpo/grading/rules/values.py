"""What an answer can be: the values that the grader compares.

`reading.read` turns a text into an `Reading`, `compare.same` compares two of them.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from srpo.grading.rules.evaluate import Constant
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.units import Unit


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, with its unit apart."""

    value: Constant
    unit: Unit | None = None
    percent: bool = False
    decimals: int = 0
    """Places after the point, as written."""
    has_pi: bool = False
    approximate: bool = False
    """Written with ≈ or "about"."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula with variables, or a constant too large to compute."""

    node: Op
    text: str


@dataclass(frozen=True, slots=True)
class Several:
    """Several answers in one: `(1,2)` tuple, `[1,2]` bracket, `{1,2}` set, `1, 2` list, `1-2` range, `①②`
    statements by their numbers, `(1) 5 (2) 12` parts of a question in their order.
    """

    kind: Literal["tuple", "bracket", "set", "list", "range", "statements", "parts"]
    items: tuple["Reading", ...]
    either: bool = False
    """Written with `or`: alternatives, and no point or pair."""


@dataclass(frozen=True, slots=True)
class Span:
    """One interval; ends are floats for ±∞."""

    low: Constant
    low_closed: bool
    high: Constant
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Intervals:
    """A union of disjoint intervals in ascending order; `variable` when it was written as an inequality."""

    spans: tuple[Span, ...]
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """`a = b`, `a < b < c`: the sides, and the signs between them. Descending chains are turned round."""

    sides: tuple[Op, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`2:3`, `1:2:3`."""

    parts: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time of day. `half` is am or pm when the text tells (15:15 tells pm)."""

    hour: int
    minute: int
    second: int
    half: Literal["am", "pm", ""]
    all_day: bool = False
    """Written with the hours of the whole day: 16:05, 0:30."""


@dataclass(frozen=True, slots=True)
class CalendarDate:
    """A day, month or year of the calendar, or a weekday; None where it is not said."""

    year: int | None
    month: int | None
    day: int | None
    weekday: str = ""


@dataclass(frozen=True, slots=True)
class Bearing:
    """A compass direction as degrees clockwise from north."""

    azimuth: Fraction
    true: bool = False
    """Written as a true bearing (118°T), which is an ordinary angle with a remark."""


@dataclass(frozen=True, slots=True)
class MatrixRows:
    """Rows of a matrix; a column vector has one entry in each row."""

    rows: tuple[tuple["Reading", ...], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Text: anything that is nothing else. `mathematical` when it looks like a formula that was not understood."""

    text: str
    mathematical: bool = False


Content = (
    Number
    | Expression
    | Several
    | Intervals
    | Relation
    | Ratio
    | ClockTime
    | CalendarDate
    | Bearing
    | MatrixRows
    | Words
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, the label in front of it (`x =`, `Area =`), and other readings of the same text."""

    value: Content
    label: str = ""
    others: tuple[Content, ...] = ()
    """`y = 2x + 1` is also the expression `2x + 1`; `2,5` is also the number 2.5."""
