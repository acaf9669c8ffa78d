"""Taking texts apart outside of brackets, and trimming what surrounds an answer."""

from srpo.grading.normalise import MATRIX_CLOSE, MATRIX_OPEN, SET_CLOSE, SET_OPEN
from srpo.grading.patterns import pattern

OPENERS = "([{" + SET_OPEN + MATRIX_OPEN
CLOSERS = ")]}" + SET_CLOSE + MATRIX_CLOSE


def split_top(text: str, separators: str) -> list[str]:
    """Split at separators that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for index, c in enumerate(text):
        if c in OPENERS:
            depth += 1
        elif c in CLOSERS:
            depth = max(0, depth - 1)
        elif c in separators and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


_TRAILING = " \t.,;:?`\"'*_!"


def trim(text: str) -> str:
    """Take off what surrounds an answer: quotes, stars, closing punctuation, a leading `=`. `5!` and `f'` stay."""
    whole = text.strip()
    if whole.endswith(" √"):
        whole = whole[:-2].rstrip()  # a tick behind an answer
    text = whole.lstrip("`'\"*:;,= ")
    end = text.rstrip(_TRAILING)
    tail = text[len(end) :]
    if tail.startswith(("!", "'")) and not whole.startswith("'") and end and (end[-1].isalnum() or end[-1] in ")}"):
        end += tail[0] if not tail.startswith("''") else "''"
    elif tail.startswith('"') and end[-1:].isdigit() and ("°" in end or "'" in end):
        end += tail[0]
    return end


def trim_plus(text: str) -> str:
    """`x = +5` is `x = 5`: the sign may be left over from ±."""
    return text.strip().removeprefix("+")


_CONJUNCTION = pattern(
    r"\s(?:and|or)\s|(?<=[\d)\]}])\s?(?:and|or)\s?(?=[\dA-Za-z(\[{\\-])|\s&\s"
    r"|(?<=\S)\s?(?:以及|或者|或|和|及|与)\s?(?=\S)",
    yes="x=2 and x=3",
    no="sandy",
)


def conjunctions(text: str) -> tuple[list[str], bool]:
    """Split at and/or outside brackets; also tells whether one of them was an `and`."""
    if not ("nd" in text or "or" in text or "&" in text or not text.isascii()):
        return [text], False
    parts, start, has_and, depth, seen = [], 0, False, 0, 0
    for match in _CONJUNCTION.finditer(text):
        for c in text[seen : match.start()]:
            depth += (c in OPENERS) - (c in CLOSERS)
        seen = match.start()
        if depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
            has_and = has_and or "and" in match.group() or "且" in match.group()
    parts.append(text[start:])
    return [part for part in parts if part.strip()], has_and


SIGNS = "=<>≤≥≠≈"
"""The signs of equations and inequalities."""


def top_signs(text: str) -> list[str]:
    """The signs of an equation or inequality that stand outside all brackets, in order."""
    depth, signs = 0, []
    for c in text:
        depth = depth + 1 if c in OPENERS else max(0, depth - 1) if c in CLOSERS else depth
        if c in SIGNS and depth == 0:
            signs.append(c)
    return signs


def one_bracket(text: str) -> bool:
    """Does the first bracket close with the last character? Interval brackets need not match in shape."""
    depth = 0
    for index, c in enumerate(text):
        if c in OPENERS or (index == 0 and c == "]"):
            depth += 1
        elif c in CLOSERS:
            depth -= 1
            if depth == 0 and index < len(text) - 1:
                return False
    return True
