"""Times of day and compass bearings.

>>> read_clock("quarter past three")
ClockTime(hour=3, minute=15, second=0, half='', all_day=False)
>>> read_bearing("N34°W").azimuth
Fraction(326, 1)
"""

import re
from fractions import Fraction
from typing import Literal

from srpo.grading.patterns import pattern
from srpo.grading.rules.numerals import chinese_integer, word_number
from srpo.grading.rules.values import Bearing, ClockTime

_HALF = r"(?:\s?(?P<half>[ap])\.?\s?m\b\.?)?"
_DIGITAL = pattern(
    rf"(?:at )?(?P<hour>\d{{1,2}})\s?[:h]\s?(?P<minute>\d{{2}})(?:\s?:\s?(?P<second>\d{{2}}))?{_HALF}(?: o'clock)?$",
    re.I,
    yes="3:15 pm",
    no="315",
    by="match",
)
_DOTTED = pattern(
    r"(?P<hour>\d{1,2})\.(?P<minute>\d{2})(?P<second>x)?\s?(?P<half>[ap])\.?\s?m\b\.?$",
    re.I,
    yes="3.15 pm",
    no="3.15",
    by="match",
)
_SHARP = pattern(
    rf"(?:at )?(?P<hour>\d{{1,2}}|[a-z]+)(?: o'? ?clock|(?=\s?[ap]\.?\s?m\b)){_HALF}(?: sharp)?$",
    re.I,
    yes="3 o'clock",
    no="3",
    by="match",
)
_HAN = "零一二两三四五六七八九十"
_CHINESE = pattern(
    rf"(上午|下午|晚上|早上|凌晨|中午)?([\d{_HAN}]{{1,3}})[点时:](?:钟|整)?"
    rf"(?:(半)|([\d{_HAN}]{{1,3}})分?|([一三])刻)?(?:([\d]{{1,2}})秒)?$",
    yes="下午3点半",
    no="3半",
    by="match",
)
_PAST = pattern(
    r"(?:at |it is |it's )?(?P<amount>a quarter|quarter|half|[a-z]+(?:[- ][a-z]+)?|\d{1,2})(?: minutes?)? "
    rf"(?P<way>past|after|to|before|till) (?P<hour>[a-z]+|\d{{1,2}})(?: o'? ?clock)?{_HALF}$",
    re.IGNORECASE,
    yes="quarter past three",
    no="a quarter",
    by="match",
)
_SPOKEN = pattern(
    rf"(?P<hour>[a-z]+) (?P<minute>(?:oh |o' )?[a-z]+(?:[- ][a-z]+)?){_HALF}$",
    re.I,
    yes="three fifteen",
    no="315",
    by="match",
)
_HINTS = pattern(
    r"\d\s?[:h]\s?\d\d|o'? ?clock|[点时]|\b(?:past|after|to|before|till)\b|\d\s?[ap]\.?\s?m\b|noon|midnight",
    re.I,
    yes="half past 3",
    no="315",
)


def _clock(hour: int | None, minute: int | None, second: int = 0, half: str | None = None) -> ClockTime | None:
    if hour is None or minute is None or not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second < 60):
        return None
    known: Literal["am", "pm", ""] = ""
    if half:
        known = "am" if half.lower().startswith("a") else "pm"
    elif hour == 0 or hour > 12:
        known = "am" if hour in (0, 24) else "pm"
    return ClockTime(hour % 12, minute, second, known, all_day=not half and (hour == 0 or hour > 12))


def _small_number(text: str) -> int | None:
    text = text.removeprefix("oh ").removeprefix("o' ")
    if text.isdigit():
        return int(text)
    spoken = word_number(text)
    return int(spoken.value) if spoken is not None and not spoken.rest and spoken.value.denominator == 1 else None


def read_clock(text: str, *, spoken: bool = False) -> ClockTime | None:  # noqa: PLR0911 - one return a notation
    """Read a time of day; None when `text` is none. `spoken` also reads `three fifteen`."""
    if len(text) > 60 or not (spoken or _HINTS.search(text)):
        return None
    text = text.strip(" .")
    if text.lower() in ("noon", "12 noon", "midnight"):
        return ClockTime(0, 0, 0, "am" if text.lower() == "midnight" else "pm")
    match = _DIGITAL.match(text) or _DOTTED.match(text)
    if match:
        return _clock(int(match["hour"]), int(match["minute"]), int(match["second"] or 0), match["half"])
    if match := _SHARP.match(text):
        return _clock(_small_number(match["hour"]), 0, 0, match["half"])
    if (match := _PAST.match(text)) and (spoken or not (match["amount"].isdigit() and match["hour"].isdigit())):
        return _past(match)
    if match := _CHINESE.match(text.replace(" ", "")):
        return _chinese(match)
    if spoken and (match := _SPOKEN.match(text)):
        return _clock(_small_number(match["hour"]), _small_number(match["minute"]), 0, match["half"])
    return None


def _past(match: re.Match[str]) -> ClockTime | None:
    amount = match["amount"].lower().removeprefix("a ")
    minutes = {"quarter": 15, "half": 30}.get(amount, -1)
    if minutes < 0:
        read = _small_number(amount)
        if read is None:
            return None
        minutes = read
    hour = _small_number(match["hour"])
    if hour is None:
        return None
    if match["way"].lower() in ("past", "after"):
        return _clock(hour, minutes, 0, match["half"])
    return _clock((hour - 2) % 12 + 1, 60 - minutes, 0, match["half"]) if 0 < minutes < 60 else None


def _chinese(match: re.Match[str]) -> ClockTime | None:
    when, hour_text, half_hour, minute_text, quarters, seconds = match.groups()

    def number(text: str) -> int | None:
        return int(text) if text.isdigit() else chinese_integer(text)

    minute = (
        30
        if half_hour
        else 15 * (chinese_integer(quarters) or 0)
        if quarters
        else number(minute_text)
        if minute_text
        else 0
    )
    half = None if when is None else "a" if when in ("上午", "早上", "凌晨") else "p"
    return _clock(number(hour_text), minute, int(seconds or 0), half)


_SIDE = "N|S|E|W|north|south|east|west"
_ANGLE = r"(?P<angle>\d{1,3}(?:\.\d{1,6})?)\s?(?:°|degrees?|度)?\s?(?:(?P<minutes>\d{1,2})\s?')?"
_QUADRANT = pattern(
    rf"(?P<from>N|S|north|south)\.?\s?(?:by )?{_ANGLE}\s?(?:to(?:wards?)? the )?(?P<to>E|W|east|west)\.?$",
    re.I,
    yes="N34°W",
    no="34°",
    by="match",
)
_OF = pattern(
    rf"{_ANGLE}\s?(?P<to>{_SIDE})\s?(?:of|from) (?:due )?(?P<from>{_SIDE})$",
    re.I,
    yes="34° west of north",
    no="34° west",
    by="match",
)
_CHINESE_BEARING = pattern(
    rf"(?P<from>[东南西北])偏(?P<to>[东南西北])(?:方向)?\s?{_ANGLE}(?:方向|处)?$", yes="北偏西34°", no="34°", by="match"
)
# three digits with a leading zero are written for bearings only
_TRUE = pattern(r"(\d{1,3}(?:\.\d{1,6})?)\s?°\s?T$|(0\d{2}(?:\.\d{1,6})?)\s?°$", yes="034°", no="34°", by="match")
_POINTS = {"n": 0, "e": 90, "s": 180, "w": 270, "北": 0, "东": 90, "南": 180, "西": 270}
_COMPASS_HINT = pattern(
    r"°\s?T|^0\d\d|\d.*(?:[NSEW]\b|north|south|east|west)|[NS]\s?\d|(?:north|south)\b.*\d|偏",
    re.I,
    yes="N 34° W",
    no="34°",
)


def read_bearing(text: str) -> Bearing | None:
    """Read `N34°W`, `34° west of north`, `北偏西34°`; None when `text` is none."""
    if len(text) > 60 or not _COMPASS_HINT.search(text):
        return None
    text = text.strip(" .")
    if true := _TRUE.match(text):
        return Bearing(Fraction(true.group(1) or true.group(2)) % 360, true=True)
    match = _QUADRANT.match(text) or _OF.match(text) or _CHINESE_BEARING.match(text.replace(" ", ""))
    if match is None:
        return None
    start, end = _POINTS[match["from"][0].lower()], _POINTS[match["to"][0].lower()]
    angle = Fraction(match["angle"]) + Fraction(int(match["minutes"] or 0), 60)
    turn = (end - start) % 360
    if turn not in (90, 270) or angle > 90:
        return None
    return Bearing((start + (angle if turn == 90 else -angle)) % 360)
