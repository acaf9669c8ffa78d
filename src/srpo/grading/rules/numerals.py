"""Numbers as people write them: thousands separators, decimal commas, number words, Chinese numerals.

>>> plain_digits("1,234,567.5 cm")
'1234567.5 cm'
>>> word_number("twenty-one apples")
Spoken(value=Fraction(21, 1), rest='apples')
>>> word_number("三分之二")
Spoken(value=Fraction(2, 3), rest='')
"""

import re
from fractions import Fraction
from typing import NamedTuple

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words


class Spoken(NamedTuple):
    """A number in words at the start of a text, and the rest of the text."""

    value: Fraction
    rest: str


_THOUSANDS = pattern(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?![\d,]|\.\d{3},)", yes="1,234", no="1,23")
_INDIAN = pattern(r"(?<![\d.,])(\d{1,2})((?:,\d{2})+,\d{3})(?![\d,])", yes="12,34,567", no="12,34")
_SPACED_THOUSANDS = pattern(r"(?<![\d.,])(?<!\d )(\d{1,3})((?: \d{3})+)(?![\d,/]| \d| ?/)", yes="1 234 567", no="1 23")
_POINT_THOUSANDS = pattern(
    r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d,.])|(?<![\d.,])(\d{1,3}(?:\.\d{3}){2,})(?![\d,.])",
    yes="1.234,5",
    no="1.234",
)
_APOSTROPHES = pattern(r"(?<![\d.,'])\d{1,3}(?:'\d{3})+(?![\d'])", yes="845'120", no="5'12")
_DECIMAL_COMMA = pattern(r"(?<![\d.,])(\d{1,15}),(\d{1,15})(?![\d,.])", yes="2,5", no="2,5,6")


def plain_digits(text: str, *, decimal_comma: bool = True) -> str:
    """Take thousands separators out and turn a decimal comma into a point (`0,111`, `2,74`); `1,234` is a thousand."""
    if "'" in text:
        text = _APOSTROPHES.sub(lambda match: match.group().replace("'", ""), text)
    if "," in text:
        text = _THOUSANDS.sub(_join_thousands, text)
        text = _INDIAN.sub(lambda match: match.group(1) + match.group(2).replace(",", ""), text)
        if "." in text:
            text = _POINT_THOUSANDS.sub(_join_points, text)
        if decimal_comma:
            text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    elif text.count(".") > 1:
        text = _POINT_THOUSANDS.sub(_join_points, text)
    if " " in text:
        text = _SPACED_THOUSANDS.sub(lambda match: match.group(1) + match.group(2).replace(" ", ""), text)
    return text


def _join_thousands(match: re.Match[str]) -> str:
    # "0,111" is a decimal: no thousand starts with a zero
    if match.group(1) == "0":
        return match.group()
    return match.group(1) + match.group(2).replace(",", "")


def _join_points(match: re.Match[str]) -> str:
    if match.group(3):
        return match.group(3).replace(".", "")
    return f"{match.group(1).replace('.', '')}.{match.group(2)}"


_UNITS = (
    "zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_SMALL = {word: value for value, word in enumerate(_UNITS.split())}
_SMALL.update(
    {
        word: 10 * value
        for value, word in enumerate(words("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
    }
)
_LARGE = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4,
    "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8,
    "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
_AND_PART = pattern(
    rf"and (an?|{'|'.join(list(_SMALL)[1:10])}) ({'|'.join(_PARTS)})\b", yes="and a half", no="and a cat", by="match"
)
"""What follows the whole number in `two and a half`."""
_SOME = pattern(
    r"(half (?:a )?)?(?:one |a )?(pair|couple|dozen)\b", re.IGNORECASE, yes="half a dozen", no="repair", by="match"
)
ORDINALS = {
    name: number
    for number, name in enumerate(
        words("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), start=1
    )
}
"""What `3rd` is in words."""
_SIGNS = frozenset(("minus", "negative"))
_FIRST_WORDS = (
    frozenset(_SMALL) | frozenset(_LARGE) | _SIGNS | {"half", "a", "an", "quarter", "pair", "couple", "dozen"}
)


def _english(words: list[str]) -> tuple[Fraction, int] | None:
    """Value of the number words at the start of `words`, and how many were used."""
    total, current, used, seen = 0, 0, 0, False
    for index, word in enumerate(words):
        if word in _SMALL:
            if seen and current % 100 and (current % 10 or _SMALL[word] >= 10):
                break  # "two three" is two numbers
            current += _SMALL[word]
        elif word in _LARGE and (seen or word == "hundred"):
            if word == "hundred":
                current = max(current, 1) * 100
            else:
                total, current = total + max(current, 1) * _LARGE[word], 0
        elif word == "and" and seen and index + 1 < len(words) and words[index + 1] in _SMALL and current >= 100:
            continue
        else:
            break
        seen, used = True, index + 1
    return (Fraction(total + current), used) if seen else None


def word_number(text: str) -> Spoken | None:  # noqa: C901 - a list of forms
    """Read a number in English words or Chinese numerals at the start of `text`; None when there is none."""
    if text[:1] >= "一" or text[:1] in "负零〇":
        return _chinese_number(text)
    head = text.lower()[:80]
    if not head[:1].isalpha():
        return None
    if some := _SOME.match(text):
        many = Fraction(12 if some[2].lower() == "dozen" else 2) / (2 if some[1] else 1)
        return Spoken(many, text[some.end() :].removeprefix(" of").strip())
    words = re.findall(r"[a-z]+", head)
    if not words or words[0] not in _FIRST_WORDS:
        return None
    pieces = list(re.finditer(r"[A-Za-z]+", text[:80]))
    negative = words[0] in _SIGNS
    start = 1 if negative else 0
    if (
        words[start : start + 1] in (["a"], ["an"])
        and words[start + 1 : start + 2]
        and words[start + 1] in ("half", "third", "quarter")
    ):
        value, used = Fraction(1, _PARTS[words[start + 1]]), start + 2
    elif words[start : start + 1] == ["half"]:
        value, used = Fraction(1, 2), start + 1
    else:
        found = _english(words[start:])
        if found is None:
            return None
        value, used = found[0], start + found[1]
        if words[used : used + 1] and words[used] in _PARTS:
            value, used = value / _PARTS[words[used]], used + 1
        elif (part := _AND_PART.match(" ".join(words[used:]))) is not None:
            count = _SMALL.get(part[1], 1)
            value, used = value + Fraction(count, _PARTS[part[2]]), used + len(part.group().split())
    if words[start : start + 1] == ["half"] and words[used : used + 1] in (["a"], ["an"]):
        used += 1
    rest = text[pieces[used].start() :] if used < len(pieces) else text[pieces[used - 1].end() :]
    return Spoken(-value if negative else value, rest.strip())


_DIGITS = {c: v for v, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_TENS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_NUMBER = pattern(
    "(负)?(百分之)?([零〇一二两三四五六七八九十百千万亿]+)(?:分之([零〇一二两三四五六七八九十百千万]+))?(?:点([零〇一二三四五六七八九]+))?",
    yes="三分之二",
    no="分之二",
    by="match",
)


def chinese_integer(text: str) -> int | None:
    """Value of a Chinese numeral (`二十一`, `一百零五`, `二〇二四`); None when it is not one."""
    if all(c in _DIGITS for c in text):
        return int("".join(str(_DIGITS[c]) for c in text)) if len(text) <= 12 else None
    total, section, digit = 0, 0, 0
    for c in text:
        if c in _DIGITS:
            digit = _DIGITS[c]
        elif c in _TENS:
            section += (digit or 1) * _TENS[c]
            digit = 0
        else:
            total = (total + section + digit) * (10**4 if c == "万" else 10**8)
            section = digit = 0
        if total > 10**20:
            return None
    return total + section + digit


def _chinese_number(text: str) -> Spoken | None:
    if text.startswith("一半"):
        return Spoken(Fraction(1, 2), text[2:].strip())
    match = _CHINESE_NUMBER.match(text)
    if match is None:
        return None
    minus, percent, whole, above, decimals = match.groups()
    number = chinese_integer(whole)
    if number is None:
        return None
    value = Fraction(number)
    if above:
        upper = chinese_integer(above)
        if upper is None or number == 0:
            return None
        value = Fraction(upper, number)
    if decimals:
        value += Fraction(int("".join(str(_DIGITS[c]) for c in decimals)), 10 ** len(decimals))
    rest = text[match.end() :].strip()
    return Spoken(-value if minus else value, ("%" + rest) if percent else rest)
