"""Calendar dates in figures and words, months and weekdays. A date is no subtraction: 2022-08-18 is not 1996.

>>> read_date("July 4, 2019") == read_date("2019-07-04") == read_date("4th of July 2019")
True
>>> read_date("08-01"), read_date("10-19")
(CalendarDate(year=None, month=8, day=1, weekday=''), None)
"""

import re

from srpo.grading.patterns import pattern
from srpo.grading.rules.values import CalendarDate

_NAMES = "january february march april may june july august september october november december"
_MONTHS = {name[:length]: number for number, name in enumerate(_NAMES.split(), start=1) for length in (3, len(name))}
_MONTHS["sept"] = 9
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12]\d{3})"
_WEEKDAYS = {name[:3]: name for name in ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}
# "sun", "sat" and "wed" are words of their own; with a full stop they are not
_WEEKDAY = pattern(
    r"(?:on )?(?P<weekday>monday|tuesday|wednesday|thursday|friday|saturday|sunday"
    r"|mon\.?|tues?\.?|thu(?:rs?)?\.?|fri\.?|(?:wed|sat|sun)\.)",
    re.IGNORECASE,
    yes="Mon.",
    no="Sun",
    by="fullmatch",
)
_WEEKDAY_FIRST = pattern(
    r"^(?:on )?(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?=\S*\s?\d)",
    re.IGNORECASE,
    yes="Thursday, July 4",
    no="Thursday",
)
_FIGURES = (
    pattern(
        r"(?P<year>[12]\d{3})[-/.](?P<month>[01]?\d)[-/.](?P<day>[0-3]?\d)", yes="2022-08-18", no="22-8", by="fullmatch"
    ),
    pattern(r"(?P<year>1[5-9]\d\d|20\d\d|2100)-(?P<month>0\d|1[0-2])", yes="2021-03", no="2019-20", by="fullmatch"),
    pattern(r"(?P<month>0[1-9]|1[0-2])/(?P<year>(?:19|20)\d\d)", yes="03/2021", no="3/2021", by="fullmatch"),
    pattern(
        r"(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9])|(?P<m>0[1-9])-(?P<d>[0-3]\d)",
        yes="08-01",
        no="10-19",
        by="fullmatch",
    ),
    pattern(
        r"(?:(?P<year>\d{4})年)?(?P<month>\d{1,2})月(?:(?P<day>\d{1,2})[日号])?",
        yes="2019年7月4日",
        no="7日",
        by="fullmatch",
    ),
)
_WRITTEN = (
    pattern(rf"(?:in )?{_MONTH}(?:,? {_YEAR})?", re.IGNORECASE, yes="Sept. 2008", no="Sept 5", by="fullmatch"),
    pattern(
        rf"(?:on )?(?:the )?{_MONTH} (?:the )?{_DAY}(?:,? {_YEAR})?",
        re.IGNORECASE,
        yes="July 4th, 2019",
        no="July",
        by="fullmatch",
    ),
    pattern(
        rf"(?:on )?(?:the )?{_DAY}(?: of)?[ -]{_MONTH}(?:(?:,? |-){_YEAR})?",
        re.IGNORECASE,
        yes="4 July 2019",
        no="July",
        by="fullmatch",
    ),
)
# 7/4/2019: whether the day or the month stands first, nobody can tell
_SLASHED = pattern(r"(?P<a>[0-3]?\d)/(?P<b>[0-3]?\d)/(?P<year>[12]\d{3})", yes="25/12/2019", no="25/12", by="fullmatch")
_HINT = pattern(
    r"\d[-/.]\d|月|\b(?:jan|feb|mar|apr|may|ju[nl]|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)",
    re.IGNORECASE,
    yes="Mar. 3",
    no="12",
)


def read_date(text: str) -> CalendarDate | None:  # noqa: PLR0911 - one return a notation
    """Read all of `text` as a date, a month or a weekday; None when it is none."""
    if len(text) > 40 or not _HINT.search(text):
        return None
    text = _WEEKDAY_FIRST.sub("", text.strip(" ,;"))
    for shape in _FIGURES:
        if match := shape.fullmatch(text):
            fields = match.groupdict()
            return _date(fields.get("year"), fields["month"] or fields.get("m"), fields.get("day") or fields.get("d"))
    for shape in _WRITTEN:
        if match := shape.fullmatch(text):
            fields = match.groupdict()
            month = _MONTHS[fields["month"].rstrip(".").lower()]
            return _date(fields.get("year"), str(month), fields.get("day"))
    if match := _WEEKDAY.fullmatch(text):
        return CalendarDate(None, None, None, _WEEKDAYS[match["weekday"].lower()[:3]])
    if match := _SLASHED.fullmatch(text):
        first, second = int(match["a"]), int(match["b"])
        if first > 12:
            first, second = second, first
        elif second <= 12 and first != second:
            return None
        return _date(match["year"], str(first), str(second))
    return None


def _date(year: str | None, month: str | None, day: str | None) -> CalendarDate | None:
    found = CalendarDate(int(year) if year else None, int(month) if month else None, int(day) if day else None)
    in_month = found.month is None or 1 <= found.month <= 12
    return found if in_month and (found.day is None or 1 <= found.day <= 31) else None
