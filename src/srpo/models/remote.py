"""A model behind an OpenAI-compatible server as a `Generator`, for many threads, with a cache and a meter.

    server = ServerConfig(model="Qwen/Qwen2.5-VL-72B-Instruct", base_url="http://localhost:8000/v1")
    with ResponseCache("responses.sqlite") as cache, RemoteGenerator(server, cache=cache, meter=Meter()) as generator:
        generator.generate([request], Sampling(max_tokens=512))[0][0].text

Requests that fail for good are completions with an `error`: one bad picture must not end a run over 100,000 problems.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from srpo.core.records import Sampling
from srpo.models.cache import Answer, ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.failures import AccountError, RequestRefused, UnavailableError
from srpo.models.meter import Meter
from srpo.models.protocol import Completion, PromptInfo, Request
from srpo.models.remote_completions import completions_of, failed
from srpo.models.remote_request import Prepared, RequestBuilder, base_url, count_tokens
from srpo.runs.progress import note
from srpo.runs.secrets import hidden

if TYPE_CHECKING:
    from srpo.models.remote_client import Client

_GRACE_S = 5.0
_AHEAD = 2
"""Requests that are prepared, for each that can be under way: pictures are large."""


class Cancelled(Exception):  # noqa: N818  an outcome, not a fault
    """`cancel` was called. Answers that come within a few seconds of the end of the `with` still go to the cache."""


class _Connection(NamedTuple):
    """The client and the thread in which its event loop runs."""

    client: "Client"
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread

    def ask(self, prepared: Prepared) -> Future[Answer]:
        return asyncio.run_coroutine_threadsafe(self.client.ask(prepared), self.loop)


class RemoteGenerator:
    """Implements `InspectingGenerator` on a server; `generate` may be called by many threads at once."""

    def __init__(
        self, server: ServerConfig, *, cache: ResponseCache | None, meter: Meter, blocks: Sequence[str] = ()
    ) -> None:
        """Nothing is opened before the `with`.

        Args:
            server: What to ask, and how.
            cache: Where answers are kept; None asks every time.
            meter: Counts, and says when the money is spent.
            blocks: The blocks that a text should have (`srpo.models.structured`). Replies that hold them as JSON come
                back in tags; a `structured` server is told to write JSON.
        """
        self._server = server
        self._cache = cache
        self._meter = meter
        self._blocks = tuple(blocks)
        self._builder = RequestBuilder(server, blocks)
        self._window = threading.Semaphore(_AHEAD * server.concurrency)
        self._cancelled = threading.Event()
        self._connection: _Connection | None = None

    @property
    def name(self) -> str:
        """The served model's name."""
        return self._server.model

    def inspect(self, request: Request) -> PromptInfo:
        """Estimated length; what cannot be sent is a reason. Asks no server."""
        return self._builder.inspect(request)

    def count_tokens(self, text: str) -> int:
        """Estimated length; the server's tokenizer is not here."""
        return count_tokens(text)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Ask the server, or the cache.

        Raises:
            AccountError: the server refuses the account, the address or the model.
            UnavailableError: it did not answer for as long as patience lasts.
            BudgetSpent: the meter's limit leaves no room for one of the requests; the others are in the cache.
            Cancelled: `cancel` was called.
        """
        asked = [self._submit(request, sampling) for request in requests]
        wait([future for futures in asked if isinstance(futures, list) for future in futures])
        return [
            failed(request, futures)
            if isinstance(futures, str)
            else completions_of(request, [_answer(future) for future in futures], self._blocks)
            for request, futures in zip(requests, asked, strict=True)
        ]

    def ask(self, prepared: Sequence[Prepared]) -> list[Answer | str]:
        """Ask what was built elsewhere (`models.relay`); a text is the server's refusal. Raises as `generate` does."""
        futures = [self._start(one) for one in prepared]
        wait(futures)
        return [_answer(future) for future in futures]

    def cancel(self) -> None:
        """Send nothing more; whoever waits in `generate` gets `Cancelled`. From any thread."""
        self._cancelled.set()
        if self._connection is not None:
            self._connection.loop.call_soon_threadsafe(self._connection.client.stop)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            ValueError: the environment has no key for a server that needs one.
        """
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(_complain)
        thread = threading.Thread(target=loop.run_forever, name=f"remote {self.name}", daemon=True)
        thread.start()
        try:
            client = asyncio.run_coroutine_threadsafe(self._connect(), loop).result()
        except BaseException:
            _end(loop, thread)
            raise
        self._connection = _Connection(client, loop, thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        client, loop, thread = self._connection
        self._cancelled.set()
        asyncio.run_coroutine_threadsafe(client.close(_GRACE_S), loop).result()
        self._connection = None
        _end(loop, thread)

    def _submit(self, request: Request, sampling: Sampling) -> list[Future[Answer]] | str:
        """Start what one request needs; a text says why that is impossible."""
        prepared = self._builder.prepare(request, sampling, base_url(self._server))
        return prepared if isinstance(prepared, str) else [self._start(one) for one in prepared]

    def _start(self, prepared: Prepared) -> Future[Answer]:
        connection = self._connection
        assert connection is not None, "asked outside of the generator's with block"
        self._window.acquire()
        if self._cancelled.is_set():
            self._window.release()
            raise Cancelled
        future = connection.ask(prepared)
        future.add_done_callback(lambda _: self._window.release())
        return future

    async def _connect(self) -> "Client":
        from srpo.models.remote_client import Client

        return Client(self._server, cache=self._cache, meter=self._meter, stopped=self._cancelled.is_set)


def _complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line: asyncio's own report of what nobody awaits is a traceback with the request's headers."""
    error = context.get("exception")
    # Whoever asked is told of failures that have a kind.
    if not isinstance(error, AccountError | UnavailableError | RequestRefused | None):
        note(hidden(f"srpo: {context.get('message')}: {type(error).__name__}"))


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _answer(future: Future[Answer]) -> Answer | str:
    try:
        return future.result()
    except CancelledError:
        raise Cancelled from None
    except RequestRefused as error:
        return str(error)
