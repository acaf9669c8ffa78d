"""All traces of some runs, as numbers in memory; each is read again from its file when it is shown.

    index = Index(runs_in(Path("runs/demo")))
    index.refresh()
    index.trace(0)

A run that is still written is followed: `refresh` reads what was added. A last line that is cut off is waited for. A
run that was cut back to its checkpoint, as resuming does, is read again.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from srpo.core.records import READABLE_VERSIONS, Trace
from srpo.report.open import LabelledRun
from srpo.runs.progress import progress
from srpo.runs.reader import TRACES, State
from srpo.view.columns import Columns, Numbers, Place
from srpo.view.search import Texts

_KNOWN_BYTES = 256
"""At most so many bytes before the place of reading are compared: other ones mean a file that was cut back and grew."""


class GoneError(Exception):
    """A trace is not where it was: its run was cut back. Ask again."""


@dataclass
class Followed:
    """One run, read up to some byte."""

    label: str
    path: Path
    """Its `traces.jsonl`."""
    place: str
    """Where the run is, as whoever named it wrote it."""
    stage: str
    credit: str
    """Which credit its config asks for; empty outside RL."""
    scale: bool
    """Whether its advantages are divided by the deviation."""
    group_size: int
    """Responses to a problem in one step, as its config says; 0 where it does not."""
    end: int = 0
    """Bytes read."""
    before: bytes = b""
    """The last of them, of the last line alone."""
    num: int = 0
    """Traces read."""
    unreadable: list[str] = field(default_factory=list)
    """`line N` of what is no trace."""
    lines: int = 0

    @classmethod
    def of(cls, found: LabelledRun) -> "Followed":
        """A run of which nothing is read yet."""
        config = found.run.config.config
        loss = config.get("loss")
        size = config.get("group_size")
        return cls(
            label=found.label,
            path=found.run.path / TRACES,
            place=found.place,
            stage=found.run.stage,
            credit=str(config.get("credit", "")),
            scale=not (isinstance(loss, dict) and loss.get("variant") == "dr_grpo"),
            group_size=size if isinstance(size, int) else 0,
        )

    def is_cut_back(self) -> bool:
        """Whether the file is another one than the one that was read."""
        if not self.end:
            return False
        try:
            with self.path.open("rb") as file:
                file.seek(self.end - len(self.before))
                return file.read(len(self.before)) != self.before
        except OSError:
            return True

    def state(self) -> State | None:
        """Where the run is; None when it does not say."""
        try:
            return State.model_validate_json((self.path.parent / "state.json").read_bytes())
        except (OSError, ValidationError):
            return None


class Index:
    """See the module. Everything that is read goes through one lock."""

    def __init__(self, runs: Sequence[LabelledRun]) -> None:
        self._found = runs
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.runs = [Followed.of(run) for run in self._found]
        self.columns = Columns()
        self.texts = Texts()
        self.frozen: dict[str, Numbers] = self.columns.frozen()

    def refresh(self) -> None:
        """Read what the runs have written since the last time."""
        with self._lock:
            if any(run.is_cut_back() for run in self.runs):
                self.texts.close()
                self._start()
            before = len(self.columns)
            for number, run in enumerate(self.runs):
                self._follow(number, run)
            if len(self.columns) != before or not len(self.frozen["run"]):
                self.frozen = self.columns.frozen()

    def read_all(self) -> None:
        """`refresh` with a bar, for the first time."""
        with progress(len(self.runs), "index") as bar, self._lock:
            for number, run in enumerate(self.runs):
                self._follow(number, run)
                bar.advance(traces=f"{len(self.columns):,}")
            self.frozen = self.columns.frozen()

    def trace(self, row: int) -> Trace:
        """The trace of a row.

        Raises:
            GoneError: the file has something else there now.
        """
        run = self.runs[int(self.frozen["run"][row])]
        try:
            with run.path.open("rb") as file:
                file.seek(int(self.frozen["offset"][row]))
                return Trace.model_validate_json(_text(file.read(int(self.frozen["length"][row]))))
        except (OSError, ValidationError) as error:
            raise GoneError(run.label) from error

    def search(self, text: str) -> Numbers:
        """Which rows of `frozen` hold a text."""
        with self._lock:
            return self.texts.rows_with(text)[: len(self.frozen["run"])]

    def close(self) -> None:
        """Give the file of texts back."""
        self.texts.close()

    def _follow(self, number: int, run: Followed) -> None:
        if not run.path.exists() or run.path.stat().st_size <= run.end:
            return
        with run.path.open("rb") as file:
            file.seek(run.end)
            for line in file:
                if not self._take(number, run, line):
                    break
                run.end += len(line)
                run.before = line[-_KNOWN_BYTES:]

    def _take(self, number: int, run: Followed, line: bytes) -> bool:
        """Whether the line is done with: a trace, or one that will never be; a line that is cut off is neither."""
        whole = line.endswith(b"\n")
        if not line.strip():  # the end of a line that was whole without it
            return whole
        try:
            trace = Trace.model_validate_json(_text(line))
        except ValidationError:
            if whole:
                run.lines += 1
                run.unreadable.append(f"line {run.lines}")
            return whole
        run.lines += 1
        if trace.schema_version not in READABLE_VERSIONS:
            run.unreadable.append(f"line {run.lines} (schema version {trace.schema_version})")
            return True
        self.columns.add(Place(number, run.num, run.end, len(line)), trace)
        self.texts.add(trace)
        run.num += 1
        return True


def _text(line: bytes) -> str:
    """Bytes that are no UTF-8 are shown as such, and keep nobody from reading the rest."""
    return line.decode("utf-8", errors="replace")
