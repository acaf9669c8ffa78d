"""Near-duplicates among problems, found on disk.

Two problems are near-duplicates when their questions read the same and their pictures look the same:

* questions read the same when their words, numbers and signs are equal in order; case, punctuation, blanks, width of
  the letters and picture placeholders do not count. `2+3` and `2-3` differ.
* pictures look the same when their pixels are equal or, below a question of `data.leakage.MIN_WORDS` words or more and
  for one picture, when they are look-alikes (`data.leakage.look`: scaled or compressed anew). "Find x." under two
  drawings that look alike at thumbnail size is two problems.

Pictures are read only when a question repeats, so that the rule costs next to nothing on data without repeats.
"""

import hashlib
import json
import re
import sqlite3
import unicodedata
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from srpo.core.records import Problem
from srpo.data.images import load_image
from srpo.data.leakage import MAX_DISTANCE, MIN_WORDS, look, picture_key
from srpo.data.placeholders import PLACEHOLDER

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE questions (question BLOB, images TEXT, pixels BLOB, look BLOB, place TEXT);
CREATE INDEX by_question ON questions (question, pixels);
"""
_TOKEN = re.compile(r"[^\W_]+|(?<=\d)[.:,](?=\d)|[-+*/=<>^%!|&~±×÷√°∠∥⊥≤≥≠≈∞π−]")


class NearDuplicates:
    """What was seen so far; in a file, so that a million problems need no memory."""

    def __init__(self, path: Path) -> None:
        """Make the file `path`, which must not be there; it is scratch, and of no use after the run of one process."""
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")

    def first_like(self, problem: Problem) -> str | None:
        """Where a near-duplicate of the problem stands; None, and it is known now.

        Raises:
            ImageError: a picture that has to be compared cannot be read.
        """
        words = _TOKEN.findall(unicodedata.normalize("NFKC", PLACEHOLDER.sub(" ", problem.question)).casefold())
        question = _hash(f"{len(problem.images)} {' '.join(words)}")
        seen = self._connection.execute("SELECT 1 FROM questions WHERE question = ? LIMIT 1", (question,)).fetchone()
        view = _View(None, None)
        if seen is not None:
            self._look_at_first(question)
            view = _view(problem.images)
            place = self._same_pixels(question, view) or (
                self._look_alike(question, view) if len(words) >= MIN_WORDS else None
            )
            if place is not None:
                return place
        row = (question, json.dumps(problem.images), view.pixels, view.look, problem.source)
        self._connection.execute("INSERT INTO questions VALUES (?, ?, ?, ?, ?)", row)
        return None

    def _look_at_first(self, question: bytes) -> None:
        """The first problem with a question was taken in unseen."""
        query = "SELECT rowid, images FROM questions WHERE question = ? AND pixels IS NULL"
        for row, images in self._connection.execute(query, (question,)).fetchall():
            view = _view(json.loads(images))
            self._connection.execute(
                "UPDATE questions SET pixels = ?, look = ? WHERE rowid = ?", (view.pixels, view.look, row)
            )

    def _same_pixels(self, question: bytes, view: "_View") -> str | None:
        query = "SELECT place FROM questions WHERE question = ? AND pixels = ?"
        row = self._connection.execute(query, (question, view.pixels)).fetchone()
        return None if row is None else str(row[0])

    def _look_alike(self, question: bytes, view: "_View") -> str | None:
        if view.look is None:
            return None
        ours = int.from_bytes(view.look)
        query = "SELECT look, place FROM questions WHERE question = ? AND look IS NOT NULL"
        for theirs, place in self._connection.execute(query, (question,)):
            if (ours ^ int.from_bytes(theirs)).bit_count() <= MAX_DISTANCE:
                return str(place)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


class _View(NamedTuple):
    """What pictures look like."""

    pixels: bytes | None
    """None as long as nobody looked."""
    look: bytes | None
    """None unless there is exactly one picture."""


def _view(images: tuple[str, ...]) -> _View:
    pictures = [load_image(ref) for ref in images]
    pixels = hashlib.blake2b(b"".join(map(picture_key, pictures)), digest_size=16).digest()
    return _View(pixels, look(pictures[0]).to_bytes(8) if len(pictures) == 1 else None)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()
