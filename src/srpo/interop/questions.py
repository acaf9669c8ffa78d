"""Options that a harness's question lists by letters."""

import re
from string import ascii_uppercase

_OPTION_LINE = re.compile(r"^[ \t]{0,8}[(\[]?([A-Z])[)\].:、．][ \t]{0,4}(\S.*)", re.MULTILINE)
_LABEL = re.compile(r"(?<![A-Za-z0-9])([AB])[)\].:、．]")


def has_lettered_options(question: str) -> bool:
    """Whether a question names options by letters, on lines of their own or not.

    >>> has_lettered_options("Which? Options: A: one, B: two"), has_lettered_options("What is (A) in the picture?")
    (True, False)
    """
    return {"A", "B"} <= set(_LABEL.findall(question))


def listed_options(question: str) -> tuple[str, ...]:
    r"""The texts of the options that a question lists on lines of their own, A first; empty when it lists none.

    >>> listed_options("Which?\n(A) one\n(B) two")
    ('one', 'two')
    """
    found: list[str] = []
    for match in _OPTION_LINE.finditer(question):
        if match.group(1) == "A":
            found = []
        if match.group(1) == ascii_uppercase[len(found) % 26]:
            found.append(match.group(2).strip())
    return tuple(found) if len(found) > 1 else ()
