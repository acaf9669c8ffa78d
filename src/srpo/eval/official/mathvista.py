"""MathVista's `calculate_score.py` (arXiv 2310.02255): an extracted answer -> a value -> equality of texts.

It is handed what GPT-4 took out of a response, and is faithful to its quirks, which is why our own numbers are not
made with it: a letter that is not a bare capital goes to the option nearest by edit distance, an empty extraction to
the shortest option (16.8% "accuracy" on testmini without any answer), 14.9 is 14, `14 cm` and `1,400` are nothing, and
lists are compared as texts, blanks included.
"""

import re
from collections.abc import Sequence

MAX_CHARS = 1000
"""More of an extraction is not looked at when options are compared: edit distance costs chars * chars."""
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def normalise(
    extraction: str,
    choices: Sequence[str] | None,
    question_type: str,
    answer_type: str,
    precision: float | None,
    *,
    ignore_empty: bool = False,
) -> str | None:
    """The value that is compared with the gold; None where the official code gives up.

    Args:
        extraction: What was extracted from the response.
        choices: Option texts; None for free-form questions.
        question_type: `multi_choice` or `free_form`.
        answer_type: `text`, `integer`, `float` or `list`.
        precision: Places after the point of a float.
        ignore_empty: The official flag `--ignore_empty_extractions`: an empty extraction chooses no option.
    """
    if question_type == "multi_choice":
        return _option(extraction.strip(), choices or (), ignore_empty=ignore_empty)
    if answer_type == "list":
        return extraction
    try:
        if answer_type == "integer":
            return str(int(float(extraction)))
        if answer_type == "float" and precision is not None:
            return str(round(float(extraction), int(precision)))
    except (ValueError, OverflowError):
        return None
    return None


def is_right(
    extraction: str,
    answer: str,
    choices: Sequence[str] | None,
    question_type: str,
    answer_type: str,
    precision: float | None,
    *,
    ignore_empty: bool = False,
) -> bool:
    """The official verdict on an extraction; arguments as for `normalise`, and the gold answer."""
    found = normalise(extraction, choices, question_type, answer_type, precision, ignore_empty=ignore_empty)
    return found is not None and found == answer


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance, in memory that is linear in the shorter text.

    >>> edit_distance("kitten", "sitting")
    3
    """
    if len(left) < len(right):
        left, right = right, left
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _option(extraction: str, choices: Sequence[str], *, ignore_empty: bool) -> str | None:
    if not choices or (ignore_empty and not extraction):
        return None
    letter = _LETTER.search(extraction)
    if letter is not None:
        extraction = letter[1].upper()
    index = ord(extraction) - ord("A") if len(extraction) == 1 else -1
    if 0 <= index < len(choices):
        return choices[index]
    shown = extraction[:MAX_CHARS]
    return min(choices, key=lambda choice: edit_distance(shown, choice))
