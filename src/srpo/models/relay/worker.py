"""A worker without models: it reads pictures, builds requests, grades answers, and asks whoever gave it the problems.

    worker = RelayWorker(work, address)
    step = worker.begin(1, problems)
    while isinstance(step, WantedAnswers):
        step = worker.go_on(1, [...])  # what the server answered
    step.result

It sends nothing and knows no key. All that it knows of a batch is how far it is: when it is lost, another one begins
the batch again and comes to the same requests, whose answers are kept where they were paid.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, NamedTuple

from srpo.core.records import DRAWN, Problem, Sampling
from srpo.models.cache import Answer
from srpo.models.config import ServerConfig
from srpo.models.protocol import Completion, InspectingGenerator, PromptInfo, Request
from srpo.models.relay.work import R, Work
from srpo.models.remote_completions import completions_of, failed
from srpo.models.remote_request import Prepared, RequestBuilder, count_tokens

ServerAnswers = Sequence[Answer | str]
"""Of the requests in order; a text is the server's refusal."""


class WantedAnswers(NamedTuple):
    """What a batch wants to know next."""

    server: ServerConfig
    blocks: tuple[str, ...]
    requests: tuple[Prepared, ...]


class Done(NamedTuple, Generic[R]):
    """A batch's end."""

    result: R


class _Failed(NamedTuple):
    error: BaseException


class _Talk:
    """Between the thread that works on a batch and those who bring it answers."""

    def __init__(self) -> None:
        self._said: SimpleQueue[object] = SimpleQueue()
        self._heard: SimpleQueue[ServerAnswers] = SimpleQueue()

    def ask(self, question: WantedAnswers) -> ServerAnswers:
        """Of the batch's thread: say what is wanted, and wait for it."""
        self._said.put(question)
        return self._heard.get()

    def say(self, last: object) -> None:
        """Of the batch's thread: how it ended."""
        self._said.put(last)

    def hear(self, answers: ServerAnswers) -> None:
        """What was asked for."""
        self._heard.put(answers)

    def next(self) -> object:
        """Wait for what the batch says."""
        return self._said.get()


class RelayPool:
    """Opens generators that let somebody else ask the servers."""

    def __init__(self, address: str) -> None:
        """`address` is that of servers whose configuration has none."""
        self.opened: list[tuple[ServerConfig, tuple[str, ...]]] = []
        """Servers and ways of asking them, each once, in order."""
        self.talks = threading.local()
        """Its `talk` is that of the batch on which the thread works."""
        self._address = address

    def open(self, model: str | ServerConfig, blocks: Sequence[str] = ()) -> InspectingGenerator:
        """A generator for the server; ValueError for a model on this machine."""
        if isinstance(model, str):
            raise ValueError(
                f"engine ray: {model!r} is a checkpoint, which one process samples; serve it (docs/vllm.md) and name "
                "the server, {model: NAME, base_url: ...}, or leave engine at local"
            )
        # As `ModelPool.open` has it.
        found = (model, tuple(blocks) if model.structured else ())
        if found not in self.opened:
            self.opened.append(found)
        return _RelayGenerator(*found, model.base_url or self._address, self._ask)

    def _ask(self, question: WantedAnswers) -> ServerAnswers:
        talk: _Talk = self.talks.talk
        return talk.ask(question)


class _RelayGenerator:
    """Implements `InspectingGenerator` for the batch on which the calling thread works."""

    def __init__(
        self, server: ServerConfig, blocks: tuple[str, ...], address: str, ask: Callable[[WantedAnswers], ServerAnswers]
    ) -> None:
        self._server = server
        self._blocks = blocks
        self._address = address
        self._ask = ask
        self._builder = RequestBuilder(server, blocks)

    @property
    def name(self) -> str:
        return self._server.model

    def inspect(self, request: Request) -> PromptInfo:
        return self._builder.inspect(request)

    def count_tokens(self, text: str) -> int:
        return count_tokens(text)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        built = [self._builder.prepare(request, sampling, self._address) for request in requests]
        asked = tuple(one for found in built if not isinstance(found, str) for one in found)
        answers = iter(self._ask(WantedAnswers(self._server, self._blocks, asked)) if asked else ())
        return [
            failed(request, found)
            if isinstance(found, str)
            else completions_of(request, [next(answers) for _ in found], self._blocks)
            for request, found in zip(requests, built, strict=True)
        ]


class RelayWorker(Generic[R]):
    """Works on several batches at once, each in a thread that mostly waits for answers."""

    def __init__(self, work: Work[R], address: str, folder: Path) -> None:
        """`folder` is the current directory of the one who asks, from which the paths of pictures count."""
        with suppress(OSError):
            os.chdir(folder)
        self._pool = RelayPool(address)
        # Open as long as the process lives.
        self._stack = ExitStack()
        self._work = self._stack.enter_context(work.open(self._pool))
        self._talks: dict[int, _Talk] = {}

    def begin(self, batch: int, problems: Sequence[Problem], absent: Collection[str] = ()) -> WantedAnswers | Done[R]:
        """Work on a batch until it needs an answer, or is done.

        Args:
            batch: By which `go_on` knows it; a new number every time.
            problems: Whatever is to be worked on together.
            absent: Pictures that the one who asks cannot see either.

        Raises:
            ValueError: what the work itself raises, or a picture that is not here.
        """
        for ref in _files(problems):
            if ref not in absent and not Path(ref).exists():
                raise ValueError(
                    f"engine ray: the worker on {os.uname().nodename} does not see the picture {ref!r}; pictures must "
                    "lie where all machines see them under the same path"
                )
        talk = self._talks[batch] = _Talk()
        threading.Thread(target=self._run, args=(talk, problems), name=f"batch {batch}", daemon=True).start()
        return self._next(batch)

    def go_on(self, batch: int, answers: ServerAnswers) -> WantedAnswers | Done[R]:
        """Go on with a batch that asked; raises as `begin` does."""
        self._talks[batch].hear(answers)
        return self._next(batch)

    def _run(self, talk: _Talk, problems: Sequence[Problem]) -> None:
        self._pool.talks.talk = talk
        try:
            talk.say(Done(self._work(problems)))
        except BaseException as error:  # the thread ends, and who waits for it is told
            talk.say(_Failed(error))

    def _next(self, batch: int) -> WantedAnswers | Done[R]:
        said = self._talks[batch].next()
        if isinstance(said, WantedAnswers):
            return said
        del self._talks[batch]
        if isinstance(said, _Failed):
            raise said.error
        assert isinstance(said, Done)
        return said


def absent_pictures(problems: Sequence[Problem]) -> frozenset[str]:
    """The pictures of the problems that this machine does not see."""
    return frozenset(ref for ref in _files(problems) if not Path(ref).exists())


def _files(problems: Sequence[Problem]) -> Iterator[str]:
    return (ref for problem in problems for ref in problem.images if not ref.startswith(DRAWN))
