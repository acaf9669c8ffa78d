"""Problems worked through in batches and saved after each: what `srpo reflect` and `srpo eval` have in common.

    with BatchedRun(run_dir, num_problems, batch_size, ledgers={REJECTED: 0}, spending=spending) as batched:
        batched.work(batches, stage.work, stage.record, sample=...)

A stage brings `work(problems)`, which asks and grades and writes nothing, and `record(batch, result)`, which writes.
Batches are worked several at a time and recorded in order, each followed by a checkpoint. A run that was killed,
stopped or out of money therefore goes on after its last batch, and ends as if nothing had happened.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from srpo.core.records import Problem
from srpo.runs import json_events
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stop, Stopped, stop_signal
from srpo.runs.ordered import ordered_map
from srpo.runs.progress import Shown, progress
from srpo.runs.rejects import Ledger

_R = TypeVar("_R", bound="WorkedBatch")
_MOST_REASONS = 4
_ENOUGH = 40
"""Texts of which none could be used, until a run is ended: with one good in ten, that happens once in 70 times."""
_ASKED, _PASSED = "texts_asked", "texts_passed"
"""Keys of a checkpoint's state."""
_Sample = Callable[[int], Sequence[Problem]]


class Batch(NamedTuple):
    """Problems that are worked on together."""

    number: int
    """From 1."""
    problems: Sequence[Problem]
    end: int = 0
    """Where the next one begins, for stages that read their problems from a file."""


class BatchRecord(NamedTuple):
    """What a stage says of a batch that it has written."""

    metrics: Mapping[str, float]
    """The batch's row of numbers."""
    state: Mapping[str, Any]
    """What the stage wants back when the run goes on; anything that JSON can hold."""
    shown: Mapping[str, Shown]
    """What stands beside the progress bar."""


class Passed(NamedTuple):
    """How many texts of models could be used, and why the others could not."""

    num_asked: int
    num_passed: int
    reasons: Mapping[str, int]

    def __str__(self) -> str:
        why = ", ".join(f"{count} x {reason!r}" for reason, count in Counter(self.reasons).most_common(_MOST_REASONS))
        share = f"{self.num_passed} of {self.num_asked} passed"
        return f"{share}; not used: {why}" if why else share

    def plus(self, other: "Passed") -> "Passed":
        """Both together."""
        reasons = Counter(self.reasons) + Counter(other.reasons)
        return Passed(self.num_asked + other.num_asked, self.num_passed + other.num_passed, reasons)

    def state(self) -> dict[str, int]:
        """The counts, for a checkpoint."""
        return {_ASKED: self.num_asked, _PASSED: self.num_passed}

    def check(self) -> None:
        """Raise ValueError where nothing passes, and enough was asked to say so."""
        if not self.num_passed and self.num_asked >= _ENOUGH:
            raise ValueError(
                f"nothing that the models wrote can be used: {self}. Look at one answer, mend model or prompt, and run "
                "it again"
            )


NOTHING_ASKED = Passed(0, 0, {})


class WorkedBatch(Protocol):
    """What came of a batch."""

    @property
    def passed(self) -> Passed:
        """How many of its texts could be used."""


class Spending(Protocol):
    """What a run knows of the models that it pays: `models.spending.PoolSpending`."""

    @property
    def window(self) -> int:
        """How many batches keep the models busy."""

    @property
    def asks_servers(self) -> bool:
        """Whether somebody else's machine answers, so that a run without use is not only this machine's time."""

    def agree(self, sample: _Sample, work: Callable[[Problem], WorkedBatch], stop: Stop, *, begun: bool) -> None:
        """Find out what the run will cost, and ask before much is spent, unless the run has `begun`; or `Stopped`."""

    def limited(self, where: Callable[[], str]) -> AbstractContextManager[None]:
        """Raises `Stopped` where the models say that the money is spent; `where` says how far the run is."""

    def shown(self, num_done: int) -> Mapping[str, Shown]:
        """For the progress bar, after `num_done` problems."""

    def cancel(self) -> object:
        """Let nobody wait for a model any more."""


class BatchedRun:
    """The batches of one run, from where an earlier process left off."""

    def __init__(
        self, run_dir: RunDir, num_problems: int, batch_size: int, *, ledgers: Mapping[str, int], spending: Spending
    ) -> None:
        """`ledgers` are the files beside the traces, with their lengths as long as no batch is recorded."""
        checkpoint = run_dir.latest_checkpoint()
        self._run = run_dir
        self._num_problems = num_problems
        self._spending = spending
        self.num_batches = checkpoint.step if checkpoint else 0
        """Batches that are recorded."""
        self.state: Mapping[str, Any] = checkpoint.extra if checkpoint else {}
        """What the stage said when it recorded the last one before this process; empty at the beginning."""
        self.ledgers: dict[str, Ledger] = {}
        """Open in the block, for `record` to write to."""
        self._lengths = {name: self.state.get(name, length) for name, length in ledgers.items()}
        # Kept over restarts: a run that goes on must end where one that was never stopped ends.
        self._passed = Passed(self.state.get(_ASKED, 0), self.state.get(_PASSED, 0), {})
        self._num_done = min(self.num_batches * batch_size, num_problems)
        self._stack = ExitStack()
        run_dir.total_steps = -(-num_problems // batch_size)

    def work(
        self,
        batches: Iterable[Batch],
        work: Callable[[Sequence[Problem]], _R],
        record: Callable[[Batch, _R], BatchRecord],
        *,
        sample: _Sample,
    ) -> None:
        """Work through the batches that are left.

        Args:
            batches: Those after the first `num_batches`.
            work: Everything that the stage asks about some problems; called in threads where the models allow it.
            record: Writes what came of a batch; called in order.
            sample: So many problems from everywhere in the data, for a pilot.

        Raises:
            Stopped: the user asked to stop, or the money is spent; the run is saved.
            ValueError: nothing that servers wrote can be used.
        """
        spending = self._spending
        with spending.limited(self._where), stop_signal() as stop:
            spending.agree(sample, lambda problem: work([problem]), stop, begun=bool(self.num_batches))
            worked = ordered_map(
                lambda batch: (batch, work(batch.problems)),
                batches,
                window=spending.window,
                stop=stop,
                cancel=spending.cancel,
            )
            with progress(self._num_problems, self._run.stage, done=self._num_done) as bar:
                for batch, result in worked:
                    self._passed = self._passed.plus(result.passed)
                    if spending.asks_servers:
                        self._passed.check()
                    recorded = record(batch, result)
                    self._save(batch, recorded)
                    bar.advance(len(batch.problems), **recorded.shown, **spending.shown(self._num_done))
            if stop.requested:
                raise Stopped(self._where())

    def _save(self, batch: Batch, recorded: BatchRecord) -> None:
        self.num_batches = batch.number
        self._num_done += len(batch.problems)
        self._run.log(batch.number, recorded.metrics)
        json_events.tell_event("step", stage=self._run.stage, step=batch.number, metrics=dict(recorded.metrics))
        lengths = {name: ledger.sync() for name, ledger in self.ledgers.items()}
        self._run.checkpoint(batch.number, _save_nothing, {**recorded.state, **lengths, **self._passed.state()})

    def _where(self) -> str:
        return f"after batch {self.num_batches} of {self._run.total_steps}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name, length in self._lengths.items():
                self.ledgers[name] = stack.enter_context(Ledger(self._run.path / name, num_bytes=length))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _save_nothing(_: Path) -> None:
    """State and lengths fit into the checkpoint's own file."""
