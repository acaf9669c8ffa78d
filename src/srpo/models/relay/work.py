"""What a stage does about some problems, as a value: opened in this process, or sent to where there are more CPUs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from srpo.core.records import Problem
from srpo.models.config import ServerConfig
from srpo.models.protocol import InspectingGenerator

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Opener(Protocol):
    """Opens models: a `ModelPool`, or the `RelayPool` of a worker that has none."""

    def open(self, model: str | ServerConfig, blocks: Sequence[str] = ()) -> InspectingGenerator:
        """The model behind a server or in a directory; `blocks` are what its texts are made of."""
        ...


class Work(Protocol[R_co]):
    """All that a stage asks and decides about some problems; it writes nothing. Can be pickled."""

    def open(self, models: Opener) -> AbstractContextManager[Callable[[Sequence[Problem]], R_co]]:
        """The work itself, while the block lasts; called by many threads at once where the models allow it."""
        ...
