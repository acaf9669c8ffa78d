"""A JSON array of any size, one element at a time: MathV360K is one array of 175 MB, Mulberry-SFT one of 490 MB."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from srpo.data.jsonl import LONGEST_LINE

_CHUNK = 1 << 20
"""Characters read at a time."""
_TAIL = 32
"""An error this close to the end of what was read may be a token that was cut in two."""

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)
"""Numbers stay as they are written, as in `jsonl.parse_json`."""


def iter_json_array(path: Path, *, chunk: int = _CHUNK) -> Iterator[Any]:
    """The elements of the array in `path`, in order; holds one of them and `chunk` characters.

    Raises:
        ValueError: not UTF-8, not JSON (with line and column), or not an array.
    """
    # Files of the web begin with a byte-order mark often enough.
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _Array(file, path, chunk).elements()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error


class _Array:
    """A window on the file that moves on after each element, and knows in which line it begins."""

    def __init__(self, file: TextIO, path: Path, chunk: int) -> None:
        self._file, self._path, self._chunk = file, path, chunk
        self._window, self._at, self._ended = "", 0, False
        self._line, self._column = 1, 1

    def elements(self) -> Iterator[Any]:
        """The elements one by one."""
        if self._peek() != "[":
            raise self._error(
                f"expected a JSON array of objects, one per problem; the file begins with {self._peek()!r}"
            )
        self._at += 1
        if self._peek() == "]":
            self._at += 1
        else:
            while True:
                yield self._element()
                mark = self._peek()
                self._at += 1
                if mark == "]":
                    break
                if mark != ",":
                    self._at -= 1
                    raise self._error("not valid JSON: Expecting ',' delimiter")
        if self._peek():
            raise self._error("not valid JSON: Extra data")

    def _element(self) -> Any:
        self._peek()
        self._forget()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._window)
            except json.JSONDecodeError as error:
                # A string may be cut anywhere, every other token only at the end of what was read.
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._window) - _TAIL
                if cut and len(self._window) > LONGEST_LINE:
                    raise self._error(f"an element is longer than {LONGEST_LINE:,} bytes") from error
                if not (cut and self._read()):
                    self._at = error.pos
                    raise self._error(f"not valid JSON: {error.msg}") from error
            except RecursionError as error:
                raise self._error("not valid JSON: nested too deeply") from error
            else:
                # A number at the very end may go on in what was not read yet.
                if end < len(self._window) or not self._read():
                    self._at = end
                    return value

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            while self._at < len(self._window):
                if self._window[self._at] not in " \t\r\n":
                    return self._window[self._at]
                self._at += 1
            if not self._read():
                return ""

    def _read(self) -> bool:
        """Add to the window, more when it is large already, so that a long element is not scanned too often."""
        if self._ended:
            return False
        more = self._file.read(max(self._chunk, len(self._window)))
        self._ended = not more
        self._window += more
        return bool(more)

    def _forget(self) -> None:
        """Drop what lies behind, and count its lines."""
        self._line, self._column = self._place()
        self._window, self._at = self._window[self._at :], 0

    def _place(self) -> tuple[int, int]:
        behind = self._window[: self._at]
        breaks = behind.count("\n")
        if not breaks:
            return self._line, self._column + len(behind)
        return self._line + breaks, len(behind) - behind.rfind("\n")

    def _error(self, text: str) -> ValueError:
        line, column = self._place()
        return ValueError(f"{self._path}:{line}:{column}: {text}")
