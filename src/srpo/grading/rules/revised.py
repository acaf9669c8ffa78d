"""Answers that tell their own history: `12 instead of 11`, `A → B`, `it changes from 11 to 12`, `~~11~~ 12`.

A policy that reflects writes like that. What counts is the value that it holds in the end; what it takes back, struck
out or with `which is incorrect`, is no answer.

>>> revised("My answer changes from 11 to 12."), revised("12 instead of 11"), revised("~~A~~ B")
('My answer is 12.', '12', 'B')
>>> denied("5, which is incorrect"), denied("5, which is right")
(True, False)
"""

import re

from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of

_MAX_CHARS = 400
_VALUE = (
    r"[(\[$*\\]{0,3}(?:[A-J](?![A-Za-z])|-?[^\s\w,;:.()]{0,2}\d[^\s,;:()]{0,15})[)\]$*]{0,3}"
    r"(?:\s(?!to\b|from\b)[a-z°%²³]{1,8}\b)?"
)
_STRUCK = pattern(
    r"~~[^~\n]{1,80}~~|<(?P<t>s|del|strike)>[^<>\n]{1,80}</(?P=t)>|\\(?:s?out|cancel|xcancel|st)\{[^{}\n]{1,80}\}",
    yes="~~11~~ 12",
    no="20~30",
)
_CHANGES = any_of(
    "chang(?:e|es|ed|ing); switch(?:es|ed|ing)?; correct(?:s|ed|ing)?; revis(?:e|es|ed|ing); updat(?:e|es|ed|ing)",
    "mov(?:e|es|ed|ing); went; goes; go; going; adjust(?:s|ed|ing)?; shift(?:s|ed|ing)?; turn(?:s|ed)?",
)
_FROM_TO = pattern(
    rf"\b{_CHANGES}\b(?P<what>(?: \w+){{0,4}}?),? from (?P<old>{_VALUE}),? (?:in)?to (?P<new>{_VALUE})",
    re.IGNORECASE,
    yes="it changes from 11 to 12",
    no="from 11 to 12",
)
_TO = pattern(
    rf"\b{_CHANGES}\b(?: (?:it|this|that|my|the|first|answer|result)){{0,4}}(?: from| of)?:? "
    rf"(?:(?P<old>{_VALUE}) )?(?:in)?to (?P<new>{_VALUE})[.!]*$",
    re.IGNORECASE,
    yes="I revised 11 to 12",
    no="it goes up to 12",
)
_NO_BUT = pattern(
    rf"(?P<old>{_VALUE})\s?[?,;.!—–-]{{0,3}}\s?(?:no|wrong)[,:;.]\s?"
    rf"(?:it is |it's |the answer is )?(?P<new>{_VALUE})[.!]*",
    re.IGNORECASE,
    yes="11? No, 12.",
    no="11, not 12",
    by="fullmatch",
)
_IT_IS = r"(?:it is |it's |the answer is |i say |now )?"
_NOW = pattern(
    rf"(?:.{{0,30}}\bwas (?:first )?{_VALUE}[,;.]? (?:but |and )?(?:it )?(?:is )?now {_IT_IS}"
    rf"|(?:instead of|rather than) {_VALUE},? (?:{_IT_IS}|(?:the|my) (?:\w+ ){{1,3}}is ))(?P<new>{_VALUE})[.!]*"
    rf"|(?P<newer>{_VALUE}) (?:replaces|supersedes) {_VALUE}[.!]*",
    re.IGNORECASE,
    yes="It was 11, now 12.",
    no="12 now",
    by="fullmatch",
)
_INSTEAD = pattern(
    r"(?<=\S),?\s(?:instead of|in place of|rather than|and not|as opposed to)\s"
    rf"(?:the |an? |my )?(?:\w+ ){{0,2}}?(?:{_VALUE}|[a-z]{{2,12}}(?=\W*$))",
    re.IGNORECASE,
    yes="12 instead of 11",
    no="instead of 11, 12",
)
_ARROW = pattern(
    rf"^(?:[\w ,']{{0,40}}{_CHANGES}[\w ]{{0,20}}:? )?(?P<old>{_VALUE})\s?(?:→|->|=>|⇒|➔|⟶)\s?(?P<new>{_VALUE})[.\s]*$",
    re.IGNORECASE,
    yes="A → B",
    no="A → B → C",
)
_REMARK = pattern(
    r"\s?\((?:was|were|not|previously|formerly|originally|before|instead of|old"
    rf"|(?:{_CHANGES}\s)?from)\b[^()]{{1,40}}\)"
    r"|(?<=\S),\s(?:previously|formerly|originally|(?:up|down|changed|corrected) from)\s[^,;.]{1,30}(?=[.,;]|$)",
    re.IGNORECASE,
    yes="B (was A)",
    no="B (blue)",
)
_OLD_NEW = pattern(
    rf"(?:old|before|previous(?:ly)?|initial(?:ly)?|original(?:ly)?)\s?[:=]\s?{_VALUE}[,;.\s]+"
    rf"(?:new|after(?:wards)?|now|final(?:ly)?|revised|corrected|updated)\s?[:=]\s?(?P<new>{_VALUE})",
    re.IGNORECASE,
    yes="Old: A, new: B",
    no="Area: 5, new: B",
)
_HISTORY = pattern(
    r"~~|</|\\(?:s?out|x?cancel|st)\{|\bfrom\b|instead|in place|rather|and not|opposed|→|->|=>|⇒|➔|⟶|\(|,"
    r"|\b(?:old|before|previous|initial|original|as|once|after|no|to|now|replaces|supersedes)\b",
    re.IGNORECASE,
    yes="from 11 to 12",
    no="12 cm",
)
"""A quick look for anything that the patterns above take out."""
_AS_BEFORE = pattern(
    r"(?:(?:just |same )?as (?:above|before|stated|found|calculated|i said)|once (?:again|more)"
    r"|after (?:checking|review))[,:]\s",
    re.IGNORECASE,
    yes="As above, 12",
    no="As 12 shows",
    by="match",
)


def revised(text: str, *, arrows: bool = True) -> str:
    """The text with its history taken out; `arrows` false keeps `A → B`, where the gold has arrows of its own."""
    if len(text) > _MAX_CHARS or not _HISTORY.search(text):
        return text
    text = _STRUCK.sub(" ", text).strip()
    text = _AS_BEFORE.sub("", text, count=1) if _AS_BEFORE.match(text) else text
    text = _FROM_TO.sub(lambda match: f"is {match['new']}", text)
    text = _REMARK.sub("", text)
    if found := _OLD_NEW.search(text) or _NO_BUT.fullmatch(text) or _NOW.fullmatch(text):
        return str(found["new"] or found["newer"] if "newer" in found.groupdict() else found["new"])
    if arrows and (found := _ARROW.search(text)) and not _same_place(found):
        return str(found["new"])
    text = _TO.sub(lambda match: f"is {match['new']}", text)
    return _INSTEAD.sub("", text)


def _same_place(match: re.Match[str]) -> bool:
    """A letter and a number are a pair, no revision."""
    return any(c.isdigit() for c in match["old"]) != any(c.isdigit() for c in match["new"])


# -- denials

_WRONG = any_of(
    "not (?:correct|right|true|it|the (?:right |correct )?answer); incorrect; wrong; false; mistaken; a mistake",
    "an error",
)
_DENIED = pattern(
    r"\S[\s,;:(–—-]*(?:(?:and |but )?(?:which|that|this|it)\s)?(?:(?:is|was|were|are|turns out to be|must be|seems)\s)?"
    rf"(?:in fact |actually |clearly |of course |surely |just )?{_WRONG}\W*$"
    r"|\S\s?[(,;-]\s?no\W*$|[❌✗✘]\W*$|不对\W*$|错误?了?\W*$",
    re.IGNORECASE,
    yes="5, which is incorrect",
    no="which is incorrect: 5",
)
_CLAUSE_END = pattern(r"[;.!]\s+|\n+|。|；", yes="5; 6", no="5.6")


def denied(text: str) -> bool:
    """Does a text end by calling what it says wrong?"""
    return bool(_DENIED_HINT.search(text)) and bool(_DENIED.search(text[-200:]))


def without_denied(text: str) -> str:
    """The clauses of a text that it does not call wrong; empty when it takes back all of them.

    >>> without_denied("I first got 5, which is incorrect; the right value is 6.")
    'the right value is 6.'
    """
    if len(text) > _MAX_CHARS or not _DENIED_HINT.search(text):
        return text
    clauses = [clause for clause in _CLAUSE_END.split(text) if clause.strip()]
    kept = [clause for clause in clauses if not denied(clause)]
    return text if len(kept) == len(clauses) else "; ".join(clause.strip() for clause in kept)


_DENIED_HINT = pattern(
    r"wrong|correct|\bnot\b|false|mistake|error|\bno\b|[❌✗✘错]|不对|right|true",
    re.IGNORECASE,
    yes="5 (wrong)",
    no="5 cm",
)
