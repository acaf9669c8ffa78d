"""From a text to an `Reading`: which kind of value it is, and what it says.

>>> read("x = 2 or x = 3").value.kind
'list'
>>> read("(-∞,4]") == read("x ≤ 4")
False
"""

import re
from dataclasses import replace
from functools import lru_cache

from srpo.grading.normalise import MATRIX_CLOSE, MATRIX_OPEN, MAX_ANSWER_CHARS, ROW_END, SET_CLOSE, SET_OPEN, clean
from srpo.grading.patterns import pattern
from srpo.grading.rules import intervals
from srpo.grading.rules.equations import read_relation
from srpo.grading.rules.labels import colon_label, is_label
from srpo.grading.rules.moments import read_bearing, read_clock
from srpo.grading.rules.numbered import read_numbered
from srpo.grading.rules.numerals import plain_digits
from srpo.grading.rules.quantities import listed_number, read_quantity, suffixed
from srpo.grading.rules.ranges import read_joined
from srpo.grading.rules.splitting import conjunctions, one_bracket, split_top, trim, trim_plus
from srpo.grading.rules.syntax import parse_formula
from srpo.grading.rules.units import read_unit
from srpo.grading.rules.values import (
    Bearing,
    ClockTime,
    Content,
    Expression,
    Intervals,
    MatrixRows,
    Ratio,
    Reading,
    Several,
    Words,
)

MAX_ITEMS = 60
_SENTENCES = pattern(r"\w\.\s[A-Z][a-z]", yes="5 and 7. Total: 12", no="St. 5")
_SPECIAL = pattern(
    r"[^\W\d_]{3}|\d\s?[-–:°hNSEWap年月日点时]|\d[./]\d{1,2}[./]\d|[NSEW]\s?\d|to|∼|[至到偏]|零下|^0\d",
    yes="10-19",
    no="2x + 5",
)
"""A quick look for times, dates, bearings and ranges."""
_SO = pattern(
    r".{1,200}[,;]\s?(?:and )?(?:so|thus|therefore|hence|then|which (?:gives|means))\s(\S.{0,100})",
    yes="AB=8, so BC=8",
    no="also 5, 6",
    by="fullmatch",
)
_MAX_DEPTH = 6
_MATH_SIGNS = pattern(r"[\\^=<>≤≥∪∩∈√π*/_]|\d", yes="x^2", no="no solution")


_REMARK = pattern(
    r"(?<=\S)(?:\s\((?!or\b|and\b|not\b)[A-Za-z][^()]{2,60}|\s?\((?:i\.e\.|about|approx)[^()]{0,60})\)$",
    yes="5 (the smaller)",
    no="f (x)",
)
_TWICE = pattern(r"([^()]{1,40}) \(([^()]{1,20})\)", yes="five (5)", no="f(5)", by="fullmatch")
_TRANSPOSED = pattern(r"([\[(].+[\])])\s?\^\s?\{?\s?(?:T|⊤|top)\s?\}?", yes="[3, -1]^T", no="x^T", by="fullmatch")
_OR = pattern(r"\bor\b|或", re.IGNORECASE, yes="2 or 3", no="2 for 3")
_TRAILING_UNIT = pattern(
    r"(.{1,200}\S)\s([A-Za-z]{2,12}|[ms]\s?\^\s?\{?[23]\}?|(?:square|cubic|sq\.?) [a-z]{4,12})$",
    yes="2x square meters",
    no="2x",
    by="match",
)


@lru_cache(maxsize=2048)
def read(text: str, want: str = "") -> Reading:
    """Read a raw answer text. `want` is the kind that the gold has; it decides what is ambiguous (`3:15`)."""
    if len(text) > MAX_ANSWER_CHARS:
        return Reading(Words(text[:MAX_ANSWER_CHARS]))
    return _read(trim(clean(text)), want, 0)


def _read(text: str, want: str, depth: int) -> Reading:  # noqa: PLR0911 - one return a kind
    if want == "text" or not text or depth > _MAX_DEPTH:
        return Reading(Words(text))
    special = want == "time" or _SPECIAL.search(text) is not None
    moment = _read_moment(text, want) if special else None
    if moment is not None:
        # 3:15 and 10:15 may be ratios as well
        ratio = _read_ratio(text, "ratio", depth) if ":" in text else None
        return Reading(moment, others=(ratio.value,) if ratio is not None else ())
    if special and (want != "ratio" or "to" not in text) and (joined := read_joined(text)) is not None:
        return joined
    if (numbered := read_numbered(text, lambda part: _read(trim(part), want, depth + 1))) is not None:
        return numbered
    number = read_quantity(text)
    if number is not None and (want != "expression" or number.unit is None):
        scaled = suffixed(text)  # 300K may be kelvin
        return Reading(number, others=(scaled,) if scaled is not None else ())
    if "±" in text and text.count("=") > 1 and "±" not in (last := text.rpartition("=")[2]):
        return _read(trim(last), want, depth + 1)
    if "±" in text or "∓" in text:
        signs = (text.replace("±", "+").replace("∓", "-"), text.replace("±", "-").replace("∓", "+"))
        return _flat_list([_read(trim_plus(sign), want, depth + 1) for sign in signs])
    return _several(text, want, depth) or _single(text, want, depth)


def _read_moment(text: str, want: str) -> Bearing | ClockTime | None:
    return read_bearing(text) or (read_clock(text, spoken=want == "time") if want != "ratio" else None)


# -- several answers side by side


def _several(text: str, want: str, depth: int) -> Reading | None:  # noqa: PLR0911 - a list of notations
    if (
        ("," in text or ";" in text)
        and (after := _SO.match(text)) is not None
        and not isinstance((concluded := _read(trim(after[1]), want, depth + 1)).value, Words)
    ):
        return concluded
    if ";" in text and "," in text and len(rows := [row for row in split_top(text, ";") if row.strip()]) > 1:
        return Reading(Several("list", tuple(_read(trim(row), want, depth + 1) for row in rows[:MAX_ITEMS])))
    if ". " in text and _SENTENCES.search(text):
        return None
    chunks, has_and = conjunctions(text)
    if len(chunks) > 1 and all(chunk.count(",") == chunk.count("=") - 1 == 1 for chunk in chunks):
        return Reading(Several("list", tuple(_read(trim(chunk), want, depth + 1) for chunk in chunks)))
    parts: list[str] = []
    for chunk in chunks:
        pieces = split_top(
            plain_digits(chunk, decimal_comma=False) if not any(c in chunk for c in "([{" + SET_OPEN) else chunk, ",;"
        )
        parts += [piece.strip() for piece in pieces if piece.strip()]
    parts = [part.removeprefix("and ").removeprefix("or ") for part in parts]
    if len(parts) < 2 or len(parts) > MAX_ITEMS:
        return None
    items = [_read(trim(part), want, depth + 1) for part in parts]
    one_label = len({item.label for item in items if item.label}) <= 1
    if (
        one_label
        and any(isinstance(item.value, Intervals) for item in items)
        and all(_span_like(item) for item in items)
    ):
        union = _combine(items, both=has_and and all(_is_inequality(item) for item in items))
        # "[-4,0), (-3,1]" may be two answers
        return replace(union, others=(_flat_list(items).value,)) if union is not None and len(chunks) == 1 else union
    answer = _flat_list(items, either=bool(_OR.search(text)))
    others: list[Content] = []
    if all(isinstance(item.value, Words) for item in items):
        others.append(Words(text))
    if len(parts) == 2 and (number := listed_number(text)) is not None:
        others.append(number)
    return replace(answer, others=tuple(others))


def _span_like(item: Reading) -> bool:
    return isinstance(item.value, Intervals) or (intervals.open_interval(item.value) is not None)


def _is_inequality(item: Reading) -> bool:
    return isinstance(item.value, Intervals) and bool(item.value.variable)


def _combine(items: list[Reading], *, both: bool) -> Reading | None:
    spans = [intervals.as_intervals(item.value) for item in items]
    total = spans[0]
    for span in spans[1:]:
        if total is None or span is None:
            return None
        total = (
            intervals.intersection(total, span) if both else intervals.union(total.spans + span.spans, total.variable)
        )
    return Reading(total, items[0].label) if total is not None else None


def _flat_list(items: list[Reading], *, either: bool = False) -> Reading:
    """A list of answers; the lists inside it (from ±) are poured out, and the label of the first serves for all."""
    flat: list[Reading] = []
    for item in items:
        flat += item.value.items if isinstance(item.value, Several) and item.value.kind == "list" else [item]
    label = flat[0].label if flat and all(not item.label or item.label == flat[0].label for item in flat) else ""
    return Reading(Several("list", tuple(flat), either), label)


# -- one answer


def _said_twice(text: str) -> Reading | None:
    match = _TWICE.fullmatch(text) if text.endswith(")") else None
    if match is None:
        return None
    one, other = (read_quantity(part) for part in match.groups())
    if one is None or other is None or one.value != other.value:
        return None
    return Reading(one if one.unit is not None else other)


def _single(text: str, want: str, depth: int) -> Reading:  # noqa: C901, PLR0911 - one return a notation
    if (twice := _said_twice(text)) is not None:
        return twice
    if remark := _REMARK.search(text):
        bare = _read(trim(text[: remark.start()]), want, depth + 1)
        if not isinstance(bare.value, Words | Expression):
            return bare
    for reader in (_read_sets, _relation, _read_bracketed, _read_ratio):
        answer = reader(text, want, depth)
        if answer is not None:
            return answer
    if (point := _NAMED_POINT.match(text)) is not None and point.start(1) > 0 and one_bracket(point.group(1)):
        return _read(point.group(1), want, depth + 1)
    if "^" in text and (column := _TRANSPOSED.fullmatch(text)):
        return _read(column[1], want, depth + 1)
    node = parse_formula(plain_digits(text))
    if node is not None:
        scaled = suffixed(text)
        others = (scaled,) if scaled is not None else ()
        return Reading(Expression(node, text), others=others) if not _plain_word(text) else Reading(Words(text))
    if (united := _TRAILING_UNIT.match(text)) is not None and _is_unit(united.group(2)):
        node = parse_formula(plain_digits(united.group(1)))
        if node is not None:
            return Reading(Expression(node, united.group(1)))
    if (label := colon_label(text)) is not None:
        return replace(_read(trim(label[1]), want, depth + 1), label=label[0])
    return Reading(Words(text, mathematical=bool(_MATH_SIGNS.search(text))))


def _is_unit(text: str) -> bool:
    unit = read_unit(text)
    return unit is not None and not unit.label


def _plain_word(text: str) -> bool:
    return len(text) > 1 and text.isalpha() and text.isascii()


_EMPTY_SETS = frozenset(
    ("∅", "{}", "{ }", SET_OPEN + SET_CLOSE, SET_OPEN + " " + SET_CLOSE, "empty set", "the empty set", "空集")
)


def _read_sets(text: str, want: str, depth: int) -> Reading | None:
    """`A ∪ B`, `x ∈ S`, `{x | x > 2}`, ∅."""
    if text.lower() in _EMPTY_SETS:
        return Reading(Several("set", ()))
    if "∈" in text:
        label, _, rest = text.partition("∈")
        return replace(_read(trim(rest), want, depth + 1), label=label.strip()) if is_label(label) else None
    parts = split_top(text, "∪")
    if len(parts) == 1:
        parts = re.split(r"(?<=[)\]])\s?U\s?(?=[(\[])", text)
    if len(parts) > 1:
        items = [_read(trim(part), want, depth + 1) for part in parts]
        if all(intervals.as_intervals(item.value) is not None for item in items):
            return _combine(items, both=False)
        return None
    if text.startswith((SET_OPEN, "{")) and text.endswith((SET_CLOSE, "}")):
        head, bar, condition = text[1:-1].partition("|")
        if not bar:
            head, bar, condition = text[1:-1].partition(":")
        if bar and is_label(head.replace("∈", " ").strip()):
            inside = _read(trim(condition), want, depth + 1)
            return inside if isinstance(inside.value, Intervals) else None
    return None


def _relation(text: str, want: str, depth: int) -> Reading | None:
    return read_relation(text, lambda part: _read(trim(part), want, depth + 1))


_NAMED_POINT = pattern(
    r"(?:the )?(?:(?:point|vertex|center|centre|focus|origin)\s?)?(?:[A-Z]\s?)?(\(.+,.+\))$",
    re.IGNORECASE,
    yes="the point P(1,2)",
    no="f(1)",
    by="match",
)


def _read_bracketed(text: str, want: str, depth: int) -> Reading | None:  # noqa: PLR0911 - one return a bracket
    if text.startswith(MATRIX_OPEN) or (text[1:2] == MATRIX_OPEN and text[:1] in "([|"):
        return _matrix(text, want, depth)
    opener, closer = text[:1], text[-1:]
    if opener not in "([{" + SET_OPEN + "]" or closer not in ")]}" + SET_CLOSE + "[" or len(text) < 3:
        return None
    inside = text[1:-1]
    if not one_bracket(text):
        return None
    parts = [part.strip() for part in split_top(inside, ",;")]
    if len(parts) == 1:
        return (
            _read(trim(inside), want, depth + 1)
            if (opener + closer) in ("()", "[]", "{}")
            else _set_of(parts, want, depth)
        )
    if len(parts) > MAX_ITEMS or not all(parts):
        return None
    if len(parts) == 2 and (interval := intervals.between(opener, parts[0], parts[1], closer)) is not None:
        return Reading(interval)
    items = tuple(_read(trim(part), want, depth + 1) for part in parts)
    if opener in (SET_OPEN, "{"):
        return Reading(Several("set", _flat_list(list(items)).value.items))  # type: ignore[union-attr]
    return (
        Reading(Several("tuple" if opener == "(" else "bracket", items))
        if (opener, closer) in (("(", ")"), ("[", "]"))
        else None
    )


def _set_of(parts: list[str], want: str, depth: int) -> Reading | None:
    if not parts[0]:
        return Reading(Several("set", ()))
    item = _read(trim(parts[0]), want, depth + 1)
    return Reading(Several("set", _flat_list([item]).value.items))  # type: ignore[union-attr]


def _matrix(text: str, want: str, depth: int) -> Reading | None:
    inside = text.strip("([|)] ")
    if not inside.startswith(MATRIX_OPEN) or not inside.endswith(MATRIX_CLOSE) or len(inside) > 600:
        return None
    rows = [row for row in inside[1:-1].split(ROW_END) if row.strip()]
    cells = (tuple(_read(trim(cell), want, depth + 1) for cell in row.split("&")) for row in rows)
    return Reading(MatrixRows(tuple(cells)))


def _read_ratio(text: str, want: str, depth: int) -> Reading | None:
    del depth
    parts = split_top(text, ":")
    if len(parts) == 1 and want == "ratio":
        parts = re.split(r"\s(?:to|比)\s|比", text)
    if not 2 <= len(parts) <= 6:
        return None
    if ":" in text and not all(any(c.isdigit() or c in "π√" for c in part) for part in parts):
        return None  # "First: 5" has a label
    numbers = [read_quantity(part.strip()) for part in parts]
    values = tuple(number.value for number in numbers if number is not None and not number.percent)
    return Reading(Ratio(values)) if len(values) == len(parts) else None
