"""Workers as actors of a Ray cluster.

Plain actors, not Ray Data: a run needs its batches in order, a checkpoint after each, and a way back from a worker to
the one process that pays. `map_batches` hides the actors and has none of the three.

Nothing but problems, requests and answers travels. Keys stay with the command, and it alone writes.
"""

import concurrent.futures
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic

from srpo.core.records import Problem
from srpo.models.config import RayConfig, ServerConfig
from srpo.models.pool import ModelPool
from srpo.models.relay.driver import Relay, WorkerLost
from srpo.models.relay.work import R, Work
from srpo.models.relay.worker import Done, RelayPool, RelayWorker, ServerAnswers, WantedAnswers
from srpo.models.remote import Cancelled
from srpo.models.remote_request import base_url
from srpo.runs.progress import note

_POLL_S = 1.0
"""How soon a stop is noticed while a worker works."""
_SLOW_START_S = 30.0
_MOST_FAILED_STARTS = 3


@contextmanager
def open_on_ray(work: Work[R], pool: ModelPool, cluster: RayConfig) -> Iterator[Callable[[Sequence[Problem]], R]]:
    """The work, done by actors that ask the servers through `pool`.

    Raises:
        ValueError: a model that is no server, no cluster at the address, or workers that cannot start.
    """
    address = base_url(ServerConfig(model="any"))
    opened = RelayPool(address)
    with work.open(opened):
        pass
    # Keys, prices and meters are settled before a cluster is asked for anything.
    for server, blocks in opened.opened:
        pool.open(server, blocks)
    with _cluster(cluster) as num_cpus:
        num_workers = cluster.num_workers or num_cpus
        note(f"srpo: {num_workers} worker{'s' * (num_workers > 1)} on Ray, which has {num_cpus} CPUs")
        actors = _Actors(work, address, pool, num_workers)
        try:
            yield Relay(actors, pool).work
        finally:
            actors.end()


@contextmanager
def _cluster(cluster: RayConfig) -> Iterator[int]:
    """Connected to Ray, unless the process is already; yields how many CPUs it has."""
    import ray

    if ray.is_initialized():
        yield _num_cpus()
        return
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=cluster.address or None, include_dashboard=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"ray.address {cluster.address!r}: Ray cannot be reached: {error}") from error
    finally:
        # Ray makes an exit of it, at any place; a run ends at a checkpoint.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)
    try:
        yield _num_cpus()
    finally:
        ray.shutdown()


def _num_cpus() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


class _Actor(Generic[R]):
    """Implements `DistantWorker` on a handle."""

    def __init__(self, handle: Any, lost: "Callable[[_Actor[R], str], None]", cancelled: threading.Event) -> None:
        self.handle = handle
        self.ready: concurrent.futures.Future[object] = handle.__ray_ready__.remote().future()
        self.num_batches = 0
        self._lost = lost
        self._cancelled = cancelled

    def begin(self, batch: int, problems: Sequence[Problem], absent: frozenset[str]) -> WantedAnswers | Done[R]:
        return self._wait(self.handle.begin.remote(batch, problems, absent))

    def go_on(self, batch: int, answers: ServerAnswers) -> WantedAnswers | Done[R]:
        return self._wait(self.handle.go_on.remote(batch, answers))

    def _wait(self, reference: Any) -> WantedAnswers | Done[R]:
        from ray.exceptions import RayError, RayTaskError

        future: concurrent.futures.Future[WantedAnswers | Done[R]] = reference.future()
        while True:
            try:
                return future.result(timeout=_POLL_S)
            except RayTaskError as error:
                # What the work says to users, without the actor's traceback around it.
                raise (error.cause if isinstance(error.cause, ValueError) else error) from None
            except RayError as error:
                why = _last_line(error)
                self._lost(self, why)
                raise WorkerLost(why) from error
            except concurrent.futures.TimeoutError:
                if self._cancelled.is_set():
                    raise Cancelled from None


class _Actors(Generic[R]):
    """Implements `Workers`."""

    def __init__(self, work: Work[R], address: str, pool: ModelPool, num_workers: int) -> None:
        import ray

        # Of everything that a batch can be, one is at work in the actor; the others wait for answers.
        self._class = ray.remote(num_cpus=1, max_concurrency=pool.window + 1)(RelayWorker)
        # Sent once, however many actors there are.
        self._arguments = (ray.put(work), address, Path.cwd())
        self._cancelled = pool.cancelled
        self._lock = threading.Lock()
        self._num_failed_starts = 0
        self._actors = [self._start() for _ in range(num_workers)]

    @contextmanager
    def one(self) -> Iterator[_Actor[R]]:
        """The ready one with the fewest batches.

        Raises:
            ValueError: none can start.
            Cancelled: the run was stopped before one was ready.
        """
        actor = self._take()
        try:
            yield actor
        finally:
            with self._lock:
                actor.num_batches -= 1

    def end(self) -> None:
        """End them all, whatever they do."""
        import ray

        for actor in self._actors:
            ray.kill(actor.handle)

    def _take(self) -> _Actor[R]:
        began_s, said = time.monotonic(), False
        while not self._cancelled.is_set():
            with self._lock:
                ready = [one for one in self._actors if one.ready.done() and self._is_up(one)]
                if ready:
                    actor = min(ready, key=lambda one: one.num_batches)
                    actor.num_batches += 1
                    return actor
                waiting = [one.ready for one in self._actors]
            if not said and time.monotonic() - began_s > _SLOW_START_S:
                note("srpo: waiting for Ray to start a worker; each needs a free CPU")
                said = True
            concurrent.futures.wait(waiting, timeout=_POLL_S, return_when=concurrent.futures.FIRST_COMPLETED)
        raise Cancelled

    def _is_up(self, actor: _Actor[R]) -> bool:
        """Whether one that has tried to start did; another takes the place of one that did not."""
        error = actor.ready.exception()
        if error is None:
            return True
        self._num_failed_starts += 1
        if self._num_failed_starts >= _MOST_FAILED_STARTS:
            raise ValueError(
                f"engine ray: {self._num_failed_starts} workers could not start, the last with: {_last_line(error)}. "
                "Every machine of the cluster needs this srpo, in the environment in which Ray runs"
            ) from error
        self._put_another(actor)
        return False

    def _lose(self, actor: _Actor[R], why: str) -> None:
        """Put another in the place of a lost one; all who wait for it come here."""
        import ray

        with self._lock:
            if actor not in self._actors:
                return
            self._put_another(actor)
        note(
            f"srpo: a worker was lost ({why}); another takes its place, and its {actor.num_batches} batches begin again"
        )
        # One that cannot be reached may be alive.
        ray.kill(actor.handle)

    def _put_another(self, actor: _Actor[R]) -> None:
        self._actors[self._actors.index(actor)] = self._start()

    def _start(self) -> _Actor[R]:
        return _Actor(self._class.remote(*self._arguments), self._lose, self._cancelled)


def _last_line(error: BaseException) -> str:
    """Ray's errors are pages; what happened stands at the end."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
