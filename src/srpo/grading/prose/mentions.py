"""Which options of a question a statement names by their words, and which of them it rejects.

>>> options = ("plants decrease", "plants increase", "none of the above")
>>> [found.number for found in mentions("the plants would increase", options)]
[1]
"""

import re
from functools import lru_cache
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of, words
from srpo.grading.prose.words import stem

Options = tuple[str, ...]

_EMPTY = frozenset(
    words(
        "a an the would will be is are was were been being have has had do does did to of it its there this that "
        "population number also likely still probably"
    )
)
_JOINTS = frozenset(words("and or in on at by with from"))
_REJECTS = frozenset(
    words(
        "not never neither nor unlike except cannot can't isn't aren't wasn't doesn't don't didn't won't than without "
        "no"
    )
)
_SAME_AS = {
    **dict.fromkeys(words("declin drop fall reduc diminish shrink"), "decreas"),
    **dict.fromkeys(words("rise grow"), "increas"),
    **dict.fromkeys(words("unchanged constant unaffect equal"), "same"),
    **dict.fromkeys(words("bigger greater"), "larger"),
    "fewer": "less",
    "stay": "remain",
}
_NO_CHANGE = pattern(
    r"\b(?:(?:not|\w+n't) (?:be )?(?:change|affected)|no (?:change|effect|difference)|unaffected|unchanged"
    r"|(?:stay|remain)s? (?:the same|constant|stable|unchanged|unaffected))\w*",
    re.IGNORECASE,
    yes="it stays the same",
    no="it changes",
)
_GO = pattern(rf"\b{any_of('go; goes; going; went')} (up|down)\b", re.IGNORECASE, yes="it goes up", no="it goes on")
_TOKEN = pattern(r"[A-Za-z]+(?:'[a-z]+)?|-?\d+(?:\.\d+)?|[一-鿿]|[^\sA-Za-z\d.,;:()\"'?!*]", yes="isn't", no="...")
_LETTER_OPTION = pattern(r"\(?[A-Za-z]\)?", yes="(B)", no="Blue", by="fullmatch")


class Mention(NamedTuple):
    """One option named in a statement, by the position of its words."""

    number: int
    start: int
    end: int
    rejected: bool


def is_letter(option: str) -> bool:
    """Options that are letters are named by letter alone: `a` is a word."""
    return bool(_LETTER_OPTION.fullmatch(option.strip()))


@lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[str, ...]:
    """The words, numbers and signs of a text, stemmed, with one word for `decline`, `drop` and `decrease`."""
    text = _NO_CHANGE.sub("remain same", clean(text))
    text = _GO.sub(lambda match: "increase" if match[1].lower() == "up" else "decrease", text)
    made = (stem(token) if token[0].isalpha() else token for token in _TOKEN.findall(text))
    return tuple(_SAME_AS.get(token, token) for token in made)


@lru_cache(maxsize=4096)
def _key(option: str) -> tuple[str, ...]:
    found = tokens(option)
    return tuple(token for token in found if token not in _EMPTY) or found


def telling(options: Options) -> list[frozenset[str]]:
    """The words of each option that not all options have."""
    keys = [frozenset(_key(option)) - _JOINTS for option in options]
    shared = frozenset.intersection(*keys) if keys else frozenset()
    return [key - shared for key in keys]


def mentions(text: str, options: Options) -> list[Mention]:
    """The options that a text names; of two that overlap the longer (`slightly decrease` before `decrease`)."""
    said = tokens(text)
    keys = [_key(option) for option in options]
    found = [
        Mention(index, start, end, bool(_REJECTS.intersection(said[max(0, start - 3) : start])))
        for index, key in enumerate(keys)
        if key and key not in keys[:index] and not is_letter(options[index])
        for start, token in enumerate(said)
        if token == key[0] and (end := _match(said, start, key))
    ]
    return [one for one in found if not any(_inside(one, other) for other in found)]


def _match(said: tuple[str, ...], start: int, key: tuple[str, ...]) -> int:
    """Where the words of `key` end when they stand in order from `start`, with at most two words between; else 0."""
    position, wanted, gap = start, 0, 2 if len(key) > 1 else 0
    while position < len(said) and wanted < len(key):
        if said[position] == key[wanted]:
            wanted += 1
        elif said[position] not in _EMPTY:
            gap -= 1
            if gap < 0:
                return 0
        position += 1
    return position if wanted == len(key) else 0


def _inside(one: Mention, other: Mention) -> bool:
    longer = other.end - other.start > one.end - one.start
    return longer and one.number != other.number and other.start <= one.start and one.end <= other.end
