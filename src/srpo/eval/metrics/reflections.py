"""What a reflection is worth: effective, redundant or harmful, by rule (SRPO, arXiv 2506.01713, appendix).

The paper has people sort the reflections of 100 MathVista items (about 71% effective, 10% redundant, 2% harmful). It
asks whether a reflection fixes or truly checks the first attempt, says it once more, or breaks it. The same by rule:

    harmful    the first answer was right and the final one is not
    effective  the final answer is right and the first was not; or both are right, and the reflection names something
               that can be checked (a number, a formula, a thing of the question) and does not just repeat the attempt
    redundant  everything else: it says nothing, repeats the attempt, names nothing that can be checked, or leaves a
               wrong answer wrong

Limits: the rule sees texts and grades, not the picture. It cannot tell a true check from one that is made up, gives a
reflection the credit for what the second attempt may have found on its own, and calls one that rightly doubts a wrong
answer redundant as long as the final answer is wrong too. `core.prompts.JUDGE` asks a model for points where that
matters.

    >>> right = Grade(verdict="correct", extracted="7", reason="")
    >>> reflection_kind(right, right, "The answer 7 is correct.", "3+4=7").kind
    'redundant'
    >>> reflection_kind(right, right, "The blue bar ends at 4, and 7-4 is 3, the red bar.", "3+4=7").kind
    'effective'
"""

import re
from typing import Literal, NamedTuple

from srpo.core.records import Grade
from srpo.core.rewards import says_something
from srpo.core.verification import names_something, normalised

ReflectionKind = Literal["effective", "redundant", "harmful"]
_MAX_CHARS = 20_000
"""More of a text is not looked at: no reflection is that long."""
_COPY_SHARE = 0.8
"""From this share of its word triples on that the attempt has too, a reflection is the attempt once more."""
_TRIPLE = 3


class Judged(NamedTuple):
    """The kind of a reflection, and why."""

    kind: ReflectionKind
    reason: str


def reflection_kind(first: Grade, final: Grade, reflection: str, first_think: str, question: str = "") -> Judged:
    """Sort one reflection.

    Args:
        first: Grade of the first answer.
        final: Grade of the final answer.
        reflection: Text of the reflection block.
        first_think: The first attempt's reasoning, which a reflection should not just repeat.
        question: The question with its options: things that a reflection may name. Without it, those of `first_think`.
    """
    if first.is_correct and not final.is_correct:
        return Judged("harmful", "the first answer was right, the final one is not")
    if not says_something(reflection):
        return Judged("redundant", "says nothing")
    if not final.is_correct:
        return Judged("redundant", "the answer stays wrong")
    if not first.is_correct:
        return Judged("effective", "the first answer was wrong, the final one is right")
    return _judge_check(first.extracted or "", reflection[:_MAX_CHARS], first_think[:_MAX_CHARS], question[:_MAX_CHARS])


def _judge_check(answer: str, reflection: str, first_think: str, question: str) -> Judged:
    """A reflection on a right answer that stays right."""
    text, think = normalised(reflection), normalised(first_think)
    if _is_copied(text, think):
        return Judged("redundant", "repeats the first attempt")
    # Naming the answer alone checks nothing.
    if not names_something(_without(text, normalised(answer)), question or think):
        return Judged("redundant", "names nothing that can be checked")
    return Judged("effective", "checks the right answer")


def repeats(reflection: str, first_think: str) -> bool:
    """Whether a reflection is the first attempt once more: most of its word triples are in there.

    >>> repeats("3 and 4 make 7", "I read 3 and 4: 3 and 4 make 7"), repeats("the blue bar ends at 5", "3 and 4")
    (True, False)
    """
    return _is_copied(normalised(reflection[:_MAX_CHARS]), normalised(first_think[:_MAX_CHARS]))


def _is_copied(text: str, source: str) -> bool:
    """Both as `normalised` leaves them: one blank between words."""
    words, known = text.split(), f" {source} "
    num_triples = max(1, len(words) - _TRIPLE + 1)
    allowed = (1 - _COPY_SHARE) * num_triples
    missing = 0
    for start in range(num_triples):
        missing += f" {' '.join(words[start : start + _TRIPLE])} " not in known
        if missing > allowed:  # most texts are no copies, and are told after a fifth of their words
            return False
    return bool(words)


def _without(text: str, answer: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(answer)}(?!\w)", " ", text) if answer else text
