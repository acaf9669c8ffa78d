r"""Short sums and products, written out: `\sum_{k=1}^{3} k^2` is `1^2 + 2^2 + 3^2`.

The body is one product with its sign, as in computer algebra: `\sum_{k=1}^{3} k + 1` is 7. What is long, empty or has
no plain bounds stays unread, and is a question for math-verify.
"""

from collections.abc import Callable
from fractions import Fraction

from srpo.grading.rules.nodes import Op, Unreadable

JOINED_BY = {"\\sum": "add", "\\prod": "mul"}
"""Commands, and what joins their terms."""
MAX_TERMS = 64
MAX_NODES = 600
"""Nodes that the series of one formula may have when they are written out."""


def has_series(text: str) -> bool:
    """Whether a text that was read has a sum or a product in it."""
    return any(command in text for command in JOINED_BY)


def written_out(command: str, index: str, low: int, high: int, body: Op, room: int) -> Op:
    """All terms, joined; raises Unreadable where there are none, or more than `room` nodes."""
    count = high - low + 1
    if not 1 <= count <= MAX_TERMS or count * size_of(body) > room:
        raise Unreadable("a series that is empty or long")
    if any(index in part for name in _names(body) for part in name.split("_")[1:]):
        raise Unreadable("an index of an index")
    terms = [_with(body, index, value) for value in range(low, high + 1)]
    # In pairs, so that nesting grows with the logarithm of their number.
    while len(terms) > 1:
        pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
        terms = [Op(JOINED_BY[command], tuple(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return terms[0]


def read_bounds(
    take: Callable[[str], bool], name: Callable[[], str], integer: Callable[[], int]
) -> tuple[str, int, int]:
    """Index and bounds of `_{k=1}^{3}`, in either order, by what takes tokens."""
    index, low, high = "", None, None
    while low is None or high is None:
        if low is None and take("_") and take("{"):
            index = name()
            low = integer() if take("=") else None
            if low is None or not take("}"):
                break
        elif high is None and take("^"):
            braced = take("{")
            high = integer()
            if braced and not take("}"):
                break
        else:
            break
    else:
        return index, low, high
    raise Unreadable("no plain bounds")


def size_of(node: Op) -> int:
    """Nodes of a formula."""
    return 1 + sum(map(size_of, node.args))


def _names(node: Op) -> set[str]:
    return {node.name}.union(*map(_names, node.args)) if node.op == "sym" or node.args else set()


def _with(node: Op, index: str, value: int) -> Op:
    if node.op == "sym":
        if node.name != index:
            return node
        number = Op("num", number=Fraction(abs(value)))
        return number if value >= 0 else Op("neg", (number,))
    return node._replace(args=tuple(_with(child, index, value) for child in node.args)) if node.args else node
