"""A generator that ends its process in the middle of a run."""

from collections.abc import Callable, Sequence

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
