"""The run directory: everything that a stage leaves on disk, written so that a kill at any instant loses little.

    DIR/config.json      resolved configuration, version, commit      DIR/state.json    where the run is (for watchers)
    DIR/traces.jsonl     one `Trace` a line                           DIR/metrics.jsonl one row of numbers per step
    DIR/checkpoints/     `step-000050/`, the newest `keep` of them    DIR/model/        the final checkpoint
    DIR/summary.json     the result, written last

A stage's loop, in short:

    with RunDir.open(path, config, "rl", total_steps=500) as run:
        if run.finished: ...                       # say so, stop
        checkpoint = run.latest_checkpoint()       # None: begin; else load it, go on from its step
        for step in range(checkpoint.step if checkpoint else 0, 500):
            ...
            run.append_traces(traces)
            run.log(step + 1, metrics)
            if (step + 1) % 50 == 0:
                run.checkpoint(step + 1, save, extra)
        run.save_model(save_model)
        run.finish(summary)

Opening a run that did not finish cuts its journals back to the latest checkpoint, so the loop above, killed anywhere
and started again, leaves the same files as if it had not been killed (`time_s` in the metrics aside).
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self, SupportsFloat

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from srpo.config.hints import did_you_mean
from srpo.core.records import Trace
from srpo.runs import files
from srpo.runs.checkpoint import Checkpoint, CheckpointMetadata, list_checkpoints, prune, write_checkpoint
from srpo.runs.lock import LOCK_NAME, Lock
from srpo.runs.metrics import metrics_line
from srpo.runs.provenance import provenance
from srpo.runs.reader import CONFIG, METRICS, STATE, SUMMARY, TRACES, RunConfig, RunReader, State, read_run_config


class Growth(NamedTuple):
    """A length that a run has more of than it began with."""

    before: int
    now: int


class Beginning(NamedTuple):
    """What a process that opened a run directory tells the others of its run."""

    config: RunConfig
    finished: bool
    grown: dict[str, Growth]
    checkpoint: int | None
    """Step of the newest one."""


class RunDir(RunReader):
    """A run directory that this process writes."""

    follows: ClassVar = False
    """Whether another process of the run writes it (`runs/followed.py`)."""

    def __init__(self, path: Path, config: RunConfig, *, total_steps: int | None, keep: int, lock: Lock) -> None:
        """Use `RunDir.open`."""
        super().__init__(path, config)
        self.total_steps = total_steps
        self._keep = keep
        self._lock = lock
        self.finished = (path / SUMMARY).exists()
        """True when the run was already complete when it was opened; nothing more can be written then."""
        self.grown: dict[str, Growth] = {}
        """Lengths that the run was given more of when it was opened, by field."""
        checkpoint = None if self.finished else self.latest_checkpoint()
        if not self.finished:
            self._cut_back(checkpoint)
        self._step = checkpoint.step if checkpoint else 0
        self._started_s = time.monotonic() - (checkpoint.time_s if checkpoint else 0.0)
        self._traces = files.Journal(path / TRACES)
        self._metrics = files.Journal(path / METRICS)
        if not self.finished:
            self._write_state(durable=True)
        elif not (state := self.state()).finished:  # killed between the summary and the state
            files.write_atomic(path / STATE, state.model_copy(update={"finished": True}).model_dump_json() + "\n")

    @classmethod
    def open(
        cls,
        path: Path | str,
        config: BaseModel,
        stage: str,
        *,
        total_steps: int | None = None,
        keep: int = 2,
        may_change: Collection[str] = (),
        may_grow: Collection[str] = (),
    ) -> Self:
        """Start a run in `path`, go on with one that was stopped there, or open one that is finished.

        Args:
            path: Directory; made when it is not there.
            config: Resolved configuration of the stage; what JSON makes of it must equal the stored one.
            stage: Name of the stage.
            total_steps: Number of steps, for watchers.
            keep: How many of the newest checkpoints stay on disk, at least 1.
            may_change: Dotted fields of the configuration that decide nothing about the results; a run goes on with
                other values, and keeps the first ones in its `config.json`.
            may_grow: Dotted fields that say how long a run is. With more, a run goes on from its newest checkpoint, a
                finished one too, and `config.json` has the new number; `grown` tells.

        Raises:
            ValueError: the directory holds something that is not a run, a run of another stage, or results of another
                configuration (names the first field that differs, and both values), or another process works in it.
                A run that failed before its first checkpoint has no results: a corrected configuration replaces its
                own.
        """
        assert keep >= 1, keep
        path = Path(path)
        _check_is_ours(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = Lock(path)
        try:
            files.remove_leftovers(path)
            wanted = json.loads(config.model_dump_json())
            stored = read_run_config(path) if (path / CONFIG).exists() else None
            grown: dict[str, Growth] = {}
            if stored is not None and (stored.stage != stage or _has_results(path)):
                _check_same(path, stored, stage, config, {*may_change, *may_grow})
                grown = _growth(path, stored.config, wanted, may_grow)
                if grown:
                    stored = _reopen(path, stored, wanted, grown)
            elif stored is None or stored.config != wanted:
                stored = RunConfig(stage=stage, config=wanted, provenance=provenance())
                files.write_atomic(path / CONFIG, stored.model_dump_json(indent=1) + "\n")
            (path / "checkpoints").mkdir(exist_ok=True)
            files.remove_leftovers(path / "checkpoints")
            prune(path / "checkpoints", keep)
            run = cls(path, stored, total_steps=total_steps, keep=keep, lock=lock)
            run.grown = grown
            return run
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def read(path: Path | str) -> RunReader:
        """Open a run for reading only, while it is written or afterwards.

        Raises:
            ValueError: `path` is not a run directory, or one of a version that this srpo does not know.
        """
        path = Path(path)
        if not (path / CONFIG).exists():
            runs = sorted(str(file.parent) for file in path.glob(f"*/{CONFIG}")) if path.is_dir() else []
            hint = did_you_mean(runs[:4], before="; ")
            raise ValueError(f"{str(path)!r} is not a run directory (it has no {CONFIG}){hint}")
        return RunReader(path, read_run_config(path))

    def beginning(self) -> Beginning:
        """What other processes of the run need to know."""
        latest = self.latest_checkpoint()
        return Beginning(self.config, self.finished, self.grown, latest.step if latest else None)

    def append_traces(self, traces: Iterable[Trace]) -> None:
        """Append traces; a live reader sees them at once."""
        assert not self.finished, "the run is finished"
        self._traces.append([_trace_line(trace) for trace in traces])

    def log(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Append one row of numbers. `step` counts finished steps and never falls; names are `stage/term/stat`."""
        assert not self.finished, "the run is finished"
        assert step >= self._step, f"step {step} was logged after step {self._step}"
        self._step = step
        self._metrics.append([metrics_line(step, self._elapsed_s(), metrics)])
        self._write_state(durable=False)

    def checkpoint(
        self, step: int, save: Callable[[Path], object], extra: Mapping[str, Any] | None = None
    ) -> Checkpoint:
        """Save everything that is needed to go on after `step` finished steps.

        Args:
            step: Number of finished steps.
            save: Writes the stage's files into the empty directory that it is given.
            extra: Small values of the stage that come back as `Checkpoint.extra`; anything that JSON can hold.
        """
        num_bytes = {TRACES: self._traces.sync(), METRICS: self._metrics.sync()}
        latest = self.latest_checkpoint()
        if latest is not None and latest.step >= step:
            assert (latest.step, latest.num_bytes) == (step, num_bytes), f"step {step} was already saved, then went on"
            return latest
        metadata = CheckpointMetadata(
            step=step, extra=dict(extra or {}), num_bytes=num_bytes, time_s=round(self._elapsed_s(), 3)
        )
        checkpoint = write_checkpoint(self.path / "checkpoints", metadata, save)
        self._step = max(self._step, step)
        self._write_state(durable=True)
        prune(self.path / "checkpoints", self._keep)
        return checkpoint

    def save_model(self, save: Callable[[Path], object]) -> Path:
        """Make `DIR/model` from what `save` writes into the empty directory that it is given."""
        files.make_directory_atomic(self.model_path, save)
        return self.model_path

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the result and mark the run as complete; records among the values are written as JSON objects."""
        assert not self.finished, "finish was called twice"
        self._traces.sync()
        self._metrics.sync()
        text = json.dumps(summary, indent=1, ensure_ascii=False, default=_as_json)
        # The summary is what makes a run finished, so it must not be there before the journals are safe.
        files.write_atomic(self.path / SUMMARY, text + "\n")
        self.finished = True
        self._write_state(durable=True)

    def close(self) -> None:
        """Close the files and let other processes in."""
        try:
            self._traces.close()
            self._metrics.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cut_back(self, checkpoint: Checkpoint | None) -> None:
        for name in (TRACES, METRICS):
            files.cut(self.path / name, checkpoint.num_bytes[name] if checkpoint else 0)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def _write_state(self, *, durable: bool) -> None:
        state = State(
            stage=self.stage,
            step=self._step,
            total_steps=self.total_steps,
            finished=self.finished,
            time_s=round(self._elapsed_s(), 3),
        )
        files.write_atomic(self.path / STATE, state.model_dump_json() + "\n", durable=durable)


def _trace_line(trace: Trace) -> str:
    try:
        return trace.model_dump_json()
    except PydanticSerializationError:
        # Lone surrogates come in through JSON escapes in users' data; UTF-8 cannot hold them, and hours of work
        # must not end at one odd character.
        return json.dumps(trace.model_dump(), ensure_ascii=False).encode(errors="replace").decode()


def _as_json(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a summary cannot hold {value!r}")


def _check_is_ours(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file; a run needs a directory")
    if not path.exists() or (path / CONFIG).exists():
        return
    foreign = sorted(
        entry.name for entry in path.iterdir() if entry.name != LOCK_NAME and not entry.name.startswith(files.TEMPORARY)
    )
    if foreign:
        raise ValueError(
            f"{str(path)!r} is not empty and not a run (it holds {foreign[0]!r}); choose an empty or new directory"
        )


def _has_results(path: Path) -> bool:
    return (path / SUMMARY).exists() or bool(list_checkpoints(path / "checkpoints"))


def _check_same(path: Path, stored: RunConfig, stage: str, config: BaseModel, may_change: Collection[str]) -> None:
    if stored.stage != stage:
        raise ValueError(f"{str(path)!r} holds a run of stage {stored.stage!r}, not {stage!r}; choose another --out")
    wanted = json.loads(config.model_dump_json())
    difference = _first_difference(_as_of_today(stored.config, type(config)), wanted, "", may_change)
    if difference is not None:
        field, old, new = difference
        raise ValueError(
            f"{str(path)!r} holds a run with another configuration: {field} is {old} there and {new} now. Set it "
            "back to go on with that run, or choose another --out"
        )


def _as_of_today(stored: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    """A configuration in which fields that are younger than the run have their defaults."""
    try:
        found: dict[str, Any] = json.loads(kind.model_validate_json(json.dumps(stored)).model_dump_json())
    except ValidationError:  # it has fields or values that are no more: the difference names one of them
        return stored
    return found


def _growth(path: Path, old: Mapping[str, Any], new: Mapping[str, Any], may_grow: Collection[str]) -> dict[str, Growth]:
    """Which lengths became longer; ValueError where one became shorter, appeared or went away."""
    grown: dict[str, Growth] = {}
    for field in may_grow:
        before, now = old.get(field), new.get(field)
        if before == now:
            continue
        if before is None or now is None or now < before:
            raise ValueError(
                f"{str(path)!r} holds a run with another configuration: {field} is {before} there and {now} now. A run "
                "goes on with more, never with less; set it back, or choose another --out"
            )
        grown[field] = Growth(before, now)
    return grown


def _reopen(path: Path, stored: RunConfig, wanted: dict[str, Any], grown: Mapping[str, Growth]) -> RunConfig:
    """Make a run that may have finished one that is to go on."""
    if not list_checkpoints(path / "checkpoints"):
        more = ", ".join(f"{field} {growth.now}" for field, growth in grown.items())
        raise ValueError(
            f"{str(path)!r} has no checkpoint from which it could go on to {more}; choose another --out, or start from "
            "its model"
        )
    longer = stored.config | {name: wanted[name] for name in grown}
    stored = stored.model_copy(update={"config": longer})
    # In this order a kill in between leaves a run that is not finished, and the same command goes on.
    (path / SUMMARY).unlink(missing_ok=True)
    files.sync_directory(path)
    files.write_atomic(path / CONFIG, stored.model_dump_json(indent=1) + "\n")
    return stored


def _first_difference(old: object, new: object, field: str, may_change: Collection[str]) -> tuple[str, str, str] | None:
    if field in may_change:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            inner = f"{field}.{name}" if field else str(name)
            if name not in old or name not in new:
                values = [repr(side[name]) if name in side else "absent" for side in (old, new)]
                return inner, values[0], values[1]
            difference = _first_difference(old[name], new[name], inner, may_change)
            if difference is not None:
                return difference
        return None
    return None if old == new else (field, repr(old), repr(new))
