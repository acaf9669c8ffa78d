"""Word by word, what a second text changed of a first.

>>> [(piece.kind, piece.text) for piece in difference("so 3 + 4 is 8", "so 3 + 4 is 7")]
[('same', 'so 3 + 4 is '), ('gone', '8'), ('new', '7')]
"""

import difflib
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

MAX_WORDS: Final = 4000
"""Longer texts are compared up to here: the time grows with the square of their length."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


class Piece(NamedTuple):
    """A stretch of text."""

    kind: Literal["same", "gone", "new"]
    text: str


def difference(first: str, second: str) -> list[Piece]:
    """The pieces of both texts in order: what is in both, what went away, what is new."""
    one, two = (_WORDS.findall(text)[:MAX_WORDS] for text in (first, second))
    found: list[Piece] = []
    # autojunk would take frequent words of a long text, the blank first of all, for noise and never match them.
    for kind, a, b, c, d in difflib.SequenceMatcher(
        None, one, two, autojunk=len(one) + len(two) > MAX_WORDS
    ).get_opcodes():
        if kind == "equal":
            found.append(Piece("same", _join(one[a:b])))
            continue
        if b > a:
            found.append(Piece("gone", _join(one[a:b])))
        if d > c:
            found.append(Piece("new", _join(two[c:d])))
    return found


def _join(words: Sequence[str]) -> str:
    return "".join(words)
