"""Problems in, and nothing lost on the way: each row becomes a `Problem` or a `Rejected` with its place and the reason.

>>> problems = load_problems(SourceConfig(path="mmk12/test.jsonl"))          # doctest: +SKIP
>>> len(problems.problems), problems.rejected[:1]                            # doctest: +SKIP
(199, (Rejected(place='mmk12/test.jsonl:17', reason="picture 'images/x.png': no such file"),))
"""

import ast
import base64
import binascii
import difflib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srpo.config.data import DrawnConfig, FieldMapping, SourceConfig
from srpo.core.records import Problem
from srpo.data.images import DRAWN, ImageError, store_image
from srpo.data.rows import Rejected, Row, read_rows

__all__ = ["ProblemSet", "Rejected", "SourceConfig", "iter_problems", "load_problems"]

COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "pid", "qid", "question_id", "sample_index", "uid", "idx", "index"),
    "question": ("question", "query", "problem", "prompt", "instruction"),
    "answer": ("answer", "gold", "ground_truth", "gt_answer", "target", "final_answer"),
    "images": ("images", "image", "image_path", "image_paths", "image_file", "file_name", "img", "picture"),
    "choices": ("choices", "options", "candidates"),
    "family": ("family", "subject", "category", "topic"),
    "level": ("level", "difficulty"),
    "kind": ("kind",),
}
"""Column names that are understood without a mapping; the first that is there wins."""

_SAMPLE = 32
"""Rows looked at before the columns are decided."""

_PLACEHOLDER = re.compile(r"<image ?\d{0,3}>")


class ProblemSet(NamedTuple):
    """All rows of a source, accounted for."""

    problems: tuple[Problem, ...]
    rejected: tuple[Rejected, ...]


def load_problems(source: SourceConfig, *, limit: int | None = None) -> ProblemSet:
    """Read all problems of a source, or rows until there are `limit` usable ones.

    Raises:
        ValueError: the source cannot be read, has no column for question or answer, or two rows have the same id.
    """
    problems: list[Problem] = []
    rejected: list[Rejected] = []
    seen: dict[str, str] = {}
    for item in iter_problems(source):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        if item.id in seen:
            raise ValueError(
                f"{item.source}: id {item.id!r} is already used at {seen[item.id]}; ids must be unique "
                f"(`srpo data check {source.path}` lists all duplicates)"
            )
        seen[item.id] = item.source
        problems.append(item)
        if len(problems) == limit:
            break
    return ProblemSet(tuple(problems), tuple(rejected))


def iter_problems(source: SourceConfig) -> Iterator[Problem | Rejected]:
    """The rows of a source one by one, in order, ids unchecked.

    Raises:
        ValueError: the source cannot be read, or has no column for question or answer.
    """
    if source.drawn is not None:
        return _draw(source.drawn)
    return _read(source)


def _draw(drawn: DrawnConfig) -> Iterator[Problem | Rejected]:
    from srpo.data.drawn import FAMILIES, LEVELS, drawn_problems  # not needed for files

    yield from drawn_problems(
        drawn.split,
        families=drawn.families or FAMILIES,
        levels=drawn.levels or LEVELS,
        count=drawn.count,
        seed=drawn.seed,
    )


def _read(source: SourceConfig) -> Iterator[Problem | Rejected]:
    rows = read_rows(source.path)
    # Rows of JSONL may lack a column, so one row does not tell which columns there are.
    sample = list(itertools.islice(rows, _SAMPLE))
    columns = list(dict.fromkeys(name for row in sample if isinstance(row, Row) for name in row.values))
    if not columns:
        yield from itertools.chain(sample, (item for item in rows if isinstance(item, Rejected)))
        return
    names = find_columns(columns, source.mapping, source.path)
    for item in itertools.chain(sample, rows):
        yield item if isinstance(item, Rejected) else _to_problem(item, names, source)


def find_columns(columns: Sequence[str], mapping: FieldMapping, path: str) -> dict[str, str]:
    """Decide which column is what: {field: column}, the mapping first, then the common names.

    Raises:
        ValueError: a mapped column does not exist, or nothing serves as question or answer.
    """
    listed = ", ".join(columns)
    found: dict[str, str] = {}
    for field, common in COMMON_NAMES.items():
        wanted: str | None = getattr(mapping, field)
        if wanted is not None and wanted not in columns:
            close = difflib.get_close_matches(wanted, columns, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{path}: mapping.{field} names column {wanted!r}; the columns are {listed}{hint}")
        column = wanted or next((name for name in common if name in columns), None)
        if column is not None:
            found[field] = column
    for field in ("question", "answer"):
        if field not in found:
            raise ValueError(
                f"{path}: no column for the {field}; the columns are {listed}. Name it with mapping.{field}, "
                f"or call it one of {', '.join(COMMON_NAMES[field])}"
            )
    return found


class _RowError(Exception):
    """Why one row is no problem; becomes a `Rejected`."""


def _to_problem(row: Row, names: Mapping[str, str], source: SourceConfig) -> Problem | Rejected:
    values = {field: row.values.get(column) for field, column in names.items()}
    try:
        images = _images(values.get("images"), row, source)
        problem = Problem(
            id=_text(values.get("id"), names.get("id", "id")) or row.stem,
            question=_question(values["question"], names["question"], bool(images)),
            answer=_answer(values["answer"], names["answer"]),
            images=images,
            choices=_choices(values.get("choices"), names.get("choices", "choices")),
            kind=_text(values.get("kind"), names.get("kind", "kind")) or None,
            source=row.place,
            family=_text(values.get("family"), names.get("family", "family")),
            level=_level(values.get("level")),
        )
    except _RowError as error:
        return Rejected(row.place, str(error))
    return problem


def _text(value: Any, column: str) -> str:
    """A scalar as text; None as the empty text."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple, dict, bytes)):
        raise _RowError(f"column {column!r}: expected a text, got {type(value).__name__}")
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _RowError(f"column {column!r}: half of a surrogate pair at character {error.start}") from error
    return text


def _question(value: Any, column: str, has_images: bool) -> str:
    """The question without placeholders at its ends: the pictures stand before the text.

    A placeholder alone stays: then the question is written in the picture.
    """
    text = _text(value, column).strip()
    stripped = text
    while match := _PLACEHOLDER.match(stripped):
        stripped = stripped[match.end() :].lstrip()
    while (start := stripped.rfind("<image")) >= 0 and _PLACEHOLDER.fullmatch(stripped, start):
        stripped = stripped[:start].rstrip()
    if not text:
        raise _RowError(f"column {column!r}: empty question")
    if not stripped and not has_images:
        raise _RowError(f"column {column!r}: only {text!r}, and no picture")
    return stripped or text


def _answer(value: Any, column: str) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    text = _text(value, column).strip()
    if not text:
        raise _RowError(f"column {column!r}: no answer")
    return text


def _choices(value: Any, column: str) -> tuple[str, ...]:
    """Options in order. MMMU and its relatives publish them as the text of a Python list."""
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise _RowError(f"column {column!r}: {value[:40]!r} is not a list of options") from error
    if isinstance(value, dict):
        # Parquet gives every option column of the schema; those that the question lacks are null.
        value = [text for _, text in sorted(value.items()) if text is not None]
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)):
        raise _RowError(f"column {column!r}: expected a list of options, got {type(value).__name__}")
    return tuple(_text(option, column) for option in value)


def _level(value: Any) -> int | None:
    """Levels that are not whole numbers (`hard`) are left out: the field orders problems."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _images(value: Any, row: Row, source: SourceConfig) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    entries = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_image(entry, row, source) for entry in entries)


def _image(entry: Any, row: Row, source: SourceConfig) -> str:
    """One picture as an absolute path, or as the `drawn:` reference that it is."""
    if isinstance(entry, dict):
        if isinstance(entry.get("bytes"), bytes):
            return _store(entry["bytes"], source)
        entry = entry.get("path")
    if isinstance(entry, bytes):
        return _store(entry, source)
    if not isinstance(entry, str) or not entry.strip():
        raise _RowError(f"picture: expected a path or bytes, got {type(entry).__name__}")
    if entry.startswith(DRAWN):
        return entry
    if entry.startswith("data:"):
        return _store(_data_url(entry), source)
    if re.match(r"https?://", entry):
        raise _RowError(f"picture {entry!r}: is an address on the web; download it and give its path")
    root = Path(source.image_root) if source.image_root else row.folder
    path = (root / entry).absolute()
    if not path.is_file():
        raise _RowError(f"picture {entry!r}: {'is a directory' if path.is_dir() else f'no such file under {root}'}")
    return str(path)


def _data_url(text: str) -> bytes:
    head, _, body = text.partition(",")
    if not head.endswith(";base64"):
        raise _RowError(f"picture: only base64 data URLs are read, got {head[:40]!r}")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise _RowError(f"picture: damaged data URL ({error})") from error


def _store(data: bytes, source: SourceConfig) -> str:
    try:
        return str(store_image(data, store_directory(source)))
    except ImageError as error:
        raise _RowError(str(error)) from error


def store_directory(source: SourceConfig) -> Path:
    """Where embedded pictures of a source are kept."""
    if source.image_store:
        return Path(source.image_store).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "srpo" / "images"
