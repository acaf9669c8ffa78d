"""Runs that are ended in the middle."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from srpo.core.records import Sampling
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Completion, Request


class DiesAfter(FakeGenerator):
    """Stands for a killed process: the batch under way is lost."""

    def __init__(self, answer: Callable[[Request, int], str], batches: int) -> None:
        super().__init__(answer)
        self._left = batches

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().generate(requests, sampling)


@contextmanager
def interrupted(when: threading.Event) -> Iterator[None]:
    """Ctrl-C, once, as soon as `when` is set."""

    def strike() -> None:
        when.wait()
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    yield
    thread.join()
