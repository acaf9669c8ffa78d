r"""math-verify as the grader's last resort, in worker processes that can be killed.

math-verify sets its own alarms, which work on the main thread only and cancel the caller's; some inputs keep it busy
for as long as it is let. So it runs in child processes without its alarms, and the limit is ours: CPU time of the
worker, not wall time, so that a verdict does not depend on how busy the machine is. A worker that spends it ends, is
counted, and is replaced when the next question comes. Nothing is started before it is needed.

    >>> with SymbolicPool() as symbolic:
    ...     symbolic.verify(r"\sum_{k=1}^{3} k", "6")
    True
"""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from srpo.grading.patterns import pattern
from srpo.grading.rules.route import OutOfTime

MAX_ANSWERS = 10_000
"""Answers that a pool keeps: the responses of a group give the same answer again and again."""
_MAX_CHARS = 400
_MAX_NESTING = 12
_MAX_DIGITS = 40
_START_DEADLINE_S = 600.0
_WALL_FACTOR = 200.0
"""Wall seconds for each second of CPU time, until a worker that gets no CPU at all is given up."""
_TOWER = pattern(r"\^[^+\-=,]{0,40}\^[^+\-=,]{0,40}\^|\^\s?\{?\s?\d{4,}|\d{3,}\s?!|!\s?!", yes="9^9^9^9", no="x^2+y^2")


def is_risky(text: str) -> bool:
    """Could the text keep a computer algebra system busy: towers of powers, large factorials, deep nesting?"""
    if len(text) > _MAX_CHARS or _TOWER.search(text) or re.search(rf"\d{{{_MAX_DIGITS},}}", text):
        return True
    depth = deepest = 0
    for c in text:
        depth += (c in "{[(") - (c in "}])")
        deepest = max(deepest, depth)
    return deepest > _MAX_NESTING


class _Worker:
    """One child process. A thread reads its answers, so that waiting can have a deadline on every platform."""

    def __init__(self) -> None:
        source_root = str(Path(__file__).resolve().parents[2])
        paths = [source_root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "srpo.grading.symbolic_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self.process.stdout is not None
        self.reader = threading.Thread(target=_read_lines, args=(self.process.stdout, self.lines), daemon=True)
        self.reader.start()

    def receive(self, deadline_s: float) -> str | None:
        """The next line, or None when the deadline passes or the process ends."""
        try:
            return self.lines.get(timeout=deadline_s)
        except queue.Empty:
            return None

    def ask(self, question: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _read_lines(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    # ValueError: the pipe was closed while we were reading
    with contextlib.suppress(ValueError, OSError):
        for line in stream:
            lines.put(line)
    lines.put(None)


def _kill_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().kill()


class SymbolicPool:
    """Implements `SymbolicVerifier`. Safe to call from many threads; each call uses one worker."""

    def __init__(self, *, num_workers: int = 1, cpu_s: float = 5.0) -> None:
        """Prepare a pool; processes start when they are needed. `cpu_s` is the CPU time that one question may take.

        A question that was answered is not asked again; one that took too long is.
        """
        if num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {num_workers!r}")
        if cpu_s <= 0:
            raise ValueError(f"cpu_s must be positive, not {cpu_s!r}")
        self.cpu_s = cpu_s
        self.num_calls = 0
        """Questions that a worker was asked."""
        self.num_timeouts = 0
        """Questions that were not answered in their CPU time; their workers are gone."""
        self.num_refused = 0
        """Questions that were too risky to ask."""
        self.num_workers = num_workers
        self._answers: OrderedDict[tuple[str, str], bool | None] = OrderedDict()
        # The worker that was used last comes first, so that no second one starts while one is idle.
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(num_workers):
            self._slots.put(None)
        self._alive: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False
        self._finalizer = weakref.finalize(self, _kill_all, self._alive)

    def verify(self, gold: str, prediction: str) -> bool | None:
        """Are the two LaTeX texts equal? None when they cannot be read, or are too risky to ask about.

        Raises:
            OutOfTime: the worker spent its CPU time, or did not start.
        """
        if is_risky(gold) or is_risky(prediction):
            with self._lock:
                self.num_refused += 1
            return None
        asked = (gold, prediction)
        with self._lock:
            if asked in self._answers and not self._closed:
                self._answers.move_to_end(asked)
                return self._answers[asked]
        answer = self._ask(gold, prediction)
        with self._lock:
            self._answers[asked] = answer
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        return answer

    def _ask(self, gold: str, prediction: str) -> bool | None:
        worker = self._slots.get()
        try:
            with self._lock:
                self.num_calls += 1
                if self._closed:
                    raise ValueError("the symbolic pool is closed; make a new one")
            worker = worker or self._start()
            answer = None if worker is None else self._exchange(worker, json.dumps([gold, prediction, self.cpu_s]))
            if answer is None:
                worker = None
                with self._lock:
                    self.num_timeouts += 1
                raise OutOfTime
            return answer if isinstance(answer, bool) else None
        finally:
            self._slots.put(worker)

    def _exchange(self, worker: _Worker, question: str) -> bool | str | None:
        """The worker's answer; `"unknown"` when it could not tell; None when it is gone."""
        with contextlib.suppress(OSError, ValueError):
            worker.ask(question)
            line = worker.receive(_WALL_FACTOR * self.cpu_s)
            if line is not None:
                return {"true": True, "false": False}.get(line.strip(), "unknown")
        self._discard(worker)
        return None

    def _start(self) -> _Worker | None:
        worker = _Worker()
        with self._lock:
            self._alive.append(worker)
        if worker.receive(_START_DEADLINE_S) == "ready\n":
            return worker
        self._discard(worker)
        return None

    def _discard(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self._alive:
                self._alive.remove(worker)
        worker.kill()

    @property
    def num_workers_alive(self) -> int:
        """Child processes that are running now."""
        with self._lock:
            return sum(worker.process.poll() is None for worker in self._alive)

    def close(self) -> None:
        """Kill all workers; further questions are an error."""
        with self._lock:
            self._closed = True
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
