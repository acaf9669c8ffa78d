"""Answers of servers on disk, so that nothing is paid twice: one SQLite file, safe under threads and kills.

    with ResponseCache("runs/reflect/responses.sqlite") as cache:
        cache.put(key, Answer(choices=(Choice(text="7", finish="stop"),), num_in=12, num_out=1), usd=0.0001)
        cache.get(key)

An answer that `put` returned from survives SIGKILL. (A power cut can cost the last few: SQLite's WAL is not synced with
every answer.) Several processes may share a file. A row that cannot be read counts as absent: its answer is asked for
again and takes its place.
"""

import contextlib
import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import Field, ValidationError

from srpo.core.records import Record
from srpo.runs.secrets import hidden_in_data

MOST_TOKENS = 2_000_000
"""What a request can be billed: no model reads or writes as much. More is a fault of the bookkeeping."""
_MOST_USD = 10_000.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    job TEXT NOT NULL,
    model TEXT NOT NULL,
    answer TEXT NOT NULL,
    num_in INTEGER NOT NULL,
    num_out INTEGER NOT NULL,
    usd REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS lost (job TEXT NOT NULL, model TEXT NOT NULL, usd REAL NOT NULL);
"""
_COLUMNS = ["key", "job", "model", "answer", "num_in", "num_out", "usd"]
# A foreign hand may have written anything into the columns: text, 2^62, NULL. total() does not overflow.
_PAID = f"""
SELECT CAST(model AS TEXT), count(*),
    total(CASE WHEN typeof(num_in) = 'integer' AND num_in BETWEEN 0 AND {MOST_TOKENS} THEN num_in END),
    total(CASE WHEN typeof(num_out) = 'integer' AND num_out BETWEEN 0 AND {MOST_TOKENS} THEN num_out END),
    total(CASE WHEN typeof(usd) IN ('integer', 'real') AND usd BETWEEN 0 AND {_MOST_USD} THEN usd END)
FROM answers WHERE job = ? GROUP BY 1
"""  # noqa: S608  numbers of ours
_LOST = f"""
SELECT CAST(model AS TEXT), count(*),
    total(CASE WHEN typeof(usd) IN ('integer', 'real') AND usd BETWEEN 0 AND {_MOST_USD} THEN usd END)
FROM lost WHERE job = ? GROUP BY 1
"""  # noqa: S608


class NotKept(ValueError):  # noqa: N818  an outcome, like those of `models.failures`
    """An answer could not be kept: the disk is full, or the file is damaged. Nothing more is asked."""


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
    num_in: int = Field(ge=0, le=MOST_TOKENS)
    """Prompt tokens, as billed; estimated where the server does not say."""
    num_out: int = Field(ge=0, le=MOST_TOKENS)
    """Generated tokens of all choices together, as billed; estimated where the server does not say."""


class Paid(NamedTuple):
    """What was paid for the answers of one model."""

    num_requests: int = 0
    num_in: int = 0
    num_out: int = 0
    usd: float = 0.0
    num_lost: int = 0
    """Answers that were billed and did not arrive whole."""
    lost_usd: float = 0.0
    """What they cost beside `usd`, as far as one can tell."""


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
        self._failure: NotKept | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=60, isolation_level=None, check_same_thread=False, cached_statements=16
            )
            self._connection.text_factory = lambda data: data.decode(errors="replace")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
            columns = [row[1] for row in self._connection.execute("PRAGMA table_info(answers)")]
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"{str(path)!r} cannot be used as a cache of answers: {error}") from error
        if columns != _COLUMNS:
            raise ValueError(
                f"{str(path)!r} cannot be used as a cache of answers: its table `answers` is somebody else's; "
                "move the file away"
            )

    @property
    def failure(self) -> NotKept | None:
        """Why answers can no longer be kept; None as long as they can."""
        return self._failure

    def get(self, key: bytes) -> Answer | None:
        """The answer under `key`, if there is one that can be read."""
        with self._lock, contextlib.suppress(sqlite3.DatabaseError, ValidationError):
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            return None if row is None else Answer.model_validate_json(row[0])
        return None

    def put(self, key: bytes, answer: Answer, *, model: str, usd: float) -> None:
        """Keep an answer; when this returns it is committed. One that is there already and can be read stays.

        Raises:
            NotKept: it could not be written; `failure` says so from then on.
        """
        text = hidden_in_data(answer.model_dump_json())
        row = (key, self._job, model, text, answer.num_in, answer.num_out, usd)
        if not self._write("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row) and not self.get(key):
            self._write("REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def count_lost(self, *, model: str, usd: float) -> None:
        """Keep in mind that an answer was paid which did not arrive whole; raises NotKept."""
        self._write("INSERT INTO lost VALUES (?, ?, ?)", (self._job, model, usd))

    def paid(self) -> dict[str, Paid]:
        """What this job paid so far by model, in earlier processes too: a resumed run counts it against its limit.

        Rows with numbers that nobody was ever billed count as answers, and for nothing.
        """
        found: dict[str, Paid] = {}
        with self._lock, contextlib.suppress(sqlite3.DatabaseError):
            for model, count, num_in, num_out, usd in self._connection.execute(_PAID, (self._job,)):
                found[model] = Paid(count, int(num_in), int(num_out), usd)
            for model, count, usd in self._connection.execute(_LOST, (self._job,)):
                found[model] = found.get(model, Paid())._replace(num_lost=count, lost_usd=usd)
        return found

    def __len__(self) -> int:
        with self._lock:
            (number,) = self._connection.execute("SELECT count(*) FROM answers").fetchone()
        return int(number)

    def close(self) -> None:
        """Close the file."""
        # What SQLite still wants to tidy up is in its journal, and is tidied up at the next opening.
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        """Returns how many rows were written."""
        if self._failure is not None:
            raise self._failure
        try:
            with self._lock:
                return self._connection.execute(statement, values).rowcount
        except (sqlite3.Error, OSError) as error:
            self._failure = NotKept(
                f"answers cannot be kept in {str(self._path)!r}: {error}. Nothing more is asked; make room (or move a "
                "damaged file away), and the same command goes on"
            )
            raise self._failure from error
