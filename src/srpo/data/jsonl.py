"""JSONL that users write: typed rows, one at a time, each with its place; and one wording for what is wrong with them.

class Recorded(JsonRow):
id: IdText
response: PlainText

for found in read_jsonl("gpt.jsonl.gz", Recorded):
found.row.response, found.place

gpt.jsonl:2:9: not valid JSON: Expecting ':' delimiter
gpt.jsonl:3: field 'response' is missing; this row has 'id', 'text'
gpt.jsonl:4: response should be a text, or null for none, not ['7']
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Generic, NamedTuple, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, ValidationError

from srpo.core.records import Problem, Record

STDIN = "-"
LONGEST_LINE = 64 << 20
"""Bytes; rows with pictures in them are long, and what is longer has lost its line ends."""
_CHUNK = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class WrittenNumber(str):
    """A number as the file writes it, to be told from a text."""

    __slots__ = ()


def _key(value: object) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError("should be a text or a number")
    return _clean(value)


def _row_id(value: object) -> object:
    is_whole = isinstance(value, WrittenNumber) and value.removeprefix("-").isdecimal()
    return int(value) if isinstance(value, WrittenNumber) and is_whole else _key(value)


def _words(value: object) -> object:
    if value is not None and (not isinstance(value, str) or isinstance(value, WrittenNumber)):
        raise ValueError("should be a text, or null for none")
    return _clean(value or "")


def _answer(value: object) -> object:
    if isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ValueError("should be a text or a number, or null for none")
    return _clean(value or "")


def _options(value: object) -> object:
    if value is not None and not isinstance(value, list):
        raise ValueError("should be a list of option texts, or null for none")
    return value or ()


def _clean(text: str) -> str:
    """Records cannot be written with lone surrogates, which come in through JSON's escapes."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() else text


IdText = Annotated[str, BeforeValidator(_key)]
"""An id: a text that is not empty, or a number as it is written."""
RowId = Annotated[str | int, BeforeValidator(_row_id)]
"""The same, with whole numbers as numbers: what is printed about a row can be joined with it."""
PlainText = Annotated[str, BeforeValidator(_words)]
"""Text of a model or a data set; null is the empty text."""
AnswerText = Annotated[str, BeforeValidator(_answer)]
"""An answer: a text, a number as it is written, true or false; null is the empty text."""
OptionTexts = Annotated[tuple[AnswerText, ...], BeforeValidator(_options)]
"""Option texts in order; null is none."""


class JsonRow(Record):
    """A row of a user's file; what it has beyond the fields is ignored."""

    model_config = ConfigDict(extra="ignore")


_Row = TypeVar("_Row", bound=JsonRow)


class GoldRow(JsonRow):
    """What it takes to grade: a gold answer, and the question if it is there."""

    id: RowId
    gold: AnswerText
    kind: PlainText = ""
    choices: OptionTexts = ()
    question: PlainText = ""

    def problem(self, place: str) -> Problem:
        """The problem with this gold answer."""
        return Problem(
            id=str(self.id),
            question=self.question,
            answer=self.gold,
            choices=self.choices,
            kind=self.kind or None,
            source=place,
        )


class JsonLine(NamedTuple):
    """One line that is not blank."""

    number: int
    place: str
    """`file:line`, and the column where JSON breaks off."""
    value: Any = None
    problem: str = ""
    """Why there is no value."""


class Located(NamedTuple, Generic[_Row]):
    """A row and where it stands."""

    row: _Row
    file: str
    number: int

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.number}"


def read_jsonl(path: str, row_type: type[_Row], *, longest: int = LONGEST_LINE) -> Iterator[Located[_Row]]:
    """The rows of a `.jsonl` or `.jsonl.gz` file, or of standard input for `-`.

    Raises:
        ValueError: the file cannot be read, or a line is not such a row; names file, line and what is wrong.
    """
    for line in json_lines(path, longest=longest):
        if line.problem:
            raise ValueError(f"{line.place}: {line.problem}")
        if not isinstance(line.value, dict):
            fields = ", ".join(row_type.model_fields)
            raise ValueError(f"{line.place}: a row is a JSON object with {fields}, not {_name_of(line.value)}")
        try:
            yield Located(row_type.model_validate(line.value), file_name(path), line.number)
        except ValidationError as error:
            raise ValueError(f"{line.place}: {_what(error, line.value)}") from None


def json_lines(
    path: str, *, number: Callable[[str], Any] = WrittenNumber, longest: int = LONGEST_LINE
) -> Iterator[JsonLine]:
    """The lines of a file as they are, good and bad, in order; no more than one is held.

    Args:
        path: A `.jsonl` or `.jsonl.gz` file, or `-` for standard input.
        number: What a number becomes, from its text.
        longest: Bytes of a line beyond which it is a problem and not kept.

    Raises:
        ValueError: the file cannot be read.
    """
    name = file_name(path)
    count = 0
    try:
        with _open(path) as file:
            while raw := file.readline(longest + 1):
                count += 1
                if len(raw) > longest:
                    _skip_line(file, raw)
                    yield JsonLine(count, f"{name}:{count}", problem=f"longer than {longest:,} bytes")
                elif raw.strip():
                    yield _parse(raw, count, f"{name}:{count}", number)
    except OSError as error:
        raise ValueError(f"{name!r} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{name}:{count + 1}: the compressed file is damaged: {error}") from None


def parse_json(raw: bytes, number: Callable[[str], Any] = str) -> Any:
    """JSON with numbers as they are written: a gold of `1.50` stays `1.50`, one of 400 digits stays exact."""
    # Files of the web begin with a byte-order mark often enough.
    return json.loads(raw.decode("utf-8-sig"), parse_float=number, parse_int=number)


def file_name(path: str) -> str:
    """What places call the file."""
    return "<stdin>" if path == STDIN else path


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    return cast("BinaryIO", gzip.open(path)) if path.lower().endswith(".gz") else Path(path).open("rb")


def _skip_line(file: BinaryIO, begun: bytes) -> None:
    while begun and not begun.endswith(b"\n"):
        begun = file.readline(_CHUNK)


def _parse(raw: bytes, count: int, place: str, number: Callable[[str], Any]) -> JsonLine:
    try:
        return JsonLine(count, place, parse_json(raw.rstrip(), number))
    except (ValueError, RecursionError) as error:
        column = f":{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return JsonLine(count, place + column, problem=_problem(error))


def _problem(error: ValueError | RecursionError) -> str:
    """What `parse_json` found wrong."""
    match error:
        case json.JSONDecodeError():
            return f"not valid JSON: {error.msg}"
        case UnicodeDecodeError():
            return f"not UTF-8 text ({error.reason} at byte {error.start})"
        case RecursionError():
            return "not valid JSON: nested too deeply"
    return f"not valid JSON: {error}"


def _what(error: ValidationError, row: dict[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        here = ", ".join(map(repr, list(row)[:8])) or "nothing"
        return f"field {field!r} is missing; this row has {here}"
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{field} {text}, not {first['input']!r:.80}" if field else text


def _name_of(value: Any) -> str:
    names = {str: "a text", WrittenNumber: "a number", list: "a list", bool: "true or false"}
    return names.get(type(value), "null")
