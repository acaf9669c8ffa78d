"""Whether a reflection looks again, or only gives a verdict.

    >>> from srpo.core.records import Attempt
    >>> looks_again("21: so wrong", Attempt(think="I guess 21", answer="21"))
    False
    >>> looks_again("21 blue square, blue is circle: so wrong", Attempt(think="I guess 21", answer="21"))
    True

A rule by words, cheap enough for every response of every step. It says that something was looked at, not that what it
saw is so.
"""

import re

from srpo.core.records import Attempt

_WORD = re.compile(r"\w+")
_VERDICT = frozenset(
    _WORD.findall(
        "a an and answer attempt be correct correctly error fine first good holds i incorrect is it looks mistake my "
        "no not of ok okay right so solution stands that the this true was wrong yes"
    )
)
"""Words of which a bare verdict is made."""


_STATED = re.compile(
    r"\b(?P<no>not|isn't)?\s*\b(?P<word>correct|holds|incorrect"
    r"|right(?![ -](?:angle|triangle|side|hand|end|half|edge|corner|of|to))|wrong|mistaken?|mistakes|error)\b"
)


def stated_verdict(reflection: str) -> bool | None:
    r"""Whether a reflection calls the first answer right; None where it does not say. What it says last counts.

    >>> stated_verdict("12 vs 12: yes\nso right"), stated_verdict("I thought it was right, but it is not correct")
    (True, False)
    >>> stated_verdict("the blue bar ends at 5, at a right angle") is None
    True

    A rule by words: of texts that were not trained to end with a verdict it may take another word for one.
    """
    found = list(_STATED.finditer(reflection.casefold()))
    if not found:
        return None
    return (found[-1]["word"] in ("right", "correct", "holds")) != (found[-1]["no"] is not None)


def looks_again(reflection: str, first: Attempt) -> bool:
    """Whether `reflection` states anything besides the first answer and a verdict on it."""
    claimed = set(_WORD.findall(first.answer.casefold()))
    return any(word not in claimed and word not in _VERDICT for word in _WORD.findall(reflection.casefold()))
