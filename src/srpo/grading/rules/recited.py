"""Options that a response only recites: `The options are (A) 6, (B) 7 and (C) 8. It is 7.` chooses one of them.

>>> without_recited("The options are (A) 6, (B) 7 and (C) 8. It is 7.", ("6", "7", "8"))
'The options are . It is 7.'
"""

import re
from functools import lru_cache
from string import ascii_uppercase

_MAX_OPTION_CHARS = 300


def without_recited(text: str, choices: tuple[str, ...]) -> str:
    """The text without a list of all options, each behind its letter."""
    if len(choices) < 2 or not all(0 < len(option.strip()) <= _MAX_OPTION_CHARS for option in choices):
        return text
    # a list has the last option in it: a look for it costs little
    return _list_of(choices).sub("", text, count=1) if choices[-1].strip() in text else text


@lru_cache(maxsize=512)
def _list_of(choices: tuple[str, ...]) -> re.Pattern[str]:
    listed = (
        rf"[(\[*]{{0,3}}{letter}[)\].:*]{{1,3}}\s{{0,3}}{re.escape(option.strip())}"
        for letter, option in zip(ascii_uppercase, choices, strict=False)
    )
    return re.compile(r"[\s,;.|*-]{0,6}(?:and\s{1,3}|or\s{1,3})?".join(listed))
