"""What a stage did not use, row by row: `rejected.jsonl` beside the traces, so that nothing is skipped in silence."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel

from srpo.core.records import Record
from srpo.runs.files import Journal, cut, read_lines

REJECTED = "rejected.jsonl"

Where = Literal["source", "prompt", "attempt", "gold", "teacher", "selection", "response"]


class Dropped(Record):
    """A row, problem or sample that was left out."""

    where: Where
    """`source`: not a problem; `prompt`: the model cannot take it; `attempt`: the first attempt has no format; `gold`:
    ungradable; `teacher`: no acceptable reply; `selection`: good, but not wanted; `response`: nothing
    came of it in an evaluation."""
    id: str
    """The problem's id; empty for rows of the source."""
    place: str
    """`file:line` of the problem."""
    sample: int | None = None
    """Which of the problem's samples; None for all of them."""
    reason: str
    """A short text that repeats, so that it can be counted."""
    detail: str = ""
    """What exactly was wrong here."""
    text: str = ""
    """The generated text that was turned down."""


class Ledger:
    """An append-only file of records in a run directory that is cut back when the run resumes."""

    def __init__(self, path: Path, *, num_bytes: int) -> None:
        """Open `path` and cut it back to the first `num_bytes`."""
        cut(path, num_bytes)
        self._path = path
        self._journal = Journal(path)

    def append(self, rows: Iterable[BaseModel]) -> None:
        """Append records, one line each."""
        self._journal.append([row.model_dump_json() for row in rows])

    def append_lines(self, lines: Iterable[str]) -> None:
        """Append lines that are JSON already."""
        self._journal.append(lines)

    def sync(self) -> int:
        """Force to disk; returns the length in bytes, which a checkpoint keeps."""
        return self._journal.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()


def read_dropped(run: Path) -> Iterator[Dropped]:
    """The rows of a run's `rejected.jsonl`."""
    for line in read_lines(run / REJECTED):
        yield Dropped.model_validate_json(line.text)


def count_dropped(rows: Iterable[Dropped]) -> dict[str, dict[str, int]]:
    """{where: {reason: number}}, the most frequent first."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row.where, Counter())[row.reason] += 1
    return {where: dict(counts.most_common()) for where, counts in found.items()}


def fingerprint(rows: Iterable[BaseModel]) -> str:
    """Hash of the problems, by which a resumed run notices that its data changed."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode())
    return digest.hexdigest()
