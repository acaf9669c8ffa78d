"""Intervals and their unions, written with brackets (`(-∞,4]`) or as inequalities (`x ≤ 4`, `|x| < 2`, `2x+1 > 5`)."""

import math
from fractions import Fraction

from srpo.grading.rules.evaluate import Constant, close, compute, variables
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.syntax import parse_formula
from srpo.grading.rules.values import Content, Intervals, Number, Several, Span

INFINITY = math.inf
_FLIP = {"<": ">", ">": "<", "≤": "≥", "≥": "≤", "≠": "≠", "=": "="}


def endpoint(text: str) -> Constant | None:
    """Read the end of an interval: a constant or ±∞."""
    bare = text.replace(" ", "").replace("infinity", "∞").replace("inf", "∞")
    if bare in ("∞", "+∞"):
        return INFINITY
    if bare == "-∞":
        return -INFINITY
    node = parse_formula(text)
    if node is None or variables(node):
        return None
    value = compute(node)
    return None if isinstance(value, complex) else value


def _order(value: Constant) -> float:
    assert not isinstance(value, complex)
    return float(value)


def same_end(left: Constant, right: Constant) -> bool:
    """Equality of interval ends."""
    if any(isinstance(end, float) and math.isinf(end) for end in (left, right)):
        return left == right
    return close(left, right)


def make_span(low: Constant, low_closed: bool, high: Constant, high_closed: bool) -> Span | None:
    """An interval, or None when it is empty or upside down."""
    if _order(low) > _order(high) or (_order(low) == _order(high) and not (low_closed and high_closed)):
        return None
    return Span(low, low_closed and abs(low) != INFINITY, high, high_closed and abs(high) != INFINITY)


def union(spans: tuple[Span, ...], variable: str = "") -> Intervals:
    """Sort intervals and merge those that overlap or touch."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (_order(span.low), not span.low_closed)):
        if merged:
            last = merged[-1]
            touches = same_end(last.high, span.low) and (last.high_closed or span.low_closed)
            if touches or _order(span.low) < _order(last.high):
                high, closed = last.high, last.high_closed
                if same_end(high, span.high):
                    closed = closed or span.high_closed
                elif _order(span.high) > _order(high):
                    high, closed = span.high, span.high_closed
                merged[-1] = Span(last.low, last.low_closed, high, closed)
                continue
        merged.append(span)
    return Intervals(tuple(merged), variable)


def intersection(left: Intervals, right: Intervals) -> Intervals | None:
    """Points in both; None when there are none."""
    spans = []
    for a in left.spans:
        for b in right.spans:
            low, low_closed = max(
                ((a.low, a.low_closed), (b.low, b.low_closed)), key=lambda end: (_order(end[0]), not end[1])
            )
            high, high_closed = min(
                ((a.high, a.high_closed), (b.high, b.high_closed)), key=lambda end: (_order(end[0]), end[1])
            )
            span = make_span(low, low_closed, high, high_closed)
            if span is not None:
                spans.append(span)
    return union(tuple(spans), left.variable) if spans else None


def equal(left: Intervals, right: Intervals) -> bool:
    """The same set of points, and no contradiction between the variables."""
    if left.variable and right.variable and left.variable != right.variable:
        return False
    if len(left.spans) != len(right.spans):
        return False
    return all(
        same_end(a.low, b.low)
        and same_end(a.high, b.high)
        and (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        for a, b in zip(left.spans, right.spans, strict=True)
    )


def _half_line(sign: str, bound: Constant, variable: str) -> Intervals:
    if sign in "<≤":
        return Intervals((Span(-INFINITY, False, bound, sign == "≤"),), variable)
    if sign in ">≥":
        return Intervals((Span(bound, sign == "≥", INFINITY, False),), variable)
    return Intervals((Span(-INFINITY, False, bound, False), Span(bound, False, INFINITY, False)), variable)


def _absolute(text: str) -> str | None:
    """`z` for `|z|`."""
    return (
        text[1:-1].strip()
        if len(text) <= 12 and text[:1] == text[-1:] == "|" and text[1:-1].strip().isalpha()
        else None
    )


def _one_sided(left: str, sign: str, right: str) -> Intervals | None:
    """Solve one inequality between a linear expression in one unknown and a constant (or two linear expressions)."""
    bound = endpoint(right)
    unknown = _unknown(left)
    if unknown is not None and bound is not None:
        return _half_line(sign, bound, unknown)
    if _absolute(left) is not None and bound is not None and _order(bound) > 0 and sign != "≠":
        inside = _absolute(left) or ""
        minus = -bound
        if sign in "<≤":
            span = make_span(minus, sign == "≤", bound, sign == "≤")
            return Intervals((span,), inside) if span else None
        return union((Span(-INFINITY, False, minus, sign == "≥"), Span(bound, sign == "≥", INFINITY, False)), inside)
    a, b = parse_formula(left), parse_formula(right)
    if a is None or b is None:
        return None
    return _linear(Op("add", (a, Op("neg", (b,)))), sign)


def _linear(difference: Op, sign: str) -> Intervals | None:
    names = variables(difference)
    if len(names) != 1:
        return None
    (name,) = names
    at = [compute(difference, {name: Fraction(x)}) for x in (0, 1, 3, -2)]
    if any(value is None or isinstance(value, complex) for value in at):
        return None
    zero, one, three, minus_two = at
    assert zero is not None
    assert one is not None
    assert three is not None
    assert minus_two is not None
    slope = one - zero
    if not close(three - zero, 3 * slope) or not close(minus_two - zero, -2 * slope) or slope == 0:
        return None
    bound = -zero / slope
    assert not isinstance(slope, complex)
    return _half_line(sign if slope > 0 else _FLIP[sign], bound, name)


def _unknown(text: str) -> str | None:
    """The name when `text` is one unknown: `x`, `x_1`, `f(x)`, `θ`."""
    bare = text.replace(" ", "")
    if len(bare) <= 8 and bare[:1].isalpha() and (len(bare) == 1 or bare[1:2] in ("_", "(", "'") or bare[1:].isdigit()):
        return bare if bare not in ("e", "π") else None
    return None


def from_chain(sides: list[str], signs: list[str]) -> Intervals | None:
    """Read `a < x`, `x ≥ b`, `a < x ≤ b` as intervals; None unless there is exactly one unknown, and it is linear."""
    if any(sign not in _FLIP or sign == "=" for sign in signs) or len(sides) not in (2, 3):
        return None
    if len(sides) == 2:
        if endpoint(sides[0]) is not None:
            return _one_sided(sides[1], _FLIP[signs[0]], sides[0])
        return _one_sided(sides[0], signs[0], sides[1])
    low, high = _one_sided(sides[1], _FLIP[signs[0]], sides[0]), _one_sided(sides[1], signs[1], sides[2])
    if low is None or high is None or low.variable != high.variable:
        return None
    return intersection(low, high)


# -- points, pairs and brackets that may be intervals


def between(opener: str, low_text: str, high_text: str, closer: str) -> Intervals | None:
    """An interval that is half open or has an infinite end; `(1,2)` and `[1,2]` may be one, see `as_intervals`."""
    infinite = "∞" in low_text or "∞" in high_text or "inf" in low_text or "inf" in high_text
    left_closed, right_closed = opener == "[", closer == "]"
    if (
        opener == "]"
        or closer == "["
        or (opener in "([" and closer in ")]" and (left_closed != right_closed or infinite))
    ):
        low, high = endpoint(low_text), endpoint(high_text)
        if low is None or high is None:
            return None
        span = make_span(low, left_closed, high, right_closed)
        return Intervals((span,)) if span is not None else None
    return None


def open_interval(content: Content) -> Intervals | None:
    """Read `(1,2)` and `[1,2]` as intervals; None for everything else."""
    if not isinstance(content, Several) or len(content.items) != 2 or content.kind not in ("tuple", "bracket", "range"):
        return None
    ends = [item.value.value for item in content.items if isinstance(item.value, Number) and item.value.unit is None]
    real: list[Constant] = [end for end in ends if not isinstance(end, complex)]
    if len(real) != 2:
        return None
    closed = content.kind != "tuple"
    span = make_span(real[0], closed, real[1], closed)
    return Intervals((span,)) if span is not None else None


def as_intervals(content: Content) -> Intervals | None:
    """Read `(1,2)`, `[1,2]`, `{1}` as points of the real line where the other side is an interval."""
    if isinstance(content, Intervals):
        return content
    if isinstance(content, Several) and content.kind == "set":
        points = [item.value.value for item in content.items if isinstance(item.value, Number)]
        if points and len(points) == len(content.items) and not any(isinstance(point, complex) for point in points):
            return union(tuple(Span(point, True, point, True) for point in points))
    return open_interval(content)
