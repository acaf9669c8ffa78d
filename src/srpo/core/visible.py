r"""Texts of models and data sets made harmless to show: what cannot be seen is named, what is too long is cut.

>>> one_line("a\nb\x1b[2J " + "word " * 40, 20)
'a b⟨1B⟩[2J word wor…'
"""

import re
from typing import Final

LONGEST_TEXT: Final = 4000
"""Characters of one text that are shown."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, those that turn the direction of a line or end it among them, tags, and halves of characters."""


def visible(text: str) -> str:
    r"""The text with names in place of what cannot be seen, so that nothing in it steers or hides the rest.

    >>> visible("a\x1b[2Jb\u202ec")
    'a⟨1B⟩[2Jb⟨202E⟩c'
    """
    return _UNSEEN.sub(lambda found: "" if found[0] == "\r" else f"⟨{ord(found[0]):02X}⟩", text)


def clip(text: str) -> str:
    """The text, cut where it would grow out of hand, and saying so; what cannot be seen is named."""
    text = text.strip()
    if len(text) <= LONGEST_TEXT:
        return visible(text)
    return f"{visible(text[:LONGEST_TEXT])} … ({len(text) - LONGEST_TEXT:,} more characters)"


def one_line(text: str, longest: int = 100) -> str:
    """The text as one line of at most so many characters, what cannot be seen named."""
    # Cut first: a line needs no more of a megabyte than this.
    found = visible(" ".join(text[: 4 * longest].split()))
    whole = len(text) <= 4 * longest and len(found) <= longest
    return found if whole else f"{found[: longest - 1].rstrip()}…"
