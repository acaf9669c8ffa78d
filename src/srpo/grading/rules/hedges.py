"""Answers that do not commit themselves. A hedge is never right, whatever else it names."""

import re

from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of

# a word also ends where Chinese begins, which \b does not see
_START, _END = "(?<![A-Za-z])", "(?![A-Za-z])"
_UNSURE_WORDS = any_of(
    "not (?:so |too |entirely |really |quite |completely |very |100% )?(?:sure|certain|confident)",
    "unsure; uncertain; unclear; undecided; no idea; who knows; (?:low|little) confidence; can't be sure",
    "i guess; guess(?:ing)?; or maybe; but maybe; hard to (?:say|tell)",
    "(?:don't|do not|cannot|can't|didn't) (?:know|tell|decide|say)",
)
_UNSURE_CHINESE = any_of("不(?:太|是很|能|敢)?确定; 不(?:太)?知道; 不(?:太)?清楚; 说不准; 拿不准; 猜; 无法确定; 没把握")
_UNSURE = pattern(
    rf"{_START}{_UNSURE_WORDS}{_END}|{_UNSURE_CHINESE}", re.IGNORECASE, yes="I am not sure", no="I am sure"
)

_VAGUE_WORDS = any_of(
    "maybe; perhaps; possibly; probably; presumably; either; depends; alternatively; plausible; etc",
    "or (?:something|so); (?:one|a|another) possibility; (?:one|a|another) possible (?:answer|option|choice|solution)",
    "is (?:also )?possible(?! to)",
    "(?<!more )(?<!less )(?<!equally )(?<!as )likely",
    r"(?:might|could|may) be(?!.*\bis\b)",
)
_VAGUE_CHINESE = any_of("也许; 或许; 可能; 大概; 好像; 似乎; 未必; 说不定; 没准; 估计(?!值); 兴许")
_VAGUE = pattern(
    rf"{_START}{_VAGUE_WORDS}{_END}|{_VAGUE_CHINESE}", re.IGNORECASE | re.DOTALL, yes="maybe 5", no="5 bees"
)
_QUESTION = pattern(r"^[\s(\"'*$]*[?？]|(?:[?？]|吗)[\s?？!！.。)）\"'*$`}]*$", yes="5?", no="5")
_NOTHING = any_of("none; n/a; null; unknown; no answer; cannot be determined; undetermined")
_NO_ANSWER_FIRST = pattern(
    rf"^(?:.{{0,60}}\b(?:is|so|thus|therefore|hence)\b)?\W*{_NOTHING}\s?[,;:(]",
    re.IGNORECASE,
    yes="So none, but 5",
    no="5, none",
    by="match",
)
_LEAD_IN = pattern(
    rf"(?:(?:{_VAGUE.pattern}),?[^.,;:!?。，；]{{0,40}}|(?<!only )\bpossible\s?)$",
    re.IGNORECASE,
    yes="perhaps the answer is ",
    no="the answer is ",
)
_CONTRAST = pattern(
    rf"{_START}{any_of('but; so; thus; therefore; hence; however; yet')}{_END}|{any_of('所以; 因此; 但; 故; ∴')}",
    re.IGNORECASE,
    yes="but 5",
    no="button",
)

_NEGATIONS = any_of(
    "not; [a-z]+n't; never; cannot be; can't be; neither; nor",
    "except; instead of; rather than; other than; unlikely; (?:anything|everything|all) but; none of",
)
_NEGATED = pattern(
    rf"\b{_NEGATIONS}\b|{any_of('不是; 并非; 不等于; 不可能')}", re.IGNORECASE, yes="it isn't 5", no="it is 5"
)

_COMPARISONS = any_of(
    "more than; less than; fewer than; greater than; larger than; smaller than; at least; at most; no more than",
    "over; under; above; below; up to; between; exceeds?; to; through; wrong; incorrect; false",
)
_COMPARISONS_CHINESE = any_of("大于; 小于; 至少; 至多; 以上; 以下; 不足; 超过; 错误; 到")
_COMPARED = pattern(rf"\b{_COMPARISONS}\b|{_COMPARISONS_CHINESE}", re.IGNORECASE, yes="more than 5", no="5 more")
_BEFORE_NUMBER = pattern(r"\b(?:before|after|until|since)\s(?=\d)", re.IGNORECASE, yes="before 5", no="before noon")
_TWO_ANSWERS = pattern(r"\b(?:or|vs\.?|versus)\b|或|\?\s*$", re.IGNORECASE, yes="5 or 6", no="5")
# what is rejected must be a value of its own: "5, not correct" rejects the 5
_OTHER_VALUE = r"(?:the |a |an |option )?(?=[^,;]{0,12}[\dπ√\\]|\(?(?-i:[A-H])\b)[^,;]{1,30}"
_REJECTED_AFTER = pattern(
    rf"(?<=\S)(?:[,;]\s?|\s\()(?:but |and )?(?:not|rather than|instead of|而不是|而非|不是)\s?{_OTHER_VALUE}$",
    re.IGNORECASE,
    yes="5, not 6",
    no="5, not correct",
)
_REJECTED_BEFORE = pattern(
    rf"\bnot {_OTHER_VALUE}?,? but (?:rather |instead )?(?=\S)|不是[^,;，；]{{1,12}}[,，]?而是",
    re.IGNORECASE,
    yes="not 6 but 5",
    no="not big but small",
)


def unsure(answer: str, context: str = "", lead: str = "") -> str | None:
    """Return the words that make an answer a hedge, or None.

    `I am not sure` counts anywhere in the context; `maybe` and `either` count in the answer and right before its
    marker (`lead`) only, for reasoning is full of them. A question answers nothing.
    """
    match = (
        _UNSURE.search(context or answer)
        or _VAGUE.search(answer)
        or _QUESTION.search(answer)
        or _NO_ANSWER_FIRST.match(answer)
        or _LEAD_IN.search(_CONTRAST.split(lead)[-1])
    )
    return match.group()[:40] if match else None


def affirmed(text: str) -> str:
    """Leave out what a text says that the answer is not: `5, not 6`, `not 6 but 5`."""
    return _REJECTED_AFTER.sub("", _REJECTED_BEFORE.sub("", text))


def negated(text: str) -> bool:
    """Does `text` say what the answer is not?"""
    return bool(_NEGATED.search(text))


def blurred(text: str) -> bool:
    """Does `text` compare, negate or name two answers, so that a number in it is not the answer?"""
    return any(pattern.search(text) for pattern in (_NEGATED, _COMPARED, _BEFORE_NUMBER, _TWO_ANSWERS))
