"""A row's pictures: which columns hold them, and in which of the many forms; each becomes a reference to a file."""

import base64
import binascii
import contextlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from srpo.core.records import DRAWN
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError, to_list
from srpo.data.images import ImageError, file_kind, shown, store_image
from srpo.data.rows import PICTURES, Row

COLUMNS = (
    "decoded_image", "images", "image", "image_path", "image_paths", "image_urls", "image_url", "image_file",
    "image_files", "file_name", "img", "imgs", "picture", "pictures",
)  # fmt: skip
"""Columns of pictures that are understood without a mapping; the first in which the row has one wins. MathVista has a
path that leads nowhere in `image`, and the bytes in `decoded_image`."""

_NUMBERED = re.compile(r"(?:image|img|picture)[_ -]?(\d{1,3})")
"""`image_1` to `image_7` of MMMU, each with one picture or nothing."""
_KEYS = ("bytes", "base64", "b64_json", "data", "path", "image", "url", "image_url", "src", "file_name", "file")
"""Where objects keep a picture: Hugging Face's bytes and path, the parts of chat messages."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""First bytes of the formats that are read."""
_SHORTEST = 64
"""Characters of base64 below which nothing is a picture."""
_LONGEST_PATH = 4096
"""Bytes; no system takes longer ones."""
_DEEPEST = 4


def find_pictures(values: Mapping[str, Any]) -> Any:
    """What the row has for pictures in columns of the known names; None when there is nothing."""
    numbered = sorted((int(match[1]), name) for name in values if (match := _NUMBERED.fullmatch(name.lower())))
    if found := [entry for _, name in numbered for entry in _entries(values[name])]:
        return found
    return next((values[name] for name in COLUMNS if name in values and _entries(values[name])), None)


def in_parts(parts: Iterable[Any]) -> list[Any]:
    """The pictures among the typed parts of a chat message; parts that only say `image` are placeholders."""
    pictures = [part for part in parts if isinstance(part, Mapping) and part.get("type") != "text"]
    return [part for part in pictures if any(part.get(key) for key in _KEYS)]


def to_images(value: Any, row: Row, source: SourceConfig, *, lenient: bool = False) -> tuple[str, ...]:
    """Where the pictures are, embedded ones after they were stored; `lenient` leaves out those that cannot be had."""
    found = []
    for entry in _entries(value):
        try:
            found.append(_image(entry, row, source))
        except RowError:
            if not lenient:
                raise
    return tuple(found)


def overlooked(row: Row, source: SourceConfig, known: Iterable[str]) -> str | None:
    """A column besides the `known` ones that holds a picture, in a row for which none was found."""
    others = row.values.keys() - set(known)
    return next((name for name in row.values if name in others and _holds_picture(row.values[name], row, source)), None)


def store_directory(source: SourceConfig) -> Path:
    """Where embedded pictures of a source are kept."""
    if source.image_store:
        return Path(source.image_store).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "srpo" / "images"


def _entries(value: Any) -> Sequence[Any]:
    """The pictures in a cell; text-only rows have null, NaN, an empty text or list, or a list of such."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(RowError):  # `[1].png` is the name of a file
            value = to_list(value.strip(), "images")
    entries = value if isinstance(value, (list, tuple)) else [value]
    return [entry for entry in entries if not _is_nothing(entry)]


def _is_nothing(entry: Any) -> bool:
    if isinstance(entry, float):
        return math.isnan(entry)
    if isinstance(entry, Mapping):
        return all(_is_nothing(one) for one in entry.values())
    return entry is None or (isinstance(entry, str) and entry.strip() in {"", "NaN", "nan", "null", "None"})


def _image(entry: Any, row: Row, source: SourceConfig, depth: int = 0) -> str:
    """One picture as an absolute path, or as the `drawn:` reference that it is."""
    if isinstance(entry, Mapping) and depth < _DEEPEST:
        key = next((key for key in _KEYS if not _is_nothing(entry.get(key))), None)
        if key is None:
            held = f"an object with {', '.join(map(str, entry))}"[:100]
            raise RowError("picture: an object without path, bytes or url", f"picture: {held}; none is a picture")
        return _image(entry[key], row, source, depth + 1)
    if isinstance(entry, (bytes, bytearray)):
        return _store(bytes(entry), source)
    if not isinstance(entry, str):
        raise RowError(f"picture: expected a path or bytes, got {type(entry).__name__}")
    text = entry.strip()
    if text.startswith(DRAWN):
        return text
    if text[:5].lower() == "data:":
        return _store(_data_url(text), source)
    scheme = _SCHEME.match(text[:32])
    if scheme is not None and scheme[1].lower() != "file":
        what = "is an address on the web; download it and give its path"
        raise RowError(f"picture: {what}", f"picture {shown(text)!r}: {what}")
    root = _root(row, source)
    path, kind = _locate(text, root)
    if kind == "file":
        return str(path)
    if (data := _from_base64(text)) is not None:
        return _store(data, source)
    under = "" if kind == "is a directory" else f" under {root}"
    raise RowError(f"picture: {kind}", f"picture {shown(text)!r}: {kind}{under}")


def _root(row: Row, source: SourceConfig) -> Path:
    return Path(source.image_root) if source.image_root else row.folder


def _locate(text: str, root: Path) -> tuple[Path, str]:
    """Where a path or a `file://` address leads, and what is there."""
    if text[:7].lower() == "file://":
        # Two slashes and a relative path are no address, but data sets have them.
        text = unquote(text[7:].removeprefix("localhost"))
    if len(text) > _LONGEST_PATH:
        return root, "no such file"
    path = (root / text).absolute()
    return path, file_kind(path)


def _data_url(text: str) -> bytes:
    head, _, body = text.partition(",")
    if not head.strip().lower().endswith(";base64"):
        raise RowError(
            "picture: only base64 data URLs are read", f"picture: only base64 data URLs are read, got {head[:40]!r}"
        )
    try:
        return _decoded(body)
    except ValueError as error:
        raise RowError(f"picture: damaged data URL ({error})") from error


def _from_base64(text: str) -> bytes | None:
    """The picture in a text that is nothing but base64."""
    if len(text) < _SHORTEST:
        return None
    try:
        return _decoded(text) if _decoded(text[:16]).startswith(_BEGINNINGS) else None
    except ValueError:
        return None


def _decoded(text: str) -> bytes:
    """Base64 of both alphabets, with line breaks or without the end's filling."""
    compact = "".join(unquote(text).split() if "%" in text else text.split()).rstrip("=")
    compact = compact.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from error


def _store(data: bytes, source: SourceConfig) -> str:
    try:
        return str(store_image(data, store_directory(source)))
    except ImageError as error:
        raise RowError(str(error)) from error


def _holds_picture(value: Any, row: Row, source: SourceConfig) -> bool:
    """Whether a cell can be nothing but a picture: its first bytes say so, or a file of that name is there."""
    if isinstance(value, (list, tuple)):
        return any(_holds_picture(entry, row, source) for entry in value[:1])
    if isinstance(value, Mapping):
        return any(
            _holds_picture(value.get(key), row, source) for key in _KEYS if not isinstance(value.get(key), Mapping)
        )
    if isinstance(value, bytes):
        return value.startswith(_BEGINNINGS)
    return isinstance(value, str) and _names_picture(value, row, source)


def _names_picture(text: str, row: Row, source: SourceConfig) -> bool:
    if text[:11].lower() == "data:image/":
        return True
    if Path(text[-8:]).suffix.lower() in PICTURES:
        return _locate(text.strip(), _root(row, source))[1] == "file"
    return _from_base64(text[: 4 * _SHORTEST]) is not None
