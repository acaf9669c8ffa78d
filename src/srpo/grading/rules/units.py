"""Units as a field of their own: what a unit means, when two agree, and by which factor they differ.

A unit is a scale and a dimension. `4.4 m` and `440 cm` agree; `12 cm` and `12 m` agree in dimension but not in scale;
`12 cm` and `12 cm^2` do not agree at all. Words that are no unit (`apples`) are labels, compared as words.

    >>> read_unit("cm^2").scale, read_unit("square centimetres").scale
    (Fraction(1, 10000), Fraction(1, 10000))
    >>> factor(read_unit("m"), read_unit("cm"))
    Fraction(1, 100)
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words

Dimension = tuple[tuple[str, int], ...]


class Unit(NamedTuple):
    """Scale to the base units, and the dimension as sorted (base, exponent) pairs."""

    scale: Fraction
    dimension: Dimension
    offset: Fraction = Fraction(0)
    """Added after scaling (temperatures)."""
    label: frozenset[str] = frozenset()
    """Words of something that is counted (`apples`); its dimension is empty."""
    anything: bool = False
    """`units`: stands for whatever the other side has."""


DEGREE = Unit(Fraction(1), (("angle", 1),))
# Not exact, and never used as a factor: radians are compared through π (see `quantities`).
RADIAN = Unit(Fraction(1), (("radian", 1),))
ANYTHING = Unit(Fraction(1), (), anything=True)

_PREFIXES = {
    "n": Fraction(1, 10**9),
    "μ": Fraction(1, 10**6),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "c": Fraction(1, 100),
    "d": Fraction(1, 10),
    "h": Fraction(100),
    "k": Fraction(1000),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
}
_PREFIX_WORDS = {
    "nano": "n", "micro": "μ", "milli": "m", "centi": "c", "deci": "d", "hecto": "h", "kilo": "k", "mega": "M",
    "giga": "G",
}  # fmt: skip
# symbol, words, scale, dimension
_SI: tuple[tuple[str, tuple[str, ...], Fraction, dict[str, int]], ...] = (
    ("m", ("meter", "metre"), Fraction(1), {"m": 1}),
    ("g", ("gram", "gramme"), Fraction(1, 1000), {"kg": 1}),
    ("s", ("second",), Fraction(1), {"s": 1}),
    ("A", ("ampere", "amp"), Fraction(1), {"A": 1}),
    ("L", ("liter", "litre"), Fraction(1, 1000), {"m": 3}),
    ("mol", ("mole",), Fraction(1), {"mol": 1}),
    ("N", ("newton",), Fraction(1), {"kg": 1, "m": 1, "s": -2}),
    ("J", ("joule",), Fraction(1), {"kg": 1, "m": 2, "s": -2}),
    ("W", ("watt",), Fraction(1), {"kg": 1, "m": 2, "s": -3}),
    ("Pa", ("pascal",), Fraction(1), {"kg": 1, "m": -1, "s": -2}),
    ("Hz", ("hertz",), Fraction(1), {"s": -1}),
    ("C", ("coulomb",), Fraction(1), {"A": 1, "s": 1}),
    ("V", ("volt",), Fraction(1), {"kg": 1, "m": 2, "s": -3, "A": -1}),
    ("Ω", ("ohm",), Fraction(1), {"kg": 1, "m": 2, "s": -3, "A": -2}),
    ("F", ("farad",), Fraction(1), {"kg": -1, "m": -2, "s": 4, "A": 2}),
    ("T", ("tesla",), Fraction(1), {"kg": 1, "s": -2, "A": -1}),
    ("eV", ("electronvolt",), Fraction(1602176634, 10**28), {"kg": 1, "m": 2, "s": -2}),
    ("cal", ("calorie",), Fraction(4184, 1000), {"kg": 1, "m": 2, "s": -2}),
    ("bar", ("bar",), Fraction(10**5), {"kg": 1, "m": -1, "s": -2}),
)
_INCH = Fraction(254, 10000)
_OTHER: tuple[tuple[str, Fraction, dict[str, int]], ...] = (
    ("min mins minute 分 分钟", Fraction(60), {"s": 1}),
    ("h hr hrs hour 小时 时 钟头", Fraction(3600), {"s": 1}),
    ("sec secs 秒 秒钟", Fraction(1), {"s": 1}),
    ("day 天 日", Fraction(86400), {"s": 1}),
    ("wk week 周 星期", Fraction(604800), {"s": 1}),
    ("month 月 个月", Fraction(1), {"month": 1}),
    ("yr yrs year 年", Fraction(12), {"month": 1}),
    ("in inch inches", _INCH, {"m": 1}),
    ("ft foot feet", 12 * _INCH, {"m": 1}),
    ("yd yard", 36 * _INCH, {"m": 1}),
    ("mi mile 英里", 63360 * _INCH, {"m": 1}),
    ("米", Fraction(1), {"m": 1}),
    ("厘米", Fraction(1, 100), {"m": 1}),
    ("分米", Fraction(1, 10), {"m": 1}),
    ("毫米", Fraction(1, 1000), {"m": 1}),
    ("千米 公里", Fraction(1000), {"m": 1}),
    ("克", Fraction(1, 1000), {"kg": 1}),
    ("千克 公斤", Fraction(1), {"kg": 1}),
    ("t tonne ton 吨", Fraction(1000), {"kg": 1}),
    ("lb lbs pound", Fraction(45359237, 10**8), {"kg": 1}),
    ("oz ounce", Fraction(45359237, 16 * 10**8), {"kg": 1}),
    ("l 升", Fraction(1, 1000), {"m": 3}),
    ("ml 毫升", Fraction(1, 10**6), {"m": 3}),
    ("gal gallon", 231 * _INCH**3, {"m": 3}),
    ("ha hectare 公顷", Fraction(10**4), {"m": 2}),
    ("acre", Fraction(40468564224, 10**7), {"m": 2}),
    ("mph", 63360 * _INCH / 3600, {"m": 1, "s": -1}),
    ("kph kmph kmh", Fraction(1000, 3600), {"m": 1, "s": -1}),
    ("atm atmosphere", Fraction(101325), {"kg": 1, "m": -1, "s": -2}),
    ("° deg degree 度", Fraction(1), {"angle": 1}),
    ("' arcmin arcminute", Fraction(1, 60), {"angle": 1}),
    ('" arcsec arcsecond', Fraction(1, 3600), {"angle": 1}),
    ("rad radian 弧度", Fraction(1), {"radian": 1}),
    ("K kelvin", Fraction(1), {"K": 1}),
    ("¤ dollar usd USD buck 美元", Fraction(1), {"dollar": 1}),
    ("cent ¢ 美分", Fraction(1, 100), {"dollar": 1}),
    ("€ euro EUR 欧元", Fraction(1), {"euro": 1}),
    ("£ GBP 英镑", Fraction(1), {"sterling": 1}),
    ("¥ yuan RMB CNY rmb 元 块钱 人民币", Fraction(1), {"yuan": 1}),
    ("₹ Rs Rs. INR rupee", Fraction(1), {"rupee": 1}),
    ("₩ KRW", Fraction(1), {"won": 1}),
    ("₽ RUB ruble rouble", Fraction(1), {"ruble": 1}),
    ("角 jiao", Fraction(1, 10), {"yuan": 1}),
    ("rpm", Fraction(1, 60), {"turn": 1, "s": -1}),
    ("dB decibel", Fraction(1), {"dB": 1}),
    ("bit", Fraction(1), {"bit": 1}),
    ("byte", Fraction(8), {"bit": 1}),
    ("u amu Da", Fraction(1), {"amu": 1}),
)
_GENERIC = frozenset(("unit", "square unit", "sq unit", "cubic unit", "cu unit", "单位", "平方单位", "立方单位"))
_MEASURE_WORDS = frozenset("个只支本人名条张块次种页辆棵朵颗件岁枚头匹位道题组")
_MEASURE = "*"
"""Label of Chinese measure words: they go with anything that is counted, and with no real unit."""


def _dimension(exponents: dict[str, int]) -> Dimension:
    return tuple(sorted((base, exponent) for base, exponent in exponents.items() if exponent))


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}
    for symbol, names, scale, exponents in _SI:
        dimension = _dimension(exponents)
        table[symbol] = Unit(scale, dimension)
        for prefix, size in _PREFIXES.items():
            table.setdefault(prefix + symbol, Unit(scale * size, dimension))
        for word in names:
            table[word] = Unit(scale, dimension)
            for prefix_word, prefix in _PREFIX_WORDS.items():
                table[prefix_word + word] = Unit(scale * _PREFIXES[prefix], dimension)
    for listed, scale, exponents in _OTHER:
        table.update((name, Unit(scale, _dimension(exponents))) for name in listed.split())
    celsius = Unit(Fraction(1), (("K", 1),), offset=Fraction(27315, 100))
    table.update(dict.fromkeys(("°C", "celsius", "摄氏度", "degC"), celsius))
    fahrenheit = Unit(Fraction(5, 9), (("K", 1),), offset=Fraction(27315, 100) - Fraction(160, 9))
    table.update(dict.fromkeys(("°F", "fahrenheit", "华氏度", "degF"), fahrenheit))
    return table


_UNITS = _table()
_FOLDED = {name.lower(): unit for name, unit in reversed(_UNITS.items())}
_CHINESE = pattern(
    "(平方|立方)?(" + "|".join(sorted((n for n in _UNITS if n[0] >= "一"), key=len, reverse=True)) + ")",
    yes="平方米",
    no="abc",
    by="match",
)
_PIECE = pattern(
    r"\s*(?:(?P<divide>per\b|/|每)|(?P<times>\*|\.)|(?P<power>\^\s?\{?\s?(?P<exponent>-?\d)\s?\}?|(?P<digit>[23]))"
    r"|(?P<modifier>(?:(?:square|cubic)(?=[\s.a-z])(?!d)|(?:sq|cu)\b)\.?)|(?P<after>(?:squared|cubed)\b)"
    r"|(?P<open>\()|(?P<close>\))|(?P<brace>[{}])"
    r"|(?P<word>°\s?[CF](?![A-Za-z])|[A-Za-zμΩ]+|[°'\"¤€£¥¢₹₩₽])|(?P<chinese>[一-鿿]+))",
    yes=" cm",
    no="~",
    by="match",
)
_NOT_A_UNIT = frozenset(
    words(
        "is are was were be been not no nor or and but because since so if then than less more most least "
        "fewer greater smaller larger wrong incorrect right correct true false maybe perhaps possibly to "
        "times with without by from which that what who it its this there either neither both cannot can't "
        "isn't only percent percentage x y z minus plus i you we he she they sure guess think between least "
        "about squared cubed factorial doubled tripled halved halves thirds quarters tens hundreds thousands power"
    )
)


_SYMBOL_PLURALS = frozenset(("cms", "kms", "kgs", "mms", "mls"))


def _lookup(word: str) -> Unit | None:
    word = word.replace("° ", "°")
    unit = _UNITS.get(word)
    if unit is None and len(word) > 1:
        folded = word.lower()
        unit = _FOLDED.get(folded)
        if unit is None and len(word) > 3 and folded.endswith("s"):
            unit = _FOLDED.get(folded[:-1])
        if unit is None and folded in _SYMBOL_PLURALS:
            unit = _FOLDED[folded[:-1]]
    return unit


class _Builder:
    """Multiplies units up while a text is read from left to right."""

    def __init__(self) -> None:
        self.scale = Fraction(1)
        self.exponents: dict[str, int] = {}
        self.sign, self.group_sign, self.modifier = 1, 1, 1
        self.last: tuple[Unit, int] | None = None
        self.offset = Fraction(0)
        self.count = 0

    def apply(self, unit: Unit, exponent: int) -> None:
        self.scale *= unit.scale**exponent
        for base, power in unit.dimension:
            self.exponents[base] = self.exponents.get(base, 0) + power * exponent

    def add(self, unit: Unit) -> None:
        exponent = self.sign * self.group_sign * self.modifier
        self.apply(unit, exponent)
        self.last = (unit, exponent)
        self.offset = unit.offset
        self.sign, self.modifier = 1, 1
        self.count += 1

    def raise_last(self, power: int) -> bool:
        if self.last is None:
            return False
        unit, exponent = self.last
        self.apply(unit, exponent * (power - 1))
        self.last = None
        return True

    def finish(self) -> Unit | None:
        if not self.count:
            return None
        offset = self.offset if self.count == 1 else Fraction(0)
        return Unit(self.scale, _dimension(self.exponents), offset)


def _real_unit(text: str) -> Unit | None:
    builder = _Builder()
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            return None
        position = match.end()
        if not _feed(builder, match):
            return None
    return builder.finish()


def _feed(builder: _Builder, match: re.Match[str]) -> bool:
    match match.lastgroup:
        case "divide":
            builder.sign = -1
        case "power" | "exponent" | "digit":
            return builder.raise_last(int(match.group("exponent") or match.group("digit")))
        case "after":
            return builder.raise_last(2 if match.group("after").startswith("sq") else 3)
        case "modifier":
            builder.modifier = 2 if match.group("modifier").startswith("sq") else 3
        case "open":
            builder.group_sign, builder.sign = builder.sign, 1
        case "close":
            builder.group_sign = 1
        case "word":
            unit = _lookup(match.group("word"))
            if unit is None:
                return False
            builder.add(unit)
        case "chinese":
            return _feed_chinese(builder, match.group("chinese"))
        case _:
            pass
    return True


def _feed_chinese(builder: _Builder, text: str) -> bool:
    position = 0
    while position < len(text):
        if text[position] == "每":
            builder.sign = -1
            position += 1
            continue
        match = _CHINESE.match(text, position)
        if match is None:
            return False
        builder.modifier = {"平方": 2, "立方": 3}.get(match.group(1) or "", 1)
        builder.add(_UNITS[match.group(2)])
        position = match.end()
    return True


_SPECIAL_WORDS = pattern(
    r"(?:degrees?|deg|°)\s(celsius|fahrenheit|C|F)\b", re.IGNORECASE, yes="degrees C", no="degrees"
)
_TRAILERS = pattern(
    r"\s(?:in total|altogether|in all|total|each|long|tall|high|wide|away|left|old|square)$", yes="cm in total", no="cm"
)
_WORDS = pattern(r"[A-Za-z][A-Za-z'-]*(?: [A-Za-z][A-Za-z'-]*){0,3}", yes="red apples", no="5 apples", by="fullmatch")


@lru_cache(maxsize=2048)
def read_unit(text: str) -> Unit | None:
    """Read all of `text` as a unit or as a label of counted things; None when it is neither."""
    text = text.strip(" .,;")
    if text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1].strip()
    if not text or len(text) > 60:
        return None
    text = text.replace("μ ", "μ")
    text = _SPECIAL_WORDS.sub(lambda match: "deg" + match.group(1)[0].upper(), text)
    unit = _real_unit(text)
    if unit is None and (trailer := _TRAILERS.search(text)):
        unit = _real_unit(text[: trailer.start()])
    if unit is not None:
        return unit
    folded = text.lower().removesuffix("s")
    if text in _MEASURE_WORDS:
        return Unit(Fraction(1), (), label=frozenset((_MEASURE,)))
    if folded in _GENERIC or re.fullmatch(
        r"units?\s?\^\s?\{?\s?[23]\s?\}?|(square|sq\.?|cubic|cu\.?) units?", text.lower()
    ):
        return ANYTHING
    if _WORDS.fullmatch(text):
        counted = frozenset(word.lower().removesuffix("s") for word in text.split())
        raw = frozenset(text.lower().split())
        if not raw & _NOT_A_UNIT and all(len(word) > 1 for word in counted):
            return Unit(Fraction(1), (), label=counted - {"of", "the", "a", "in", "total", "different"})
    return None


def factor(gold: Unit, other: Unit) -> Fraction | None:
    """By what a value in `other` is multiplied to be a value in `gold`; None when the two do not go together."""
    if gold.anything or other.anything:
        return Fraction(1)
    if _MEASURE in gold.label or _MEASURE in other.label:
        return Fraction(1) if gold.label and other.label else None
    if gold.label or other.label:
        together = gold.label <= other.label or other.label <= gold.label
        return Fraction(1) if together and bool(gold.label) == bool(other.label) else None
    if gold.dimension != other.dimension:
        return None
    return other.scale / gold.scale
