"""Yes or no, read out of prose: what a text says outright, else whether it affirms what the question asks.

>>> read_yes_no("Based on the image, Periwinkle is not the maximum.", "Is Periwinkle the maximum?").verdict
'no'
>>> read_yes_no("There is no way to tell which is the maximum.", "Is Periwinkle the maximum?").verdict is None
True
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of, words
from srpo.grading.prose.polarity import NEGATIONS, by_counts, equates, plain_words, polarity, spelled_out
from srpo.grading.prose.refusals import answering, refuses
from srpo.grading.prose.text import Statement, marked_answer, overlap, statements
from srpo.grading.prose.words import asked, content
from srpo.grading.rules.text import YesNo, yes_no

UNCLEAR = "unclear: the text says that it cannot tell"
"""Reason of a text that refuses or leaves the question open, in so many words."""
_SHORT_CHARS = 300


class YesNoRead(NamedTuple):
    """What a text decides; None when it decides nothing, with the reason."""

    verdict: YesNo | None
    reason: str


_YES_WORDS = words("yes yeah yep yup true sí oui ja sim да はい 예 네 نعم بله")
_NO_WORDS = words("nope no false nein não non нет いいえ 아니요 아니오 لا خیر نه")
_OPENINGS = any_of(
    "so; therefore; thus; hence; well; sure; overall; in conclusion; (?:the )?(?:final |correct )?answer(?: is)?",
    r"based on (?:the|this) \w+(?: (?:provided|given|shown))?; [ab][).]",
)
_LEADING = pattern(
    rf"\W*+(?:{_OPENINGS}\W*+){{0,4}}+({'|'.join((*_YES_WORDS, *_NO_WORDS))})"
    r"(?=\s?[,.;:!)\"'—-]|\s?$|\s(?:it|the|there|this|that|because|since|i)\b|\n)",
    re.IGNORECASE,
    yes="So yes, it is",
    no="Yesterday",
    by="match",
)
_NO_DETERMINER = pattern(
    r"\W*no (?:one|idea|doubt|matter|problem|clue|answer|information|image)\b",
    re.IGNORECASE,
    yes="No one is",
    no="No, it is",
    by="match",
)
_UNSURE_WORDS = any_of(
    "unclear; not clear; uncertain; not sure; unsure; hard to (?:say|tell); may or may not; whether or not; depends",
    "both yes and no; no way to (?:tell|know|say)",
)
_UNSURE = pattern(rf"\b{_UNSURE_WORDS}\b", re.IGNORECASE, yes="hard to tell", no="told")
_ACTUALLY = pattern(r"\b(?:actually|in fact|in reality)\b", re.IGNORECASE, yes="it is in fact", no="it is a fact")
_SEEMING = pattern(
    r"\b(?:might|may|could|illusion|perceived?|trick|seemingly)\b", re.IGNORECASE, yes="it might be", no="it is"
)
_PURPOSE = pattern(
    r"^\W*to (?:answer|determine|find|know)\b[^,]*$|^\W*to \w+[^,]*,\s?",
    re.IGNORECASE,
    yes="To find x, add",
    no="x is 5",
)
_TAKEN_BACK = pattern(
    r"\b(?:wait|correction|scratch that|on second thought)\b", re.IGNORECASE, yes="No, wait", no="waiter"
)
_OPEN = pattern(
    r"\b(?:whether|to (?:determine|check|see|find out) if)\b|^\W*if\b", re.IGNORECASE, yes="whether it is", no="it is"
)

_SEEMS_BUT = pattern(
    r"^.{0,200}?\b(?:appears?|seems?|looks?)\b.{0,200}?\b(?:but|however|though|yet)\b,?\s",
    re.IGNORECASE,
    yes="It seems larger, but it is not",
    no="It is larger, but not much",
    by="match",
)
_YEAR = pattern(r"\b(?:1[6-9]|20)\d\d\b", yes="in 2019", no="in 12019")
_EVERY = pattern(r"\b(?:all|every|each)\b", re.IGNORECASE, yes="Are all red?", no="Are they red?")
_SOME = pattern(
    r"\b(?:only|just|some|most|half|several|few)\b", re.IGNORECASE, yes="Only two are red", no="They are red"
)


def read_yes_no(text: str, question: str) -> YesNoRead:
    """What `text` answers to a question that asks for yes or no."""
    found = marked_answer(text)
    if found is not None and (decided := yes_no(found.text or "") or _leads(found.text or "")):
        return YesNoRead(decided, found.how)
    made = statements(text)
    if not made:
        return YesNoRead(None, "no statement")
    if decided := _says_so(made, text, question):
        return YesNoRead(decided, "says so")
    left = answering(made, question)
    return _by_polarity(left, question) if left else YesNoRead(None, UNCLEAR)


def _leads(text: str) -> YesNo | None:
    """The yes or no at the beginning of a statement."""
    match = None if _NO_DETERMINER.match(text) else _LEADING.match(text)
    if match is None:
        return None
    return "yes" if match.group(1).lower() in _YES_WORDS else "no"


def _says_so(made: Sequence[Statement], text: str, question: str) -> YesNo | None:
    """The yes or no that a text concludes with, or else begins with, or else has anywhere."""
    asking = asked(question)
    said = [
        None if refuses(one.whole, asking) else _leads(one.text if index else one.whole)
        for index, one in enumerate(made)
    ]
    concluded = [verdict for one, verdict in zip(made[1:], said[1:], strict=True) if one.concludes and verdict]
    if said[0] and _TAKEN_BACK.search(made[0].whole):
        return next((verdict for verdict in reversed(said[1:]) if verdict), None)
    if concluded or said[0]:
        return concluded[-1] if concluded else said[0]
    short = len(text) <= _SHORT_CHARS
    if short and not refuses(made[-1].whole, asking) and (whole := yes_no(clean(text))):
        return whole
    if spoken := [verdict for verdict in said if verdict]:
        return spoken[0]
    heard = set(plain_words(text)) if short else set()
    return "yes" if "yes" in heard and not NEGATIONS & heard else None


def _of_others(text: str, question: str) -> bool:
    """Does a statement speak of another year, or of some where the question is about all of them?"""
    years, other_years = frozenset(_YEAR.findall(question)), frozenset(_YEAR.findall(text))
    if years and other_years and not years & other_years:
        return True
    return bool(_EVERY.search(question) and _SOME.search(text) and not _EVERY.search(text) and not _denies(text))


def _denies(text: str) -> bool:
    return bool(NEGATIONS & set(plain_words(text)))


def _by_polarity(made: Sequence[Statement], question: str) -> YesNoRead:
    asking = spelled_out(asked(clean(question)))
    wanted = content(asking)

    def rank(index: int) -> tuple[float, int]:
        one = made[index]
        weight = 0.3 * one.concludes + 0.3 * bool(_ACTUALLY.search(one.text)) - 0.5 * bool(_SEEMING.search(one.text))
        return -overlap(wanted, one) - weight - 0.3 * equates(spelled_out(one.text), asking), index

    for place, index in enumerate(sorted(range(len(made)), key=rank)[:6]):
        if _UNSURE.search(made[index].whole):
            if place == 0:
                return YesNoRead(None, UNCLEAR)
            continue
        text = spelled_out(_SEEMS_BUT.sub("", _PURPOSE.sub("", made[index].text)))
        verdict = None if _OPEN.search(text) or _of_others(text, asking) else polarity(text, asking)
        if verdict is not None:
            return YesNoRead(verdict, "statement")
    counted = by_counts(made, asking)
    return YesNoRead(counted, "counts") if counted else YesNoRead(None, "no statement answers the question")
