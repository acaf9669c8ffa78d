"""Expression trees, and the tokens that the parser reads."""

from fractions import Fraction
from typing import NamedTuple

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words

_MAX_TOKENS = 300


class Op(NamedTuple):
    """One operation: `num`, `sym`, `add`, `mul`, `div`, `neg`, `pow`, `abs`, `fact`, `binom`, `root` or a function."""

    op: str
    args: tuple["Op", ...] = ()
    name: str = ""
    """Variable or function name."""
    number: Fraction = Fraction(0)
    """Value of a `num`."""


FUNCTIONS = frozenset(
    words(
        "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh asin acos atan ln log lg exp sqrt cbrt "
        "abs max min gcd lcm"
    )
)
"""Names of functions."""
PREFIX_FUNCTIONS = ("sin", "cos", "tan", "ln", "log", "sqrt")
"""Functions that may stand right before their argument: `sinx`."""
GREEK_NAMES = frozenset(words("alpha beta gamma delta theta lambda mu rho sigma phi omega"))
ENGLISH = frozenset(
    words("to of in is or no if at by on it so an as we he the and not for are was but yes all has had its one two")
)
"""Short words that are no products of variables."""
CONSTANTS = {"π": "π", "pi": "π", "e": "e"}


class Unreadable(Exception):  # noqa: N818 - it is control flow inside the grader, never seen by users
    """The text is not an expression that this parser knows."""


_TOKEN = pattern(
    r"\s*(?:(?P<num>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3}(?![\dA-Za-z.]))?|\d+\.(?!\d))"
    r"|(?P<cmd>\\[A-Za-z]+)|(?P<name>[A-Za-z]+)|(?P<other>\S))",
    yes=" 12.5",
    no=" ",
    by="match",
)


class Token(NamedTuple):
    """A piece of an expression, where it stands, and whether white space stands before it."""

    kind: str
    text: str
    start: int
    end: int
    spaced: bool


def tokens_of(text: str) -> list[Token]:
    """Cut a text into tokens; raises Unreadable when there are too many."""
    found: list[Token] = []
    position = 0
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup or ""
        start = match.start(kind)
        found.append(Token(kind, match.group(kind), start, match.end(), start > position))
        position = match.end()
        if len(found) > _MAX_TOKENS:
            raise Unreadable("too long")
    return found


def number_node(text: str) -> Op:
    """A literal as a node."""
    return Op("num", number=Fraction(text if not text.endswith(".") else text[:-1]))
