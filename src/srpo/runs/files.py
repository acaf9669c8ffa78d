"""File writing that survives a kill at any instruction and a full disk, and append-only JSONL.

A file or directory is made under a temporary name, forced to disk, and renamed: it is there as a whole or not at all.
A `Journal` only grows; what was appended after the last checkpoint is cut off again when a run resumes. What cannot be
written is an OSError with its path.
"""

import errno
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from srpo.runs.secrets import hidden_in_data

TEMPORARY = ".tmp-"
"""Prefix of everything that is not finished yet; leftovers of a killed process are removed when a run is opened."""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk, or of a share of it, that is full."""
_PROBE_BYTES = 1 << 20
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def write_atomic(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace `path` by `text` in one step. `durable=False` leaves out the forcing to disk (a kill is still safe)."""
    with atomic_file(path, durable=durable) as file:
        file.write(hidden_in_data(text))


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[TextIO]:
    """A file that takes the place of `path` when the block ends well, and leaves nothing when it does not."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        with _naming(path), temporary.open("w", encoding="utf-8") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """The system does not say in which file a write failed."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def make_directory_atomic(path: Path, fill: Callable[[Path], object]) -> None:
    """Make the directory `path` from what `fill` writes into the empty directory that it is given.

    An older directory at `path` is replaced. What cannot be filled leaves nothing behind.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    remove_tree(temporary)
    temporary.mkdir(parents=True)
    try:
        with _naming(path):
            fill(temporary)
            _sync_tree(temporary)
    except Exception as error:
        full = not isinstance(error, ValueError | OSError) and _is_of_a_full_disk(error, temporary)
        remove_tree(temporary)
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    except BaseException:
        remove_tree(temporary)
        raise
    if path.exists():
        remove_atomic(path)
    temporary.rename(path)
    sync_directory(path.parent)


def _is_of_a_full_disk(error: Exception, directory: Path) -> bool:
    """Each library has its own words: those in Rust give the system's number, of others the disk is asked."""
    said = _SYSTEM_ERROR.search(str(error))
    return int(said[1]) in NO_ROOM if said else not _has_room(directory)


def _has_room(directory: Path) -> bool:
    """Whether a file there could grow beyond the largest one: neither the disk nor a limit on files is in the way."""
    largest = max((entry.stat().st_size for entry in directory.rglob("*") if entry.is_file()), default=0)
    try:
        with (directory / f"{TEMPORARY}probe").open("wb") as file:
            file.seek(largest)
            file.write(bytes(_PROBE_BYTES))
    except OSError:
        return False
    return True


def remove_atomic(path: Path) -> None:
    """Remove the directory `path` so that it is never seen half removed."""
    doomed = path.with_name(f"{TEMPORARY}old-{path.name}")
    remove_tree(doomed)
    path.rename(doomed)
    remove_tree(doomed)


def remove_tree(path: Path) -> None:
    """Remove a directory if it is there."""
    if path.exists():
        shutil.rmtree(path)


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed process left half written in `directory`."""
    for entry in directory.glob(TEMPORARY + "*"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sync_directory(path: Path) -> None:
    """Force a directory's entries to disk, so that a rename in it outlives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(directory: Path) -> None:
    for root, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(root))


class Line(NamedTuple):
    """One line of a JSONL file."""

    place: str
    """`path:line`, for messages."""
    text: str


class Journal:
    """An append-only file of lines.

    Each `append` reaches the operating system before it returns, so that a live reader sees it and a kill of the
    process loses nothing; `sync` forces everything to disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")

    def append(self, lines: Iterable[str]) -> None:
        """Append lines, given without their line ends."""
        with _naming(self.path):
            self._file.write(hidden_in_data("".join(f"{line}\n" for line in lines)).encode())
            self._file.flush()

    def sync(self) -> int:
        """Force the file to disk and return its length in bytes."""
        with _naming(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file; nothing can be appended any more."""
        self._file.close()


def cut(path: Path, num_bytes: int) -> None:
    """Cut a journal back to its first `num_bytes` bytes (0 also when it does not exist).

    Raises:
        ValueError: the file is shorter than that, so someone else has changed it.
    """
    size = path.stat().st_size if path.exists() else 0
    if size < num_bytes:
        raise ValueError(
            f"{str(path)!r} has {size} bytes, but the last checkpoint was made when it had {num_bytes}; the run "
            "directory has been changed from outside and cannot be resumed"
        )
    if size > num_bytes:
        os.truncate(path, num_bytes)


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the complete lines of a journal; a torn last line (a writer is at work, or was killed) is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            yield Line(f"{path}:{number}", line.decode("utf-8", errors="surrogateescape"))


def read_tail(path: Path) -> Line | None:
    """The last line of a journal where its end is missing."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return None
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return None
        file.seek(0)
        ((number, line),) = deque(enumerate(file, 1), maxlen=1)
    return Line(f"{path}:{number}", line.decode("utf-8", errors="surrogateescape"))
