"""Recorded responses of any model: a JSONL file of `{id, response}`, one row at a time, each with its place.

for one in iter_responses("gpt.jsonl.gz"):
    one.id, one.text, one.place
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

STDIN = "-"
_SURROGATE = re.compile("[\ud800-\udfff]")


class Recorded(NamedTuple):
    """One response."""

    id: str
    """Of the item; numbers are taken as they are written."""
    text: str
    """Empty where the file has null: a model that gave no answer."""
    place: str
    """`file:line`."""
    line: int


def iter_responses(path: str) -> Iterator[Recorded]:
    """The rows of a `.jsonl` or `.jsonl.gz` file, or of standard input for `-`; further columns are ignored.

    Raises:
        ValueError: the file cannot be read, or a row is not `{id, response}`; names file and line.
    """
    name = "<stdin>" if path == STDIN else path
    number = 0
    try:
        with _open(path) as lines:
            for number, raw in enumerate(lines, start=1):
                if raw.strip():
                    yield Recorded(*_row(raw, f"{name}:{number}"), f"{name}:{number}", number)
    except OSError as error:
        raise ValueError(f"cannot read {name!r}: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{name}:{number + 1}: the compressed file is damaged: {error}") from None


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    return cast("BinaryIO", gzip.open(path)) if path.lower().endswith(".gz") else Path(path).open("rb")


def _row(raw: bytes, place: str) -> tuple[str, str]:
    """Id and response."""
    try:
        # Files of the web begin with a byte-order mark often enough.
        row: Any = json.loads(raw.decode("utf-8-sig"), parse_float=_Number, parse_int=_Number)
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"{place}: not JSON that can be read: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place}: a row must be a JSON object {{id, response}}, not {type(row).__name__}")
    for field in ("id", "response"):
        if field not in row:
            found = ", ".join(map(repr, list(row)[:8])) or "nothing"
            raise ValueError(f"{place}: field {field!r} is missing; a row needs id and response, this one has {found}")
    key, text = row["id"], row["response"]
    if not isinstance(key, str) or not key:
        raise ValueError(f"{place}: id must be a text or a number, not {key!r:.80}")
    if text is not None and (not isinstance(text, str) or isinstance(text, _Number)):
        raise ValueError(f"{place}: response must be a text (or null for none), not {text!r:.80}")
    return _SURROGATE.sub("\ufffd", key), _SURROGATE.sub("\ufffd", text or "")


class _Number(str):
    """A number as the file writes it: an id of `007.50` stays what it is."""

    __slots__ = ()
