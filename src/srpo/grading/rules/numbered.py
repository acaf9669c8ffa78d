"""Answers with numbers in brackets: statements named by their numbers (`①③`), and parts of a question (`① 5 ② 12`).

`normalise.clean` writes ① as (1). What is so written is a set of numbers or a list of answers, and no product.
"""

import re
from collections.abc import Callable

from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of
from srpo.grading.rules.values import Reading, Several

_MAX_CHARS = 600
_WORDS = any_of(
    "statements?; propositions?; conclusions?; items?; numbers?; nos?\\.?; options?; 序号; 结论; 命题; 说法; 选项"
)
_RIGHT = r"(?:\s?(?:are|is|were)?\s?(?:all )?(?:correct|true|right|valid)|正确|成立|对)"
_BETWEEN = r"[\s,;、&+]*(?:(?:and|和|与|及)\s?)?"
_STATEMENTS = pattern(
    rf"(?:the )?(?:correct |true |right )?(?:正确的(?:{_WORDS})?(?:是|有|为)?:?)?(?:{_WORDS})?\s?"
    rf"(?:故?选|答案)?(\(\d{{1,2}}\)(?:{_BETWEEN}\(\d{{1,2}}\)){{1,19}}){_RIGHT}?",
    re.IGNORECASE,
    yes="Statements (1) and (3) are correct",
    no="(1) 5 (3) 6",
    by="fullmatch",
)
_NAMED = pattern(
    rf"(?:the )?(?:correct |true )?{_WORDS} (\d(?:{_BETWEEN}\d){{1,9}})(?! ?[\d%]){_RIGHT}?",
    re.IGNORECASE,
    yes="statements 1 and 3",
    no="1 and 3",
    by="fullmatch",
)
_NUMBER = pattern(r"\((\d{1,2})\)", yes="(3)", no="(a)")
_FIGURE = pattern(r"\d", yes="3", no="a")
_PART = pattern(
    r"(?:^|[\s,;])\(?(?:([1-9])|([a-h])|(i{1,3}|iv|v))\)[\s:.]{0,3}(?=[^\s,;()]|\((?!\d\)))", yes="; (2) 12", no="f(2)"
)
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}


def read_numbered(text: str, read: Callable[[str], Reading]) -> Reading | None:
    """Read all of a clean text as numbers of statements, or as the parts of an answer; None when it is neither."""
    if len(text) > _MAX_CHARS:
        return None
    if text[:1].isalpha() and (named := _NAMED.fullmatch(text)):
        return Reading(Several("statements", tuple(read(number) for number in _FIGURE.findall(named[1]))))
    if ")" not in text:
        return None
    if match := _STATEMENTS.fullmatch(text):
        return Reading(Several("statements", tuple(read(number) for number in _NUMBER.findall(match[1]))))
    parts = _parts(text)
    return None if parts is None else Reading(Several("parts", tuple(read(part) for part in parts)))


def _parts(text: str) -> list[str] | None:
    """What stands behind (1), (2), .. or (a), (b), .., which must follow each other from the beginning on."""
    labels = list(_PART.finditer(text))
    if len(labels) < 2 or labels[0].start() > 0 or labels[0].group()[:1] in " ,;":
        return None
    numbers = [
        int(label[1]) if label[1] else ord(label[2]) - ord("a") + 1 if label[2] else _ROMAN[label[3]]
        for label in labels
    ]
    if numbers != list(range(1, len(numbers) + 1)):
        return None
    ends = [*(label.start() for label in labels[1:]), len(text)]
    parts = [text[label.end() : end].strip(" ,;") for label, end in zip(labels, ends, strict=True)]
    parts = [part.removesuffix(" and").strip(" ,;") for part in parts]
    return parts if all(parts) else None
