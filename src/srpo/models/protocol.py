"""What every text generator looks like: a local checkpoint, a remote server, a scripted teacher.

One call takes a batch and returns results in the same order, so that a local policy can batch and a server can run
requests concurrently behind the same interface.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from srpo.core.records import Problem, Record, Sampling


class Message(Record):
    """One turn of a conversation. Pictures of the problem stand before the text of the first user turn."""

    role: Literal["system", "user", "assistant"]
    text: str


class Request(Record):
    """Ask for `num_samples` continuations of one conversation about one problem's pictures."""

    problem: Problem
    """Carries the picture references; a scripted teacher also reads the solution from it."""
    messages: tuple[Message, ...]
    num_samples: int = 1


class Completion(NamedTuple):
    """One generated text."""

    text: str
    num_tokens: int
    """Generated tokens, the end-of-sequence token included."""
    truncated: bool
    """True when `max_tokens` ended it."""
    error: str | None = None
    """Why there is no text; then `text` is empty. A local model never has one."""


class Generator(Protocol):
    """prompt -> text."""

    @property
    def name(self) -> str:
        """Model name or checkpoint directory, as it goes into `Origin`."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Return, for each request in order, its `num_samples` completions."""
        ...


class PromptInfo(NamedTuple):
    """What a generator makes of a request before it generates."""

    num_tokens: int
    """Length of the prompt, image tokens included; 0 when it cannot be used."""
    reason: str | None = None
    """Why the request cannot be answered, None when it can."""
    notes: tuple[str, ...] = ()
    """What had to be done to the pictures."""


class InspectingGenerator(Generator, Protocol):
    """A generator that can be asked about a request first: the stages refuse by name what it cannot take."""

    def inspect(self, request: Request) -> PromptInfo:
        """Encode the request without generating."""
        ...

    def count_tokens(self, text: str) -> int:
        """Length of a text in the model's tokens."""
        ...
