"""One column's value as the field of a problem: texts, options, numbers. Pictures are in `pictures`."""

import ast
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

from srpo.core.records import Rejected
from srpo.data.images import StoreError
from srpo.data.placeholders import bare

_LONGEST_LIST = 1 << 20
"""Bytes of a list that is written as a text; Python's own syntax takes a hundred times as much memory."""


class RowError(Exception):
    """Why one row is no problem; becomes a `Rejected`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`reason` repeats from row to row; `detail` says all of it, where that is more."""
        super().__init__(detail or reason)
        self._reason = reason
        self._detail = detail

    def rejected(self, place: str) -> Rejected:
        """The row at `place`, left out."""
        return Rejected.row(place, self._reason, self._detail)


RowResult = TypeVar("RowResult")


def read_row(place: str, read: Callable[[], RowResult]) -> RowResult | Rejected:
    """What `read` makes of the row at `place`; whatever it cannot read is that row's reason, never the end of the run.

    Raises:
        StoreError: pictures cannot be kept, which no row is to blame for.
    """
    try:
        return read()
    except RowError as error:
        return error.rejected(place)
    except StoreError:
        raise
    # Rows come from outside, and what can be wrong with them has no list.
    except Exception as error:
        reason = f"cannot be read ({type(error).__name__})"
        return Rejected.row(place, reason, f"{reason}: {str(error)[:200]!r}")


def to_text(value: Any, column: str) -> str:
    """A scalar as text; None as the empty text."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple, dict, bytes)):
        raise RowError(f"column {column!r}: expected a text, got {type(value).__name__}")
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"column {column!r}: half of a surrogate pair"
        raise RowError(reason, f"{reason} at character {error.start}") from error
    return text


def to_question(value: Any, column: str, *, has_images: bool) -> str:
    """The question without placeholders at its ends: the pictures stand before the text.

    A placeholder alone stays: then the question is written in the picture.
    """
    text = to_text(value, column).strip()
    if not text:
        raise RowError(f"column {column!r}: empty question")
    stripped = bare(text)
    if not stripped and not has_images:
        raise RowError(f"column {column!r}: only {text[:40]!r}, and no picture")
    return stripped or text


def to_answer(value: Any, column: str) -> str:
    """The gold answer as it is written; a list of one counts as its element."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    text = to_text(value, column).strip()
    if not text:
        raise RowError(f"column {column!r}: no answer")
    return text


def to_choices(value: Any, column: str) -> tuple[str, ...]:
    """Options in order. MMMU and its relatives publish them as the text of a Python list."""
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        value = to_list(value.strip(), column)
    if isinstance(value, dict):
        # Parquet gives every option column of the schema; those that the question lacks are null. 2 comes before 10.
        keys = sorted(value, key=lambda key: (len(str(key)), str(key)))
        value = [value[key] for key in keys if value[key] is not None]
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return ()
    if not isinstance(value, (list, tuple)):
        raise RowError(f"column {column!r}: expected a list of options, got {type(value).__name__}")
    return tuple(to_text(option, column) for option in value)


def to_list(text: str, column: str) -> Any:
    """A list or an object that is written as a text, in JSON or in Python."""
    reason = f"column {column!r}: not a list of options"
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        if len(text) > _LONGEST_LIST:
            raise RowError(
                reason, f"column {column!r}: a text of {len(text):,} characters is not a list of options"
            ) from None
    try:
        return ast.literal_eval(text)
    # The parser has more ways to fail than it documents: MemoryError, TypeError for keys that cannot be keys.
    except Exception as error:
        raise RowError(reason, f"column {column!r}: {text[:40]!r} is not a list of options") from error


def to_level(value: Any) -> int | None:
    """Levels that are not whole numbers (`hard`) are left out: the field orders problems."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
