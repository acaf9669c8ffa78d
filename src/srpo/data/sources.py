"""Problems in, and nothing lost on the way: each row becomes a `Problem` or a `Rejected` with its place and the reason.

problems = load_problems(SourceConfig(path="mmk12/test.jsonl"))
problems.rejected[0].detail  # "picture 'images/x.png': no such file"
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from srpo.config.hints import suggest
from srpo.core.records import Problem, Rejected
from srpo.data.config import DrawnConfig, FieldMapping, SourceConfig
from srpo.data.fields import RowError, read_row, to_answer, to_choices, to_level, to_question, to_text
from srpo.data.ids import check_new
from srpo.data.pictures import find_pictures, overlooked, to_images
from srpo.data.placeholders import mismatch
from srpo.data.pools import ANSWERS, QUESTIONS, detect, named
from srpo.data.rows import Row, read_hub, read_rows

__all__ = ["ProblemSet", "SourceConfig", "iter_problems", "load_problems"]

COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "pid", "qid", "question_id", "sample_index", "uid", "idx", "index"),
    "question": QUESTIONS,
    "answer": ANSWERS,
    "images": (),
    "choices": ("choices", "options", "candidates"),
    "family": ("family", "subject", "category", "topic"),
    "level": ("level", "difficulty"),
    "kind": ("kind",),
    "caption": ("caption", "image_description", "description"),
}
"""Column names that are understood without a mapping; the first that is there wins. Pictures may be in several columns
(`pictures.find_pictures`)."""

_SAMPLE = 32
"""Rows looked at before the columns are decided."""


class ProblemSet(NamedTuple):
    """All rows of a source, accounted for."""

    problems: tuple[Problem, ...]
    rejected: tuple[Rejected, ...]


def load_problems(source: SourceConfig | str, *, limit: int | None = None) -> ProblemSet:
    """Read all problems of a source, or rows until there are `limit` usable ones.

    A text is the short form of a source: a file, a folder, `drawn` or `drawn:<split>`.

    Raises:
        ValueError: the source cannot be read, has no column for question or answer, or two rows have the same id.
    """
    problems: list[Problem] = []
    rejected: list[Rejected] = []
    seen: dict[str, str] = {}
    source = SourceConfig.model_validate(source)
    for item in iter_problems(source):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        hint = f" (`srpo data check {source.path}` lists all duplicates)"
        check_new(item.id, item.source, seen.get(item.id), hint)
        seen[item.id] = item.source
        problems.append(item)
        if len(problems) == limit:
            break
    return ProblemSet(tuple(problems), tuple(rejected))


def iter_problems(source: SourceConfig, *, pictures: bool = True) -> Iterator[Problem | Rejected]:
    """The rows of a source one by one, in order, ids unchecked; never more than a few rows are held.

    `pictures` false leaves the pictures of files out: answers that were given before are graded without them.

    Raises:
        ValueError: the source cannot be read, or has no column for question or answer.
    """
    return _read(source, pictures=pictures) if source.drawn is None else _draw(source.drawn)


def iter_questions(source: SourceConfig) -> Iterator[Problem | Rejected]:
    """As `iter_problems`, for files of which only questions and pictures matter.

    The answer is left empty, and pictures that are not there are left out.
    """
    return _read(source, lenient=True) if source.drawn is None else _draw(source.drawn)


def _draw(drawn: DrawnConfig) -> Iterator[Problem | Rejected]:
    from srpo.data.drawn import FAMILIES, LEVELS, drawn_problems

    yield from drawn_problems(
        drawn.split,
        families=drawn.families or FAMILIES,
        levels=drawn.levels or LEVELS,
        count=drawn.count,
        seed=drawn.seed,
    )


def _read(source: SourceConfig, *, lenient: bool = False, pictures: bool = True) -> Iterator[Problem | Rejected]:
    rows: Iterator[Row | Rejected]
    if source.hub:
        rows = read_hub(source.hub, subset=source.subset, split=source.split or "train")
    else:
        rows = read_rows(source.path, split=source.split)
    # Rows of JSONL may lack a column, so one row does not tell which columns there are.
    sample = list(itertools.islice(rows, _SAMPLE))
    values = [row.values for row in sample if isinstance(row, Row)]
    if not any(values):
        yield from itertools.chain(sample, (item for item in rows if isinstance(item, Rejected)))
        return
    fields = _fields_of(values, source, lenient=lenient)
    for item in itertools.chain(sample, rows):
        if isinstance(item, Rejected):
            yield item
        else:
            row = item
            yield read_row(row.place, lambda: _to_problem(row, fields, source, lenient=lenient, pictures=pictures))  # noqa: B023


class _Fields(NamedTuple):
    """How the rows of one source become fields."""

    names: Mapping[str, str]
    """Which column a field comes from, for messages; fields that nothing stands for are absent."""
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Row -> fields; raises RowError."""


def _fields_of(rows: Sequence[Mapping[str, Any]], source: SourceConfig, *, lenient: bool) -> _Fields:
    """The pool's adapter where there is one; what the mapping names wins over both."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    mapping = source.mapping
    adapter = None
    if source.adapter == "auto" and not (mapping.question and mapping.answer):
        adapter = detect(rows)
    elif source.adapter not in {"auto", "columns"}:
        adapter = named(source.adapter)
    needed = () if adapter else ("question",) if lenient else ("question", "answer")
    found = find_columns(columns, mapping, source.label, needed=needed)
    if adapter is None:
        return _Fields(found, lambda row: _read_columns(row, found, needed))
    common = {field: column for field, column in found.items() if field not in adapter.columns}
    mapped = {field: column for field, column in found.items() if getattr(mapping, field)}

    def read(row: Mapping[str, Any]) -> Mapping[str, Any]:
        values = {field: row.get(column) for field, column in common.items()} | adapter.read(row)
        return values | {field: row.get(column) for field, column in mapped.items()}

    return _Fields({**common, **adapter.columns, **mapped}, read)


def _read_columns(row: Mapping[str, Any], names: Mapping[str, str], needed: Sequence[str]) -> Mapping[str, Any]:
    """One column per field. A row without a needed column is told from one with nothing in it."""
    for column in (names[field] for field in needed):
        if column not in row:
            missing = f"column {column!r} is missing"
            raise RowError(missing, f"{missing}; this row has {', '.join(row) or 'none'}")
    values = {field: row.get(column) for field, column in names.items()}
    return values if "images" in names else values | {"images": find_pictures(row)}


def find_columns(
    columns: Sequence[str], mapping: FieldMapping, path: str, *, needed: Sequence[str] = ("question", "answer")
) -> dict[str, str]:
    """Decide which column is what: {field: column}, the mapping first, then the common names.

    Raises:
        ValueError: a mapped column does not exist, or nothing serves as a field that is `needed`.
    """
    listed = ", ".join(columns)
    found: dict[str, str] = {}
    for field, common in COMMON_NAMES.items():
        wanted: str | None = getattr(mapping, field)
        if wanted is not None and wanted not in columns:
            hint = suggest(wanted, columns, before="; ")
            raise ValueError(f"{path}: mapping.{field} names column {wanted!r}; the columns are {listed}{hint}")
        column = wanted or next((name for name in common if name in columns), None)
        if column is not None:
            found[field] = column
    for field in needed:
        if field not in found:
            raise ValueError(
                f"{path}: no column for the {field}; the columns are {listed}. Name it with mapping.{field}, "
                f"call it one of {', '.join(COMMON_NAMES[field])}, or name the format with adapter"
            )
    return found


def _to_problem(row: Row, fields: _Fields, source: SourceConfig, *, lenient: bool, pictures: bool) -> Problem:
    names = fields.names
    values = fields.read(row.values)
    images = to_images(values.get("images"), row, source, lenient=lenient) if pictures else ()
    given = values.get("question")
    choices = () if lenient else to_choices(values.get("choices"), names.get("choices", "choices"))
    if pictures and not lenient:
        _check_pictures(row, fields, source, [to_text(given, names["question"]), *choices], images)
    question = to_question(given, names["question"], has_images=bool(images) or lenient or not pictures)
    _check_length([question, *choices], source)
    return Problem(
        id=to_text(values.get("id"), names.get("id", "id")) or row.stem,
        question=question,
        answer="" if lenient else to_answer(values.get("answer"), names["answer"]),
        images=images,
        choices=choices,
        kind=to_text(values.get("kind"), names.get("kind", "kind")) or None,
        source=row.place,
        family=to_text(values.get("family"), names.get("family", "family")),
        level=to_level(values.get("level")),
        caption=to_text(values.get("caption"), names.get("caption", "caption")).strip(),
    )


def _check_pictures(
    row: Row, fields: _Fields, source: SourceConfig, texts: Sequence[str], images: Sequence[str]
) -> None:
    """RowError when the model would not see what the row is about."""
    if not images and (column := overlooked(row, source, fields.names.values())) is not None:
        reason = f"column {column!r} holds a picture and is not read"
        raise RowError(reason, f"{reason}; name it with mapping.images")
    if (detail := mismatch(texts, len(images))) is not None:
        raise RowError("pictures and placeholders do not match", detail)


def _check_length(texts: Sequence[str], source: SourceConfig) -> None:
    length, most = sum(len(text.encode()) for text in texts), source.max_question_bytes
    if length > most:
        raise RowError("question is too long", f"question of {length:,} bytes; max_question_bytes is {most:,}")
