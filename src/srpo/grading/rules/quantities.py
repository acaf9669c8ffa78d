"""Numbers with units: reading them, and whether two of them are the same amount."""

import math
import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from srpo.grading.patterns import pattern
from srpo.grading.rules.evaluate import Constant, close, compute, magnitude
from srpo.grading.rules.nodes import Op
from srpo.grading.rules.numerals import ORDINALS, plain_digits, word_number
from srpo.grading.rules.syntax import parse_constant_prefix
from srpo.grading.rules.units import DEGREE, Unit, factor, read_unit
from srpo.grading.rules.values import Content, Number

_CURRENCY = pattern(
    r"([+-]?)\s?(?:(?:US|A|C|HK)?(¤)|([€£¥₹₩₽])|(USD|EUR|GBP|INR|RMB|CNY|Rs\.?)\s)\s?(?=[\d.+-])",
    yes="¤5",
    no="5",
    by="match",
)
_ABOUT = pattern(
    r"(?:about|approximately|approx\.?|around|roughly|nearly|almost|≈|∼|约为|大约|约)\s?",
    re.IGNORECASE,
    yes="about 5",
    no="5",
    by="match",
)
_MINUS = pattern(r"(?:minus|negative|负)\s?(?=[\d.(\\¤π]|sqrt)", re.IGNORECASE, yes="minus 5", no="minus x")
_PERCENT = pattern(
    r"\s?(?:%|percent(?:age)?(?: points?)?|per cent|pct\.?|个百分点)(?![A-Za-z])",
    yes=" percent",
    no=" percents of",
    by="match",
)
_PERMILLE = pattern(r"\s?‰", yes="‰", no="%", by="match")
_ORDINAL = pattern(r"(?:st|nd|rd|th)\b\s?", yes="rd row", no="row", by="match")
_COMPOUND = pattern(r"([^\d]{1,30}?)(?:,| and)?\s?(\d.*)$", yes=" h 20 min", no=" hours", by="match")
_SCALES = {
    "bn": 10**9,
    "mn": 10**6,
    "mln": 10**6,
    "tn": 10**12,
    "lakh": 10**5,
    "lakhs": 10**5,
    "crore": 10**7,
    "crores": 10**7,
    "k": 1000,
    "m": 10**6,
    "b": 10**9,
    "t": 10**12,
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "万": 10**4,
    "亿": 10**8,
}
_SCALE = pattern(
    r"(dozen|hundred|thousand|million|billion|trillion|bn|mn|mln|tn|lakhs?|crores?|万|亿)(?![A-Za-z])",
    re.IGNORECASE,
    yes="million",
    no="millionaire",
    by="match",
)
SUFFIXED = pattern(r"([+-]?\d+(?:\.\d+)?)([kKMB])", yes="2.5M", no="2.5 m", by="fullmatch")
# of money m is no metre
_MONEY_SUFFIXED = pattern(r"([+-]?\d+(?:\.\d+)?)\s?([kmbt])", re.IGNORECASE, yes="2.5m", no="2.5 mm", by="fullmatch")
_BELOW = pattern(
    r"(\d[\d.]{0,8})\s?(°\s?[CF]|degrees?(?: celsius| fahrenheit)?|°)?\s?below zero"
    r"(?: (?:degrees )?(celsius|fahrenheit))?",
    re.IGNORECASE,
    yes="5 degrees below zero",
    no="below zero",
    by="fullmatch",
)
_DEGREES = pattern(r"(\d{1,3})度(\d{1,2})分(?:(\d{1,2})秒)?", yes="67度30分", no="30分")
_PLACES = pattern(r"\.(\d+)", yes="3.14", no="314")
_MIXED = pattern(r"(\d{1,6}) and (\d{1,4})\s?/\s?([1-9]\d{0,3})", yes="2 and 1/2", no="2 and 12", by="fullmatch")
_RIGHT_ANGLES = Fraction(180)
_MINUTE, _ARC_MINUTE = read_unit("min"), read_unit("arcmin")
_POUNDS = {read_unit("£"), read_unit("pounds")}
"""Money and weight have one name."""


@lru_cache(maxsize=2048)
def read_quantity(text: str) -> Number | None:
    """Read all of a clean text as a constant with an optional unit, percent sign or currency; None otherwise."""
    if "(" not in text and "[" not in text:
        text = plain_digits(text, decimal_comma=False)
    if word := ORDINALS.get(text.lower()):
        return Number(Fraction(word))
    text = _below_zero(text)
    approximate = False
    if about := _ABOUT.match(text):
        text, approximate = text[about.end() :], True
    text = _MINUS.sub("-", text, count=1) if text[:1] in "mMnN负" else text
    unit: Unit | None = None
    currency = _CURRENCY.match(text)
    if currency:
        symbol = currency.group(2) or currency.group(3) or currency.group(4)
        unit = read_unit("¥" if symbol == "RMB" else symbol)
        text = currency.group(1) + text[currency.end() :]
        if suffix := _MONEY_SUFFIXED.fullmatch(text):
            return Number(Fraction(suffix[1]) * _SCALES[suffix[2].lower()], unit)
    prefix = parse_constant_prefix(text)
    if prefix is None:
        spoken = word_number(text)
        if spoken is None:
            return None
        node, rest = Op("num", number=spoken.value), spoken.rest
    else:
        node, rest = prefix
    value = compute(node)
    if value is None:
        return None
    constant = text[: len(text) - len(rest)]
    decimals = max((len(match) for match in _PLACES.findall(constant)), default=0)
    number = Number(value, unit, False, decimals, "π" in constant or "pi" in constant, approximate)
    return _with_rest(number, rest)


def suffixed(text: str) -> Number | None:
    """`12k`, `2.5M`, `1.4B`: thousands, millions and billions, where a chart says so; else k, M and B are names."""
    match = SUFFIXED.fullmatch(text)
    return None if match is None else Number(Fraction(match[1]) * _SCALES[match[2].lower()])


def _below_zero(text: str) -> str:
    """`5°C below zero`, `零下5摄氏度` with a sign, `67度30分` with signs of angles."""
    if "zero" in text and (below := _BELOW.fullmatch(text)):
        said = f"{below[2] or ''} {below[3] or ''}".lower()
        return f"-{below[1]}" + ("°F" if "f" in said else "°C" if "c" in said else "°" if below[2] else "")
    if "度" in text or "零下" in text:
        text = _DEGREES.sub(lambda match: f"{match[1]}°{match[2]}'" + (f'{match[3]}"' if match[3] else ""), text)
        return text.replace("零下", "-", 1) if text.startswith("零下") else text
    return text


def listed_number(text: str) -> Number | None:
    """The number that a list of two may be: `2,5` is 2.5 as well, `2 and 1/2` is two and a half."""
    if mixed := _MIXED.fullmatch(text):
        return Number(Fraction(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3])))
    return read_quantity(plain_digits(text)) if re.search(r"\d,\d", text) else None


def _with_rest(number: Number, rest: str) -> Number | None:  # noqa: PLR0911 - one return a suffix
    if not rest:
        return number
    percent = _PERCENT.match(rest)
    if percent:
        tail = rest[percent.end() :].strip(" .")
        # "50% of the students" names what the share is of
        return _replace(number, percent=True) if not tail or tail.startswith("of ") else None
    if permille := _PERMILLE.match(rest):
        return None if rest[permille.end() :].strip() else _replace(number, percent=True, divide=10)
    if scale := _SCALE.match(rest):
        scaled = _replace(number, value=number.value * _SCALES[scale.group(1).lower()])
        return _with_rest(scaled, rest[scale.end() :].strip())
    if ordinal := _ORDINAL.match(rest):
        return _with_rest(number, rest[ordinal.end() :]) if isinstance(number.value, Fraction) else None
    unit = read_unit(rest)
    if unit is not None:
        if number.unit is not None and factor(number.unit, unit) is None:
            return None
        return _replace(number, unit=unit)
    return _compound(number, rest)


def _compound(number: Number, rest: str) -> Number | None:
    """The second part of `3 h 20 min`, `5 ft 6 in`, `30°15'`."""
    match = _COMPOUND.match(rest)
    unit = read_unit(match.group(1)) if match else None
    if match is None or unit is None or number.unit is not None or unit.label or unit.anything:
        return None
    second = read_quantity(match.group(2))
    if second is None or second.unit is None or second.percent:
        return None
    if unit == DEGREE and second.unit == _MINUTE:
        second = replace(second, unit=_ARC_MINUTE)
    scale = factor(unit, second.unit) if second.unit is not None else None
    if scale is None or scale >= 1:
        return None
    return _replace(number, unit=unit, value=number.value + second.value * scale)


def _replace(
    number: Number, *, unit: Unit | None = None, percent: bool = False, divide: int = 1, value: Constant | None = None
) -> Number:
    new_value = number.value if value is None else value
    return Number(
        new_value / divide,
        unit or number.unit,
        percent or number.percent,
        number.decimals,
        number.has_pi,
        number.approximate,
    )


def same_amount(gold: Number, other: Number) -> bool:  # noqa: PLR0911 - one return a rule
    """Is `other` the same amount as `gold`? A missing unit or percent sign is forgiven, a different one is not."""
    decimals = max(gold.decimals, other.decimals)
    if gold.percent or other.percent:
        return _same_share(gold, other, decimals)
    if gold.unit is None or other.unit is None:
        if close(gold.value, other.value, decimals=decimals):
            # "30" is not 30 radians when the gold counts degrees, but π/6 without a unit can only be radians
            return not (_is_angle(gold) and other.has_pi) and not (_is_angle(other) and gold.has_pi)
        return _same_angle(gold, other) or _same_angle(other, gold)
    if _in_radians(gold) or _in_radians(other):
        return (
            _same_angle(gold, other)
            or _same_angle(other, gold)
            or (gold.unit == other.unit and close(gold.value, other.value))
        )
    scale = factor(gold.unit, other.unit)
    if scale is None:
        if {gold.unit, other.unit} == _POUNDS:
            return close(gold.value, other.value, decimals=decimals)
        return _degrees_of_what(gold, other) and close(gold.value, other.value, decimals=decimals)
    if gold.unit.offset != other.unit.offset or (gold.unit.offset and scale != 1):
        return close(
            gold.value * gold.unit.scale + gold.unit.offset,
            other.value * other.unit.scale + other.unit.offset,
            decimals=decimals,
        )
    return close(gold.value, other.value * scale, decimals=decimals)


def is_rounded(gold: Content, other: Content, tolerance: float) -> bool:
    """Is `other` a decimal within `tolerance`, relative to it, of an exact gold such as `5√3`, `36π` or `1/3`?"""
    if not isinstance(gold, Number) or not isinstance(other, Number) or not other.decimals or gold.decimals:
        return False
    exact = gold.value
    if (isinstance(exact, Fraction) and exact.denominator == 1) or gold.percent != other.percent:
        return False
    both = gold.unit is not None and other.unit is not None
    scale = factor(gold.unit, other.unit) if both and gold.unit and other.unit else Fraction(1)
    if scale is None:
        return False
    try:
        return magnitude(exact - other.value * scale) <= tolerance * magnitude(exact) * (1 + 1e-9)
    except OverflowError:
        return False


def _same_share(gold: Number, other: Number, decimals: int) -> bool:
    if (gold.unit or other.unit) and not (gold.percent and other.percent):
        return False
    if gold.percent and other.percent:
        return close(gold.value, other.value, decimals=decimals)
    share, plain = (gold, other) if gold.percent else (other, gold)
    if close(share.value / 100, plain.value, decimals=decimals):
        return True
    # 50 for 50%: the question asked for a percentage. A plain gold of 0.5 is a share already, and not 0.5%.
    return close(share.value, plain.value, decimals=decimals) and (gold.percent or magnitude(plain.value) >= 1)


def _is_angle(number: Number) -> bool:
    return number.unit is not None and number.unit.dimension == (("angle", 1),)


def _in_radians(number: Number) -> bool:
    return number.unit is not None and number.unit.dimension == (("radian", 1),)


def _same_angle(degrees: Number, radians: Number) -> bool:
    """30° and π/6."""
    if not _is_angle(degrees) or degrees.unit is None:
        return False
    if not (_in_radians(radians) or (radians.unit is None and radians.has_pi)):
        return False
    return close(degrees.value * degrees.unit.scale * math.pi / _RIGHT_ANGLES, radians.value)


def _degrees_of_what(gold: Number, other: Number) -> bool:
    """`25 degrees` may be meant where the gold says 25 °C, and the other way round."""
    temperature, angle = (gold, other) if _is_angle(other) else (other, gold)
    assert temperature.unit is not None
    assert angle.unit is not None
    return _is_angle(angle) and angle.unit.scale == 1 and bool(temperature.unit.offset)
