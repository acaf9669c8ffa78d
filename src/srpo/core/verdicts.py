r"""What a reflection says of the answer that it reflects on: right, wrong, or nothing that a rule can read.

    >>> says_right("3x2=6\n6 vs 6: yes\nso right"), says_right("12: so wrong")
    (True, False)
    >>> says_right("The first attempt misread the bar, so the correct answer is 7.")
    False
    >>> says_right("I look at the right bar again.") is None
    True

A rule by words, made for short English and Chinese texts. A text that calls anything of the attempt wrong says wrong,
whatever it praises besides: "the reading is right, the sum is wrong". It does not follow an argument, and irony not at
all. What is asked ("is it right?", "whether it is correct") is no verdict.
"""

import re
from typing import Final

from srpo.core.verification import normalised

_MAX_CHARS: Final = 8_000
"""More of a text is not looked at: verdicts stand early or not at all."""

_DENIED: Final = re.compile(
    r"(?:\bno(?:t|thing|r)?|\bnever|\bwithout|n't)(?: (?:a|an|any|at all|quite|really|be|is|was|other|obvious))*$"
)
"""How a text before a word turns it round."""
_OPEN: Final = re.compile(
    r"\b(?:whether|if|check for|look(?:ing)? for|search for|avoid|any possible|to be|make sure|ensure)\b"
    r"[^.;:,!\n]{0,40}$"
    r"|(?:^|[.!?\n] ?)(?:is|are|was|were) (?:it|this|that|the)\b[^.;:,!?]{0,30}$"
)
"""What makes a word part of a question or of a plan."""

_WRONG: Final = re.compile(
    r"\b(?:wrong(?:ly)?|incorrect(?:ly)?|mistaken(?:ly)?|erroneous(?:ly)?|flawed|invalid)\b"
    r"|(?<!percent )(?<!percentage )(?<!relative )(?<!absolute )(?<!standard )(?<!margin of )\b(?:mistakes?|errors?)\b"
    r"|\b(?:misread|miscounted|miscalculated|misidentified|overlooked)\b"
    r"|(?<!没)(?<!没有)错(?!过)|不对|不正确|有误"
)
_RIGHT: Final = re.compile(
    r"\b(?:right|correct(?:ly)?|accurate(?:ly)?|valid|checks out)\b"
    # The right answer is what it should have been, and the right bar is a thing in the picture.
    r"(?!-)(?! (?:final |first )?(?:answer|solution|result|value|option|choice|reading|one|number|total|sum|count)s?\b"
    r"[^.;,]{0,30}?(?: (?:is|was|should|would|must|has|lies)\b| ?[=:]))"
    r"|(?<!不)正确|没有?错|是对的|无误"
)
_RIGHT_SIDE: Final = re.compile(
    r" ?(?:angled?|triangles?|prism|pyramid|side|hand|half|panel|edge|end|bar|column|part|picture|image|figure|"
    r"corner|arrow|box|graph|plot|chart|shape|circle|square|of|from|next|above|below)\b"
)
"""What follows `right` where it is a direction or an angle."""
_LEFT_OF_RIGHT: Final = re.compile(
    r"\b(?:to|on|at|from|in|upper|lower|top|bottom|far|left and|left or|its|the) (?:the )?$"
)
"""What comes before it there."""
_VERB: Final = re.compile(r"\b(?:to|will|should|must|can|let me|let us|i|we|and|then) $")
"""What comes before `correct` where it is something to do."""


def says_right(reflection: str) -> bool | None:
    """Whether a reflection calls the first answer right (True) or wrong (False); None where it gives no verdict."""
    text = normalised(reflection[:_MAX_CHARS])
    is_right = False
    for found in _WRONG.finditer(text):
        before = text[max(0, found.start() - 60) : found.start()]
        if _OPEN.search(before):
            continue
        if not _DENIED.search(before.rstrip()):
            return False
        is_right = True
    for found in _RIGHT.finditer(text):
        before, after = text[max(0, found.start() - 60) : found.start()], text[found.end() : found.end() + 20]
        if _OPEN.search(before) or _is_elsewhere(found[0], before, after):
            continue
        if _DENIED.search(before.rstrip()):
            return False
        is_right = True
    return True if is_right else None


def _is_elsewhere(word: str, before: str, after: str) -> bool:
    """Whether the word is a direction, an angle or something to do."""
    if word == "right":
        return bool(_RIGHT_SIDE.match(after) or _LEFT_OF_RIGHT.search(before))
    return word == "correct" and bool(_VERB.search(before))
