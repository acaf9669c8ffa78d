"""Answers of servers on disk, so that nothing is paid twice: one SQLite file, safe under threads and kills.

    with ResponseCache("runs/reflect/responses.sqlite") as cache:
        cache.put(key, Answer(choices=(Choice(text="7", finish="stop"),), num_in=12, num_out=1), usd=0.0001)
        cache.get(key)

An answer that `put` returned from survives SIGKILL. (A power cut can cost the last few: SQLite's WAL is not synced with
every answer.) Several processes may share a file.
"""

import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import ValidationError

from srpo.core.records import Record
from srpo.runs.secrets import hidden_in_data

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    job TEXT NOT NULL,
    model TEXT NOT NULL,
    answer TEXT NOT NULL,
    num_in INTEGER NOT NULL,
    num_out INTEGER NOT NULL,
    usd REAL NOT NULL
)
"""


class Choice(Record):
    """One sample of an answer, as the server sent it."""

    text: str
    finish: str
    """Why it ended: `stop`, `length`, `content_filter`, ..."""
    refusal: str = ""
    """The model's own words for why it wrote nothing."""


class Answer(Record):
    """What a server answered to one request."""

    choices: tuple[Choice, ...]
    num_in: int
    """Prompt tokens, as billed."""
    num_out: int
    """Generated tokens of all choices together, as billed."""


class Paid(NamedTuple):
    """What was paid for the answers of one model."""

    num_requests: int
    num_in: int
    num_out: int
    usd: float


class ResponseCache:
    """Answers by key."""

    def __init__(self, path: str | Path, *, job: str = "") -> None:
        """Open or create the file. `job` marks what this run pays for, in a file that several runs share.

        Raises:
            ValueError: the file cannot be opened, or is something else.
        """
        self._path = Path(path)
        self._job = job
        self._lock = threading.Lock()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=60, isolation_level=None, check_same_thread=False, cached_statements=16
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"{str(path)!r} cannot be used as a cache of answers: {error}") from error

    def get(self, key: bytes) -> Answer | None:
        """The answer under `key`, if there is one."""
        with self._lock:
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        try:
            return None if row is None else Answer.model_validate_json(row[0])
        except ValidationError:
            # A row that was cut, or is somebody else's, is no answer: it is asked for again.
            with self._lock:
                self._connection.execute("DELETE FROM answers WHERE key = ?", (key,))
            return None

    def put(self, key: bytes, answer: Answer, *, model: str, usd: float) -> None:
        """Keep an answer; when this returns it is committed. An answer that is there already stays."""
        with self._lock:
            self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, self._job, model, hidden_in_data(answer.model_dump_json()), answer.num_in, answer.num_out, usd),
            )

    def paid(self) -> dict[str, Paid]:
        """What this job paid so far by model, in earlier processes too: a resumed run counts it against its limit."""
        # total(), not sum(): one absurd number in the file must not make the run unopenable by an overflow.
        sums = "count(*), total(num_in), total(num_out), total(usd)"
        query = f"SELECT model, {sums} FROM answers WHERE job = ? GROUP BY model"  # noqa: S608  no word of a user
        with self._lock:
            rows = self._connection.execute(query, (self._job,)).fetchall()
        return {str(model): Paid(num, int(num_in), int(num_out), usd) for model, num, num_in, num_out, usd in rows}

    def __len__(self) -> int:
        with self._lock:
            (number,) = self._connection.execute("SELECT count(*) FROM answers").fetchone()
        return int(number)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
