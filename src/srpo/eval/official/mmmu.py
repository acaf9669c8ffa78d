r"""MMMU's parsers (arXiv 2311.16502, `eval_utils.py`), which MMMU-Pro and many others took over.

They look for signs of an option anywhere in a response, and take the last one. So "The answer is (B) because (A) is
small" is A here, as it is there, and `\boxed{B}`, `**B**` and `B) 12 cm` are no answer at all. Our own grading hands
them the bare final answer, never a response. Where the official code draws a random letter, `parse_choice` says None.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

_EDGES = ",.!?;:'"
_MIN_WORDS = 5
"""Option texts are looked for in responses of more words than these."""

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
# The official patterns, with runs of digits that are never taken apart again: time stays linear, matches are the same.
_THOUSANDS = re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b")
_SCIENTIFIC = re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d++")
_SIMPLE = re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++\b)(?![eE][+-]?\d+)(?![,\d])")


def parse_choice(response: str, options: Mapping[str, str]) -> str | None:
    """The letter that the official code takes out of a response; None where it draws one at random.

    Args:
        response: The text, best a bare final answer.
        options: Letter -> option text.
    """
    for sign in _EDGES:
        response = response.strip(sign)
    response = f" {response} "
    for mark in ("({})", "{} ", "{}."):
        found = [letter for letter in options if mark.format(letter) in response]
        if found:
            # Only brackets are looked for from the end as they stand; the rest as a letter between blanks, and where
            # there is none, the first letter wins.
            sought = mark if mark == "({})" else " {} "
            return _last(found, (response.rfind(sought.format(letter)) for letter in found))
    if len(response.split()) <= _MIN_WORDS:
        return None
    lower = response.lower()
    found = [letter for letter, text in options.items() if text.lower() in lower]
    return _last(found, (lower.rfind(options[letter].lower()) for letter in found)) if found else None


def parse_open(response: str) -> list[str | float]:
    """What the official code takes as answers to an open question: tails of sentences in lower case, and numbers.

    >>> parse_open("so the result is 8.4 A")
    ['8.4 a', 8.4]
    """
    keys = _key_parts(response.strip().strip(".").lower())
    numbers = [number for key in keys for number in _numbers(key)]
    found = [value for text in (*keys, *numbers) for value in _normalised(text)]
    return list(dict.fromkeys(found))


def open_is_right(parsed: Iterable[str | float], gold: str | Sequence[str]) -> bool:
    """The official verdict: a number equal after rounding to 2 places, or a gold text inside a parsed text."""
    golds = [value for text in ([gold] if isinstance(gold, str) else gold) for value in _normalised(text)]
    texts = [value for value in golds if isinstance(value, str)]
    return any(any(text in one for text in texts) if isinstance(one, str) else one in golds for one in parsed)


def _last(letters: Sequence[str], positions: Iterable[int]) -> str:
    """The letter at the greatest position; the first one of equals."""
    return max(zip(letters, positions, strict=True), key=lambda pair: pair[1])[0]


def _key_parts(response: str) -> list[str]:
    # The official code would also split at a full stop before a capital, of which there are none in lower case.
    lines = response.split("\n")
    keys: list[str] = []
    for index, line in enumerate(lines):
        indicators = (*_INDICATORS, "=") if index == len(lines) - 1 else _INDICATORS
        shortest = ""
        for indicator in indicators:
            if indicator in line:
                tail = line.rpartition(indicator)[2].strip()
                shortest = tail if not shortest or len(tail) < len(shortest) else shortest
        if shortest and shortest not in _TRIVIAL:
            keys.append(shortest)
    return keys or [response]


def _numbers(text: str) -> list[str]:
    return [number for pattern in (_THOUSANDS, _SCIENTIFIC, _SIMPLE) for number in pattern.findall(text)]


def _normalised(text: str) -> list[str | float]:
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lower = text.lower()
        # A single letter has to stand at the edge of a word.
        return [f" {lower}", f"{lower} "] if len(lower) == 1 else [lower]
