"""Equations, inequalities and approximations: what is a label in front of a value, and what is a relation.

`x = 5` is 5, `p + q = 50` is 50 and an equation, `2x = 10` is an equation alone, `x < 3` an interval.
"""

from collections.abc import Callable
from dataclasses import replace

from srpo.grading.patterns import pattern
from srpo.grading.rules import intervals
from srpo.grading.rules.evaluate import has_function, magnitude, variables
from srpo.grading.rules.labels import is_label
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.quantities import read_quantity, same_amount
from srpo.grading.rules.series import has_series
from srpo.grading.rules.splitting import SIGNS, split_top, top_signs
from srpo.grading.rules.syntax import parse_formula
from srpo.grading.rules.values import Expression, Number, Reading, Relation

_MULTIPLE = pattern(r"-?\d[\d.]{0,8}\s?[a-zA-Z]", yes="3m", no="3 cm", by="fullmatch")
Reader = Callable[[str], Reading]
"""Reads a part of a text."""


def read_relation(text: str, read: Reader) -> Reading | None:  # noqa: PLR0911 - one return a notation
    """Read all of a text with signs of equality or order between its sides; None when it is none."""
    if not any(sign in text for sign in SIGNS):
        return None
    sides = [side.strip() for side in split_top(text, SIGNS)]
    signs = top_signs(text)
    if not signs or len(sides) != len(signs) + 1 or not all(sides) or len(sides) > 12:
        return None
    if "≈" in signs:
        return _approximation(sides, signs, read)
    if all(sign == "=" for sign in signs):
        return _equation(sides, read)
    solved = intervals.from_chain(sides, signs)
    if solved is not None:
        return Reading(solved)
    if any(sign == "=" for sign in signs):
        return read(text.partition("=")[2]) if is_label(sides[0]) and signs[0] == "=" else None
    return _chain(sides, signs)


def _chain(sides: list[str], signs: list[str]) -> Reading | None:
    nodes = [parse_formula(side) for side in sides]
    if signs[0] in ">≥":
        nodes, signs = nodes[::-1], [{">": "<", "≥": "≤"}.get(sign, sign) for sign in reversed(signs)]
    found = tuple(node for node in nodes if node is not None)
    return Reading(Relation(found, tuple(signs))) if len(found) == len(nodes) else None


def _approximation(sides: list[str], signs: list[str], read: Reader) -> Reading | None:
    """`x ≈ 11` is 11; `x = 1/3 ≈ 0.33` is 1/3, and 0.33 where the gold is rounded."""
    first = signs.index("≈")
    exact, rounded = " = ".join(sides[: first + 1]), read(sides[-1])
    if is_label(sides[first]):
        return replace(rounded, label=sides[first])
    answer = read(exact)
    if isinstance(answer.value, Number) and isinstance(rounded.value, Number):
        near = magnitude(answer.value.value - rounded.value.value) <= 0.05 * magnitude(answer.value.value)
        return replace(answer, others=(rounded.value,)) if near else answer
    return answer


def _equation(sides: list[str], read: Reader) -> Reading | None:
    left, right = sides[0], sides[-1]
    if len(sides) == 2 and is_label(right) and read_quantity(left) is not None:
        left, right = right, left
    if is_label(left):
        answer = read(right)
        if len(sides) == 2 and isinstance(answer.value, Expression) and (node := parse_formula(left)) is not None:
            relation = Relation((node, answer.value.node), ("=",))
            return Reading(relation, left, (answer.value, *answer.others))
        named = replace(answer, label=answer.label or left)
        return _also_as_relation(named, left, right) if len(sides) == 2 else named
    if all(read_quantity(side) is not None for side in sides) and not _is_multiple(left, right):
        return read(right)
    nodes = [parse_formula(side) for side in sides]
    found = tuple(node for node in nodes if node is not None)
    calculated = len(found) == len(nodes) and any(map(has_series, sides)) and not any(map(variables, found))
    if calculated and read_quantity(right) is not None:
        return read(right)  # as 1+2+3 = 6 is
    value = read(right).value if read_quantity(right) is not None else None
    asked = (value,) if nodes[0] is not None and isinstance(value, Number) and _is_asked(nodes[0]) else ()
    if len(found) != len(nodes):
        return Reading(asked[0]) if asked else None
    return Reading(Relation(found, ("=",) * (len(found) - 1)), others=asked)


def _is_multiple(left: str, right: str) -> bool:
    """`3m = 12` is about an unknown m, where 3 metres are not 12."""
    one, other = read_quantity(left), read_quantity(right)
    return bool(_MULTIPLE.fullmatch(left)) and one is not None and other is not None and not same_amount(one, other)


def _is_asked(node: Op) -> bool:
    """Is the left side of `p + q = 50` a quantity that is asked for, and no equation on the way to it as `2x = 10`?"""
    return len(variables(node)) > 1 or has_function(node)


def _also_as_relation(answer: Reading, left: str, right: str) -> Reading:
    """`xy = 12` looks like a label and a number, but is a relation as well."""
    if not isinstance(answer.value, Number) or answer.value.unit is not None:
        return answer
    left_node, right_node = parse_formula(left), parse_formula(right)
    if left_node is None or right_node is None:
        return answer
    return replace(answer, others=(*answer.others, Relation((left_node, right_node), ("=",))))
