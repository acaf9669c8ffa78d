"""One column's value as the field of a problem: texts, options, pictures in every form in which data sets have them."""

import ast
import base64
import binascii
import os
import re
from pathlib import Path
from typing import Any

from srpo.core.records import DRAWN, Rejected
from srpo.data.config import SourceConfig
from srpo.data.images import ImageError, store_image
from srpo.data.rows import Row

PLACEHOLDER = re.compile(r"<image ?\d{0,3}>")
"""Where data sets say in a text that a picture stands: `<image>`, `<image 1>`, `<image1>`."""


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


def to_question(value: Any, column: str, has_images: bool) -> str:
    """The question without placeholders at its ends: the pictures stand before the text.

    A placeholder alone stays: then the question is written in the picture.
    """
    text = to_text(value, column).strip()
    stripped = text
    while match := PLACEHOLDER.match(stripped):
        stripped = stripped[match.end() :].lstrip()
    while (start := stripped.rfind("<image")) >= 0 and PLACEHOLDER.fullmatch(stripped, start):
        stripped = stripped[:start].rstrip()
    if not text:
        raise RowError(f"column {column!r}: empty question")
    if not stripped and not has_images:
        raise RowError(f"column {column!r}: only {text!r}, and no picture")
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
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            detail = f"column {column!r}: {value[:40]!r} is not a list of options"
            raise RowError(f"column {column!r}: not a list of options", detail) from error
    if isinstance(value, dict):
        # Parquet gives every option column of the schema; those that the question lacks are null.
        value = [text for _, text in sorted(value.items()) if text is not None]
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)):
        raise RowError(f"column {column!r}: expected a list of options, got {type(value).__name__}")
    return tuple(to_text(option, column) for option in value)


def to_level(value: Any) -> int | None:
    """Levels that are not whole numbers (`hard`) are left out: the field orders problems."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def to_images(value: Any, row: Row, source: SourceConfig, *, lenient: bool = False) -> tuple[str, ...]:
    """Where the pictures are, embedded ones after they were stored; `lenient` leaves out those that cannot be had."""
    if value is None or value == "":
        return ()
    found = []
    for entry in value if isinstance(value, (list, tuple)) else [value]:
        try:
            found.append(_image(entry, row, source))
        except RowError:
            if not lenient:
                raise
    return tuple(found)


def _image(entry: Any, row: Row, source: SourceConfig) -> str:
    """One picture as an absolute path, or as the `drawn:` reference that it is."""
    if isinstance(entry, dict):
        if isinstance(entry.get("bytes"), bytes):
            return _store(entry["bytes"], source)
        entry = entry.get("path")
    if isinstance(entry, bytes):
        return _store(entry, source)
    if not isinstance(entry, str) or not entry.strip():
        raise RowError(f"picture: expected a path or bytes, got {type(entry).__name__}")
    if entry.startswith(DRAWN):
        return entry
    if entry.startswith("data:"):
        return _store(_data_url(entry), source)
    if re.match(r"https?://", entry):
        what = "is an address on the web; download it and give its path"
        raise RowError(f"picture: {what}", f"picture {entry!r}: {what}")
    root = Path(source.image_root) if source.image_root else row.folder
    path = (root / entry).absolute()
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "no such file"
        under = "" if path.is_dir() else f" under {root}"
        raise RowError(f"picture: {what}", f"picture {entry!r}: {what}{under}")
    return str(path)


def _data_url(text: str) -> bytes:
    head, _, body = text.partition(",")
    if not head.endswith(";base64"):
        raise RowError(f"picture: only base64 data URLs are read, got {head[:40]!r}")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise RowError(f"picture: damaged data URL ({error})") from error


def _store(data: bytes, source: SourceConfig) -> str:
    try:
        return str(store_image(data, store_directory(source)))
    except ImageError as error:
        raise RowError(str(error)) from error


def store_directory(source: SourceConfig) -> Path:
    """Where embedded pictures of a source are kept."""
    if source.image_store:
        return Path(source.image_store).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "srpo" / "images"
