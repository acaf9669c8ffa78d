"""Patterns of the grader: each stands beside a text in which it is found and one in which it is not.

    _ABOUT = pattern(r"about|roughly", yes="about 5", no="5 bouts", by="match")

One test (tests/unit/test_grading_patterns.py) runs all pairs, so that a pattern cannot change its meaning unseen.
"""

import re
from typing import Literal, NamedTuple

By = Literal["search", "match", "fullmatch"]


class PatternRow(NamedTuple):
    """A pattern and its two texts."""

    regex: re.Pattern[str]
    by: By
    """How the grader applies it: anywhere in a text, at its beginning, or to the whole."""
    yes: str
    no: str

    def finds(self, text: str) -> bool:
        """Whether the pattern finds something in `text`, applied as the grader does; an empty match is nothing."""
        found = getattr(self.regex, self.by)(text)
        return found is not None and found.group() != ""


PATTERNS: list[PatternRow] = []
"""All patterns of the modules that were imported, in their order."""


def pattern(regex: str, flags: int = 0, *, yes: str, no: str, by: By = "search") -> re.Pattern[str]:
    """Compile a pattern and remember its row; `yes` and `no` are what it must find and must leave alone."""
    compiled = re.compile(regex, flags)
    PATTERNS.append(PatternRow(compiled, by, yes, no))
    return compiled
