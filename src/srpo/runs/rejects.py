"""What a stage did not use, row by row: `rejected.jsonl` beside the traces, so that nothing is skipped in silence."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel

from srpo.core.records import Rejected
from srpo.runs.files import Journal, cut, read_lines

REJECTED = "rejected.jsonl"


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


def read_rejected(run: Path) -> Iterator[Rejected]:
    """The rows of a run's `rejected.jsonl`."""
    for line in read_lines(run / REJECTED):
        yield Rejected.model_validate_json(line.text)


def count_rejected(rows: Iterable[Rejected]) -> dict[str, dict[str, int]]:
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
