"""Records in a file as a sequence: what a run passes over several times and must not hold in memory.

with RecordFile(folder / "items.jsonl", Item) as items:
    items.append(item)
    items[0], len(items), [one.problem.id for one in items]
"""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar, overload

from pydantic import BaseModel

_T = TypeVar("_T", bound=BaseModel)


class RecordFile(Sequence[_T], Generic[_T]):
    """Append, then read in any order; eight bytes of memory for each record."""

    def __init__(self, path: Path, kind: type[_T]) -> None:
        """Make the file, or empty it."""
        self._kind = kind
        self._file = path.open("w+b")
        self._offsets = array("Q")
        self._end = 0

    def append(self, record: _T) -> int:
        """Add a record; returns its index."""
        line = record.model_dump_json().encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._offsets.append(self._end)
        self._end += len(line)
        return len(self._offsets) - 1

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __getitem__(self, index: int | slice) -> _T | list[_T]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        self._file.seek(self._offsets[index])
        return self._kind.model_validate_json(self._file.readline())

    def __iter__(self) -> Iterator[_T]:
        # By index: several passes may be under way at once.
        return (self[number] for number in range(len(self)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
