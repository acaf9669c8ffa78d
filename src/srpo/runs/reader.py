"""A run directory opened for reading, while it is written or afterwards."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srpo.core.records import READABLE_VERSIONS, SCHEMA_VERSION, Record, Trace
from srpo.runs import files
from srpo.runs.checkpoint import Checkpoint, list_checkpoints
from srpo.runs.metrics import read_metrics
from srpo.runs.progress import note
from srpo.runs.provenance import Provenance

RUN_SCHEMA_VERSION = 1
"""Version of the directory's layout; readers refuse versions that they do not know."""
TORN = "the last line is cut off"
"""Why a trace is left out of which only the beginning is there."""
TRACES, METRICS, CONFIG, STATE, SUMMARY = "traces.jsonl", "metrics.jsonl", "config.json", "state.json", "summary.json"
_WRITTEN = frozenset({TRACES, METRICS, CONFIG, STATE, SUMMARY, "rejected.jsonl", "probe.jsonl", "rows.jsonl"})
"""What a run leaves that no other command may write over."""


class RunConfig(Record):
    """Contents of `config.json`."""

    schema_version: int = RUN_SCHEMA_VERSION
    stage: str
    config: dict[str, Any]
    """The stage's resolved configuration."""
    provenance: Provenance
    """What started the run; a resumed run keeps the first one."""


class State(Record):
    """Contents of `state.json`: for those who watch. Resuming relies on the checkpoints alone."""

    stage: str
    step: int
    """Last step that was logged."""
    total_steps: int | None
    """None when the run's length is not known in advance."""
    finished: bool
    time_s: float
    """Seconds of work so far, over all processes."""


class RunReader:
    """A run directory opened for reading, finished or still being written."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @property
    def stage(self) -> str:
        """Name of the stage that wrote the run."""
        return self.config.stage

    @property
    def model_path(self) -> Path:
        """Where the final model is, once there is one."""
        return self.path / "model"

    def state(self) -> State:
        """Where the run is."""
        return State.model_validate_json((self.path / STATE).read_bytes())

    def summary(self) -> dict[str, Any] | None:
        """The result; None as long as the run has not finished."""
        path = self.path / SUMMARY
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{str(path)!r} was not written by srpo, or is damaged") from error
        if not isinstance(found, dict):
            raise ValueError(f"{str(path)!r} was not written by srpo: it holds no JSON object")
        return found

    def traces(self) -> Iterator[Trace]:
        """The traces so far, in the order in which they were written."""
        return read_traces(self.path / TRACES)

    def metrics(self) -> Iterator[dict[str, float]]:
        """The rows of numbers so far: `step`, `time_s` and the stage's own; what was not finite is NaN."""
        return read_metrics(self.path / METRICS)

    def checkpoints(self) -> list[Checkpoint]:
        """The complete checkpoints, oldest first."""
        return list_checkpoints(self.path / "checkpoints")

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest complete checkpoint."""
        return next(reversed(self.checkpoints()), None)


def trace_file(place: str | Path) -> Path:
    """The file with the traces of a run directory, or such a file itself; ValueError for anything else."""
    path = Path(place)
    file = path / TRACES if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{str(place)!r} is neither a run directory with a {TRACES} nor a file with traces")
    return file


def load_traces(*places: str | Path) -> list[Trace]:
    """All traces of run directories or `traces.jsonl` files; ValueError names the line that is no trace."""
    return [trace for place in places for trace in read_traces(trace_file(place))]


def read_traces(path: Path) -> Iterator[Trace]:
    """Yield the complete traces of a `traces.jsonl`; says once where the last one is cut off (`has_torn_trace`).

    Raises:
        ValueError: a line is not a trace, or one of a schema version that this srpo does not know; names file and line.
    """
    for line in files.read_lines(path):
        try:
            trace = Trace.model_validate_json(line.text)
        except ValidationError as error:
            _check_trace_version(line)
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "line"
            raise ValueError(f"{line.place}: not a trace ({field}: {first['msg']})") from error
        if trace.schema_version != SCHEMA_VERSION:
            _check_trace_version(line)
        yield trace
    if (tail := files.read_tail(path)) is not None:
        if (last := _trace_in(tail)) is not None:
            yield last
        else:
            _say_torn(tail.place)


def has_torn_trace(path: Path) -> bool:
    """Whether the last trace of a file is cut off: its writer is at work, was killed, or a copy stopped."""
    tail = files.read_tail(path)
    return tail is not None and _trace_in(tail) is None


def _trace_in(tail: files.Line) -> Trace | None:
    """The trace of a line that misses no more than its end of line, as editors leave it."""
    try:
        return Trace.model_validate_json(tail.text)
    except ValidationError:
        return None


@cache
def _say_torn(place: str) -> None:
    note(f"srpo: {place}: {TORN}; it is left out")


def _check_trace_version(line: files.Line) -> None:
    try:
        version = json.loads(line.text)["schema_version"]
    except (ValueError, TypeError, KeyError):
        return
    if version not in READABLE_VERSIONS:
        raise ValueError(
            f"{line.place}: trace of schema version {version!r}; this srpo reads version {SCHEMA_VERSION}. Use the "
            "srpo that wrote it, or a newer one"
        )


def read_run_config(path: Path) -> RunConfig:
    """Read `config.json` of the run directory `path`.

    Raises:
        ValueError: it is damaged, or of a version that this srpo does not know.
    """
    text = (path / CONFIG).read_bytes()
    try:
        version = json.loads(text)["schema_version"]
        if version == RUN_SCHEMA_VERSION:
            return RunConfig.model_validate_json(text)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{str(path / CONFIG)!r} was not written by srpo, or is damaged") from error
    raise ValueError(
        f"{str(path)!r} is a run directory of version {version!r}; this srpo reads version {RUN_SCHEMA_VERSION}. Use "
        "the srpo that wrote it, or a newer one"
    )


def check_spared(out: Path, *inputs: str, flag: str = "out") -> None:
    """Raise ValueError where a command would write over what a run left, or over what it reads: neither comes again."""
    path = out.resolve()
    if path.name in _WRITTEN and (path.parent / CONFIG).exists():
        raise ValueError(f"--{flag} {str(out)!r} is a file of a run, which would be lost; name another one")
    if any(given and Path(given).resolve() == path for given in inputs):
        raise ValueError(f"--{flag} {str(out)!r} is what is read, and would be lost; name another one")
