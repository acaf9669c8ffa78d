"""Whether a prediction's `Reading` says the same as the gold's. True, False, or None when that cannot be told."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from srpo.grading.patterns import pattern
from srpo.grading.rules import intervals
from srpo.grading.rules.evaluate import close, compute, identical, sample_values, variables
from srpo.grading.rules.labels import contradict
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.quantities import same_amount
from srpo.grading.rules.reading import read
from srpo.grading.rules.series import has_series
from srpo.grading.rules.text import same_text
from srpo.grading.rules.units import DEGREE
from srpo.grading.rules.values import (
    Bearing,
    CalendarDate,
    ClockTime,
    Content,
    Expression,
    Intervals,
    MatrixRows,
    Number,
    Ratio,
    Reading,
    Relation,
    Several,
    Words,
)


def same(gold: Reading, other: Reading, *, hint: str = "") -> bool | None:
    """Compare two answers under all their readings; `hint` is the gold's kind where the data set states it."""
    related = isinstance(gold.value, Relation) and isinstance(other.value, Relation)
    if not related and contradict(gold.label, other.label):
        return False  # x = y and y = x have no labels
    decision = _same_content(gold.value, other.value, hint)
    if decision:
        return True
    for value in gold.others:
        if _same_content(value, other.value, hint):
            return True
    for value in other.others:
        if _same_content(gold.value, value, hint):
            return True
    return decision


def same_in_order(gold: Reading, other: Reading) -> bool:
    """Do two answers say the same, item by item? `3000 and 4000` is not `4000, 3000`."""
    if not isinstance(gold.value, Several) or not isinstance(other.value, Several):
        return same(gold, other) is True
    left, right = (
        [Reading(item.value, others=item.others) for item in side.items] for side in (gold.value, other.value)
    )
    return _ordered(left, right, "") is True


def says_the_same(left: str, right: str) -> bool:
    """Do two answers say the same, as far as the rules can tell? 0.5 is 1/2."""
    return same(read(left), read(right)) is True


def _same_content(gold: Content, other: Content, hint: str) -> bool | None:  # noqa: C901, PLR0911, PLR0912 - a table
    if _has_series(gold) or _has_series(other):
        return _same_series(gold, other)
    match gold, other:
        case Words(), Words():
            if same_text(gold.text, other.text):
                return True
            return None if gold.mathematical and other.mathematical else False
        case (Words(), _) | (_, Words()):
            return None if _unread(gold) or _unread(other) else False
        case Number(), Number():
            return same_amount(gold, other)
        case ((Number() | Ratio()), (Number() | Ratio())):
            return _same_ratio(gold, other)
        case ClockTime(), ClockTime():
            return _same_time(gold, other)
        case CalendarDate(), CalendarDate():
            return gold == other
        case Bearing(), Bearing():
            return gold.azimuth == other.azimuth
        case ((Bearing(true=True) as bearing, Number() as angle)) | (
            (Number() as angle, Bearing(true=True) as bearing)
        ):
            return angle.unit in (None, DEGREE) and not angle.percent and angle.value == bearing.azimuth
        case Relation(), Relation():
            return _same_relation(gold, other)
        case ((Expression() | Number()), (Expression() | Number())):
            return _same_expression(gold, other)
        case (Intervals(), _) | (_, Intervals()):
            left, right = intervals.as_intervals(gold), intervals.as_intervals(other)
            return left is not None and right is not None and intervals.equal(left, right)
        case (MatrixRows(), _) | (_, MatrixRows()):
            return _same_matrix(gold, other, hint)
        case Several(), Several():
            return _same_group(gold, other, hint)
        case (Several(items=(item,)), _):
            return same(item, Reading(other), hint=hint)
        case (_, Several(kind="set" | "list", items=(item,))):
            return same(Reading(gold), item, hint=hint)
    return False


def _unread(content: Content) -> bool:
    return isinstance(content, Words) and content.mathematical


def _same_ratio(gold: Number | Ratio, other: Number | Ratio) -> bool:
    def parts(value: Number | Ratio) -> tuple[object, ...]:
        if isinstance(value, Ratio):
            return value.parts
        return (value.value, Fraction(1)) if value.unit is None and not value.percent else ()

    left, right = parts(gold), parts(other)
    if len(left) != len(right) or not left:
        return False
    return all(
        isinstance(a, Fraction | float)
        and isinstance(b, Fraction | float)
        and isinstance(left[0], Fraction | float)
        and isinstance(right[0], Fraction | float)
        and close(a * right[0], b * left[0])
        for a, b in zip(left, right, strict=True)
    )


def _same_time(gold: ClockTime, other: ClockTime) -> bool:
    if (gold.hour, gold.minute, gold.second) != (other.hour, other.minute, other.second):
        return False
    if gold.half and other.half:
        return gold.half == other.half
    # 16:05 is 4:05 PM; whether it is 4:05, nobody has said
    return not (gold.all_day or other.all_day)


_CALENDAR = range(1000, 2101)
# "GPT-3.5" and "T4" parse as formulas, but are names
_NAME = pattern(r"(?=.*[A-Z]{2}|.*[A-Z]\d)[A-Za-z0-9][A-Za-z0-9 ().-]{1,60}", yes="GPT-3.5", no="2x+3", by="fullmatch")


def _node(content: Expression | Number) -> Op | None:
    if isinstance(content, Expression):
        return content.node
    return Op("num", number=content.value) if isinstance(content.value, Fraction) and content.unit is None else None


def _same_expression(gold: Expression | Number, other: Expression | Number) -> bool | None:
    if isinstance(gold, Expression) and isinstance(other, Expression):
        if gold.text.replace(" ", "") == other.text.replace(" ", "") or gold.node == other.node:
            return True
        if _NAME.fullmatch(gold.text) and same_text(gold.text, other.text):
            return True
        return identical(gold.node, other.node)
    left, right = _node(gold), _node(other)
    if left is None or right is None:
        return False
    # a constant too large to compute is no ordinary number
    return bool(identical(left, right)) if variables(left) | variables(right) else False


def _has_series(content: Content) -> bool:
    return isinstance(content, Expression) and has_series(content.text)


def _same_series(gold: Content, other: Content) -> bool | None:
    """Short sums that were written out; None, for computer algebra to tell, wherever they could be meant otherwise."""
    if isinstance(gold, Expression) and isinstance(other, Expression):
        decision = _same_expression(gold, other)
        return decision if decision or "." not in gold.text + other.text else None
    formula, number = (gold, other) if isinstance(gold, Expression) else (other, gold)
    if not isinstance(formula, Expression) or not isinstance(number, Number) or number.unit or number.percent:
        return None
    value = compute(formula.node)
    if value is None or isinstance(value, complex):
        return None
    return close(value, number.value) or (None if number.decimals or number.approximate else False)


def _difference(relation: Relation) -> Op:
    return Op("add", (relation.sides[1], Op("neg", (relation.sides[0],))))


def _same_relation(gold: Relation, other: Relation) -> bool | None:
    if gold.signs != other.signs:
        return False
    if len(gold.sides) > 2:
        return all(identical(a, b) for a, b in zip(gold.sides, other.sides, strict=True))
    left, right = _difference(gold), _difference(other)
    names = variables(left) | variables(right)
    ratio = None
    agreed = 0
    for trial in range(6):
        values = sample_values(names, trial)
        a, b = compute(left, values), compute(right, values)
        if a is None or b is None or b == 0:
            continue
        if ratio is None:
            ratio = a / b
        elif not close(a, ratio * b):
            return False
        agreed += 1
    if ratio is None or agreed < 2:
        return None
    if ratio == 0 or isinstance(ratio, complex):
        return False
    return gold.signs[0] in "=≠" or ratio > 0


def _flat(matrix: MatrixRows) -> tuple[Reading, ...] | None:
    if all(len(row) == 1 for row in matrix.rows):
        return tuple(row[0] for row in matrix.rows)
    return matrix.rows[0] if len(matrix.rows) == 1 else None


def _same_matrix(gold: Content, other: Content, hint: str) -> bool | None:
    if isinstance(gold, MatrixRows) and isinstance(other, MatrixRows):
        if [len(row) for row in gold.rows] != [len(row) for row in other.rows]:
            return False
        return _all(
            same(a, b, hint=hint) for x, y in zip(gold.rows, other.rows, strict=True) for a, b in zip(x, y, strict=True)
        )
    if (square := _square(gold if isinstance(other, MatrixRows) else other)) is not None:
        return _same_matrix(gold, square, hint) if isinstance(gold, MatrixRows) else _same_matrix(square, other, hint)
    sequences = []
    for content in (gold, other):
        several = content.items if isinstance(content, Several) else None
        sequences.append(_flat(content) if isinstance(content, MatrixRows) else several)
    left, right = sequences
    return left is not None and right is not None and _ordered(left, right, hint)


def _square(content: Content) -> MatrixRows | None:
    """`[[1,2],[3,4]]` as rows."""
    rows = [item.value for item in content.items] if isinstance(content, Several) else []
    nested = [row for row in rows if isinstance(row, Several)]
    return MatrixRows(tuple(row.items for row in nested)) if len(rows) > 1 and len(nested) == len(rows) else None


def _all(decisions: Iterable[bool | None]) -> bool | None:
    """True when all are; False when one is; None when the rest is true and one cannot be told."""
    unknown = False
    for decision in decisions:
        if decision is False:
            return False
        unknown = unknown or decision is None
    return None if unknown else True


def _ordered(left: Sequence[Reading], right: Sequence[Reading], hint: str) -> bool | None:
    if len(left) != len(right):
        return False
    return _all(same(a, b, hint=hint) for a, b in zip(left, right, strict=True))


def _unordered(left: Sequence[Reading], right: Sequence[Reading], hint: str) -> bool | None:
    if len(left) != len(right) and all(isinstance(item.value, Several) for item in (*left, *right)):
        left, right = _distinct(left, hint), _distinct(right, hint)
    if len(left) != len(right):
        return False
    free = dict(enumerate(right))
    undecided: list[list[int]] = []
    for item in left:
        decisions = {place: same(item, candidate, hint=hint) for place, candidate in free.items()}
        found = next((place for place, decision in decisions.items() if decision), None)
        if found is None:
            undecided.append([place for place, decision in decisions.items() if decision is None])
        else:
            del free[found]
    if not undecided:
        return True
    # Only what no item is sure of is left for those that cannot be told.
    return None if _each_has_one([[place for place in places if place in free] for places in undecided]) else False


def _each_has_one(choices: Sequence[Sequence[int]]) -> bool:
    """Whether each can have one of its choices to itself."""
    owners: dict[int, int] = {}

    def finds(who: int, tried: set[int]) -> bool:
        for place in choices[who]:
            if place not in tried:
                tried.add(place)
                if place not in owners or finds(owners[place], tried):
                    owners[place] = who
                    return True
        return False

    return all(finds(who, set()) for who in range(len(choices)))


def _distinct(items: Sequence[Reading], hint: str) -> list[Reading]:
    kept: list[Reading] = []
    for item in items:
        if not any(same(item, other, hint=hint) for other in kept):
            kept.append(item)
    return kept


def _by_label(items: Sequence[Reading]) -> Sequence[Reading] | None:
    """`y = -4, x = 3` in the order of the labels; None when the items are not all labelled, each differently."""
    labels = [item.label for item in items]
    if not all(labels) or len(set(labels)) != len(labels):
        return None
    return sorted(items, key=lambda item: item.label.casefold())


def _labels(items: Sequence[Reading]) -> list[str]:
    return [item.label.casefold() for item in items]


def _years(items: Sequence[Reading]) -> bool:
    """Are all items whole numbers without unit that can be calendar years?"""
    return all(
        isinstance(item.value, Number)
        and item.value.unit is None
        and not item.value.decimals
        and item.value.value in _CALENDAR
        for item in items
    )


def _same_group(gold: Several, other: Several, hint: str) -> bool | None:  # noqa: C901, PLR0911 - one return a rule
    left, right = gold.items, other.items
    if "range" in (gold.kind, other.kind):
        return {gold.kind, other.kind} <= {"range", "bracket"} and _ordered(left, right, hint)
    if gold.kind == "statements" or (other.kind == "statements" and gold.kind in ("set", "list")):
        return not other.either and _unordered(_distinct(left, hint), _distinct(right, hint), hint)
    if gold.kind == "parts" or (other.kind == "parts" and gold.kind == "list"):
        return not other.either and other.kind != "set" and _ordered(left, right, hint)
    if gold.kind == "set":
        return False if other.kind == "tuple" else _unordered(_distinct(left, hint), _distinct(right, hint), hint)
    ordered_left, ordered_right = _by_label(left), _by_label(right)
    if gold.kind == "list":
        if ordered_left is not None and ordered_right is None and other.kind != "set":
            # a = 4, b = 5 against 4, 5: the order tells which is which
            bare = [Reading(item.value, others=item.others) for item in left]
            return bool(_ordered(bare, right, hint)) or _ordered([Reading(i.value) for i in ordered_left], right, hint)
        if ordered_left is not None and ordered_right is not None and _labels(ordered_left) == _labels(ordered_right):
            return _ordered(ordered_left, ordered_right, hint)
        return _unordered(left, right, hint)
    if other.kind == "set" or other.either:
        return False
    if other.kind == "list":
        if ordered_right is not None:
            return _ordered(left, [Reading(item.value, others=item.others) for item in ordered_right], hint)
        return _ordered(left, right, hint)
    if gold.kind != other.kind and len(left) == 2 and hint != "list" and not _years(left):
        return False  # (1,2) and [1,2] are different intervals, if they are intervals
    return _ordered(left, right, hint)
