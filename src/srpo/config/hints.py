"""Hints at what a user may have meant, in the same words everywhere.

>>> suggest("mathvison", ["mathvista", "mathvision"])
"did you mean 'mathvision'?"
>>> suggest("tree", ["mathvista"], otherwise="it is mathvista"), suggest("tree", ["mathvista"], before="; ")
('it is mathvista', '')
"""

import difflib
from collections.abc import Iterable


def suggest(given: str, known: Iterable[str], *, before: str = "", otherwise: str = "", cutoff: float = 0.6) -> str:
    """Ask whether the nearest of the known names was meant.

    Args:
        given: What was written.
        known: What could have been.
        before: Stands before the question, where there is one.
        otherwise: What is said where nothing is alike.
        cutoff: How alike names must be, between 0 and 1.
    """
    return did_you_mean(difflib.get_close_matches(given, list(known), n=1, cutoff=cutoff), before=before) or otherwise


def did_you_mean(names: Iterable[str], *, before: str = "") -> str:
    """Ask whether one of these was meant; empty where there is none.

    >>> did_you_mean(["optim.lr", "extra.lr"], before="; ")
    "; did you mean 'optim.lr' or 'extra.lr'?"
    """
    listed = " or ".join(map(repr, names))
    return f"{before}did you mean {listed}?" if listed else ""
