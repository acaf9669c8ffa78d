"""What the reward manager's processes write down of every response, and how it is read back.

    LAUNCH/origin.json              what all traces of a start share
    LAUNCH/rewards/HOST-PID.jsonl   one file for each process

Workers of verl die without notice, so every line reaches the operating system before the reward is given.
"""

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from srpo.core.records import Origin, Record, Trace
from srpo.runs.files import Journal

ORIGIN, REWARDS = "origin.json", "rewards"
RowSplit = Literal["train", "eval"]


class PaidTrace(Record):
    """A response, and where in verl's run it belongs."""

    uid: str
    """Of its group."""
    step: int
    """Of the rollout; an evaluation has the step after which it comes."""
    split: RowSplit
    trace: Trace


class RewardJournal:
    """Of one process; safe to call from many threads."""

    def __init__(self, launch: Path) -> None:
        """Begin a file of one's own in the folder of a start."""
        folder = launch / REWARDS
        folder.mkdir(parents=True, exist_ok=True)
        self.origin = Origin.model_validate_json((launch / ORIGIN).read_bytes())
        self._journal = Journal(folder / f"{socket.gethostname()}-{os.getpid()}.jsonl")
        self._lock = threading.Lock()

    def add(self, paid: PaidTrace) -> None:
        """Write one down."""
        line = paid.model_dump_json()
        with self._lock:
            self._journal.append([line])

    def close(self) -> None:
        """Close the file; nothing can be added any more."""
        self._journal.close()


class Tail:
    """The lines of a file that is still written, each once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0
        self._count = 0

    def lines(self) -> Iterator[tuple[str, str]]:
        """Place and text of the lines that were completed since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):  # its writer is at work
                    return
                self._end += len(line)
                self._count += 1
                yield f"{self.path}:{self._count}", line.decode("utf-8", errors="surrogateescape")


class RewardTails:
    """The responses that all processes of a start write down, each once."""

    def __init__(self, launch: Path) -> None:
        self._folder = launch / REWARDS
        self._tails: dict[Path, Tail] = {}

    def new(self) -> Iterator[PaidTrace]:
        """What was written since the last call, in the order of files and lines.

        Raises:
            ValueError: a line is none of ours.
        """
        for file in sorted(self._folder.glob("*.jsonl")):
            for place, text in self._tails.setdefault(file, Tail(file)).lines():
                yield _paid(text, place)


def _paid(text: str, place: str) -> PaidTrace:
    try:
        return PaidTrace.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: not a response of verl's reward manager ({field}: {first['msg']})") from error


def groups_of(paid: Sequence[PaidTrace]) -> list[list[Trace]]:
    """The traces by group, groups in the order in which they first appear in the data, samples by their number."""
    found: dict[str, list[PaidTrace]] = {}
    for one in paid:
        found.setdefault(one.uid, []).append(one)
    ordered = sorted(found.values(), key=lambda group: (group[0].trace.problem.id, group[0].uid))
    return [sorted((one.trace for one in group), key=lambda trace: trace.sample) for group in ordered]
