"""The side of a relay that has the models: it gives batches to workers, and asks for them.

Cache, money, rates, patience and keys are those of the one `ModelPool` that a run has. What an answer costs is set
aside before its request is sent, here, whoever wants it. A worker that is lost therefore takes no answer with it: what
it had asked for goes on, is paid once and kept, and another worker that begins the batch again finds it.
"""

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol

from srpo.core.records import Problem
from srpo.models.pool import ModelPool
from srpo.models.relay.work import R
from srpo.models.relay.worker import Done, ServerAnswers, WantedAnswers, absent_pictures
from srpo.models.remote import RemoteGenerator

_MOST_LOST = 3
"""Workers that one batch may lose: it may be what ends them."""


class WorkerLost(Exception):  # noqa: N818  an outcome: another takes its place
    """A worker is gone, with all that it knew; the text says why."""


class DistantWorker(Protocol[R]):
    """A `RelayWorker`, wherever it is; both methods raise what the work raises, and `WorkerLost`."""

    def begin(self, batch: int, problems: Sequence[Problem], absent: frozenset[str]) -> WantedAnswers | Done[R]:
        """Begin a batch."""
        ...

    def go_on(self, batch: int, answers: ServerAnswers) -> WantedAnswers | Done[R]:
        """Go on with it."""
        ...


class Workers(Protocol[R]):
    """Workers, of which lost ones are replaced."""

    def one(self) -> AbstractContextManager[DistantWorker[R]]:
        """The one with the fewest batches; it has one more while the block lasts."""
        ...


class Relay(Generic[R]):
    """Work that is done by workers."""

    def __init__(self, workers: Workers[R], pool: ModelPool) -> None:
        self._workers = workers
        self._pool = pool
        self._numbers = itertools.count(1)

    def work(self, problems: Sequence[Problem]) -> R:
        """What comes of the problems; may be called by many threads at once.

        Raises:
            ValueError: what the work raises, or problems over which one worker after another is lost.
        """
        lost = ""
        for _ in range(_MOST_LOST):
            with self._workers.one() as worker:
                try:
                    return self._work_with(worker, problems)
                except WorkerLost as error:
                    lost = str(error)
        raise ValueError(
            f"{_MOST_LOST} workers were lost over the {len(problems)} problems from {problems[0].id!r} to "
            f"{problems[-1].id!r}, the last with: {lost}. What was answered is kept, and the same command goes on; "
            "with engine local it works on them in this process"
        )

    def _work_with(self, worker: DistantWorker[R], problems: Sequence[Problem]) -> R:
        batch = next(self._numbers)
        step = worker.begin(batch, problems, absent_pictures(problems))
        while isinstance(step, WantedAnswers):
            model = self._pool.open(step.server, step.blocks)
            assert isinstance(model, RemoteGenerator), "a relay has servers alone"
            step = worker.go_on(batch, model.ask(step.requests))
        return step.result
