"""What was seen so far, on disk: looking for repeated ids, questions and pictures in a million rows takes no memory."""

import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class Seen:
    """First owner of each key, in an SQLite file that goes when the context is left."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="srpo-seen-")
        self._base = sqlite3.connect(Path(self._folder.name) / "seen.sqlite", isolation_level=None)
        # The file is worthless after a crash, so nothing is done to save it from one.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8192"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.execute("CREATE TABLE seen (kind TEXT, key BLOB, owner TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID")
        self._base.execute("BEGIN")

    def first(self, kind: str, key: str | bytes, owner: str) -> str | None:
        """Who came with this key of this kind before, or None; then it is `owner`'s."""
        if (earlier := self.get(kind, key)) is None:
            self._base.execute("INSERT INTO seen VALUES (?, ?, ?)", (kind, key, owner))
        return earlier

    def get(self, kind: str, key: str | bytes) -> str | None:
        """Who came with this key first."""
        row = self._base.execute("SELECT owner FROM seen WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else str(row[0])

    def count(self, kind: str) -> int:
        """How many keys of this kind there are."""
        return int(self._base.execute("SELECT count(*) FROM seen WHERE kind = ?", (kind,)).fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        self._folder.cleanup()
