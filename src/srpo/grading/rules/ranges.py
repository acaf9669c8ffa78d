"""Ranges, dates and codes: figures joined by dashes are read as what they are, and never subtracted.

`10-19`, `10 to 19`, `between 10 and 19`, `0am - 4am`, `Jan-Mar` are ranges; `2022-08-18` is a date, `555-12-34` a code.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from srpo.grading.patterns import pattern
from srpo.grading.rules.dates import read_date
from srpo.grading.rules.moments import read_clock
from srpo.grading.rules.quantities import read_quantity
from srpo.grading.rules.values import CalendarDate, ClockTime, Number, Reading, Several, Words

_MAX_CHARS = 80
_JOINT = r"(?:to|until|till|through|至|到|∼)"
_WORDED = pattern(
    rf"(?:from |between |in the range (?:of |from )?)?(?P<low>\S.{{0,30}}?)\s?{_JOINT}\s?(?P<high>\S.{{0,30}})",
    re.IGNORECASE,
    yes="from 20 to 30",
    no="20, 30",
    by="fullmatch",
)
_BETWEEN = pattern(
    r"between (?P<low>\S.{0,30}?) (?:and|to) (?P<high>\S.{0,30})|在?(?P<a>\d.{0,10}?)[和与](?P<b>\d.{0,10}?)之间",
    re.IGNORECASE,
    yes="between 20 and 30",
    no="20 and 30",
    by="fullmatch",
)
_FIGURE = r"[¤€£¥]?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\s?%?"
# "5m-3" is a formula: a unit stands behind a blank, or has two letters and stands at both ends
_UNIT = r"(?:(?:\s|(?=°))(?!sqrt|cbrt|pi\b)[A-Za-z°µμ][A-Za-z°.^/² ]{0,20}[23]?|[A-Za-z]{2}[A-Za-z.]{0,10})?"
_DASHED = pattern(
    rf"(?P<low>{_FIGURE}(?P<unit>{_UNIT}))\s?-\s?(?P<high>{_FIGURE}{_UNIT})",
    yes="10-15 years",
    no="5m-3",
    by="fullmatch",
)
_NAMED = pattern(
    r"(?P<low>[A-Z][a-z]{2,8}\.?)\s?-\s?(?P<high>[A-Z][a-z]{2,8}\.?)|(?P<a>\d{1,2}:\d\d\s?(?:[ap]\.?m\.?)?)\s?-\s?(?P<b>\d{1,2}:\d\d\s?(?:[ap]\.?m\.?)?)",
    yes="Jan-Mar",
    no="x-y",
    by="fullmatch",
)
_CODE = pattern(r"\d{1,8}(?:-\d{1,8}){2,}", yes="555-12-34", no="10-19", by="fullmatch")
_HINT = pattern(
    r"\d\D{0,14}-\s?[\d¤€£¥]|[a-z.]\s?-\s?[A-Z]|\bto\b|between|until|till|through|∼|[至到]|之间",
    re.IGNORECASE,
    yes="10-19",
    no="-5",
)


class _Ends(NamedTuple):
    low: str
    high: str


def read_joined(text: str) -> Reading | None:
    """Read all of a clean text as a date, a range or a code; None when it is none of them."""
    if len(text) > _MAX_CHARS:
        return None
    date = read_date(text)
    if date is not None:
        return Reading(date)
    if not _HINT.search(text):
        return None
    if _CODE.fullmatch(text):
        return Reading(Words(text))
    ends = _ends(text)
    return None if ends is None else _range(ends)


def _ends(text: str) -> _Ends | None:
    for shape in (_BETWEEN, _DASHED, _NAMED, _WORDED):
        if match := shape.fullmatch(text):
            fields = match.groupdict()
            return _Ends((fields["low"] or fields["a"]).strip(), (fields["high"] or fields["b"]).strip())
    return None


def _range(ends: _Ends) -> Reading | None:
    readers: tuple[Callable[[str], Number | ClockTime | CalendarDate | None], ...] = (_number, read_clock, read_date)
    for reader in readers:
        low, high = reader(ends.low), reader(ends.high)
        if low is None or high is None:
            continue
        if isinstance(low, Number) and isinstance(high, Number) and low.unit is None and not low.percent:
            low = replace(low, unit=high.unit, percent=high.percent)
        return Reading(Several("range", (Reading(low), Reading(high))))
    return None


def _number(text: str) -> Number | None:
    return read_quantity(text) if any(c.isdigit() for c in text) else None
