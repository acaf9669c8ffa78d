"""One HTTP request until it is answered: limits, money, retries. Everything here runs in one event loop.

The `openai` package does the talking, through its aiohttp transport (twice the requests per second of its default) and
its raw `post` (its typed replies cost another half). Its own retries are off: ours know the meter and the limits.
"""

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import openai

from srpo.models.cache import Answer, ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.failures import AccountError, RequestRefused, UnavailableError, kind_of
from srpo.models.meter import Meter
from srpo.models.remote_limits import Rate, backoff_s, retry_after_s
from srpo.models.remote_reply import DamagedReplyError, ErrorReplyError, read_reply, usage_of
from srpo.models.remote_request import Prepared, base_url
from srpo.runs.progress import note
from srpo.runs.secrets import hidden, keep_proxies_secret, keep_secret

_SAID_APART_S = 30.0
"""Waiting for a server is said aloud, so often."""
_FIRST_GUESS = 0.25
"""Share of max_tokens that an answer is assumed to use until one has arrived."""
_MONEY_POLL_S = 0.02
_MAX_ERROR_CHARS = 500
_QUIET_TRIES = 2
"""Retries of a request that are not said aloud."""


class _Again(Exception):  # noqa: N818
    """Worth another try, after `after_s` where the server said so."""

    def __init__(self, what: str, after_s: float | None = None) -> None:
        super().__init__(what)
        self.after_s = after_s


class Client:
    """Sends requests to one server; made and used inside of a running loop."""

    def __init__(
        self, server: ServerConfig, *, cache: ResponseCache | None, meter: Meter, stopped: Callable[[], bool]
    ) -> None:
        """After `stopped()` nothing new is sent.

        Raises:
            ValueError: the server needs a key, and the environment has none.
        """
        self._server = server
        self._cache = cache
        self._meter = meter
        self._stopped = stopped
        key = api_key(server)
        limits = httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=server.concurrency)
        self._openai = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=base_url(server),
            max_retries=0,
            timeout=None,  # `_send` has the one deadline; aiohttp's errors then are what they say
            # A redirect would take key and pictures to another place.
            http_client=openai.DefaultAioHttpClient(limits=limits, timeout=None, follow_redirects=False),
        )
        self._room = asyncio.Semaphore(server.concurrency)
        self._requests = Rate(server.rpm) if server.rpm else None
        self._tokens = Rate(server.tpm) if server.tpm else None
        self._usual_share = _FIRST_GUESS
        self._resume_at = 0.0
        self._said_at = -_SAID_APART_S
        self._ended: Exception | None = None
        """Why nothing more is sent: what one request met, all would meet."""
        self._tasks: dict[bytes, asyncio.Task[Answer]] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        self._sending: set[bytes] = set()

    async def ask(self, prepared: Prepared) -> Answer:
        """The answer, from the cache or the server; those who ask the same at the same time share one request.

        Raises:
            RequestRefused: the server refuses this request for good.
            AccountError, UnavailableError: it would refuse every other too, or is not there.
            BudgetSpent: the meter's limit leaves no room.
            CancelledError: stopped.
        """
        if self._stopped():
            raise asyncio.CancelledError
        if self._ended is not None:
            raise self._ended
        if self._cache is not None and (known := self._cache.get(prepared.key)) is not None:
            self._meter.count_cached(prepared.problem, known.num_in, known.num_out)
            return known
        task = self._tasks.get(prepared.key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(prepared))
            self._tasks[prepared.key] = task
            task.add_done_callback(lambda _: self._tasks.pop(prepared.key))
        me = asyncio.current_task()
        assert me is not None
        self._asking.add(me)
        try:
            return await asyncio.shield(task)
        finally:
            self._asking.discard(me)

    def stop(self) -> None:
        """Wake up all who wait. What was sent goes on, because it is paid: its answer belongs in the cache."""
        for waiting in self._asking:
            waiting.cancel()
        for key, task in self._tasks.items():
            if key not in self._sending:
                task.cancel()

    async def close(self, grace_s: float) -> None:
        """Give requests under way `grace_s` seconds to be answered, then end them."""
        self.stop()
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks.values()), timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._openai.close()

    async def _ask(self, prepared: Prepared) -> Answer:
        began = asyncio.get_running_loop().time()
        for retry in itertools.count():
            try:
                async with self._room:
                    return await self._try(prepared)
            except _Again as again:
                waited_s = asyncio.get_running_loop().time() - began
                if retry >= self._server.max_retries and waited_s >= self._server.patience_s:
                    tries = f"{retry + 1} tries in {waited_s:.0f} s, about problem {prepared.problem!r}"
                    raise self._end(UnavailableError, f"{again} ({tries})") from None
                if self._stopped():
                    raise asyncio.CancelledError from None
                self._meter.count_retry()
                wait_s = (
                    backoff_s(self._server.backoff_s, retry, prepared.key) if again.after_s is None else again.after_s
                )
                self._say(f"{again}; trying again in {wait_s:.1f} s", retry)
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    def _end(self, kind: type[AccountError | UnavailableError], what: str) -> Exception:
        """Send nothing more, whoever asks: the others would meet the same."""
        self._meter.count_failure()
        if self._ended is None:
            self._ended = kind(
                f"{self._server.model} at {hidden(base_url(self._server))}: {what}. What was answered is "
                "kept and nothing else is recorded; the same command goes on"
            )
        return self._ended

    def _say(self, what: str, retry: int) -> None:
        """Tell whoever watches why nothing moves; the first few tries are nobody's business."""
        now = asyncio.get_running_loop().time()
        if retry >= _QUIET_TRIES and now - self._said_at >= _SAID_APART_S:
            self._said_at = now
            note(f"srpo: {self._server.model}: {what}")

    async def _try(self, prepared: Prepared) -> Answer:
        guess = prepared.num_in + self._usual_share * prepared.num_out
        await self._wait_for_turn(guess)
        most_usd = self._meter.usd(prepared.num_in, prepared.num_out)
        while not self._meter.reserve(most_usd):
            await asyncio.sleep(_MONEY_POLL_S)
        if self._ended is not None:
            self._meter.release(most_usd)
            raise self._ended
        self._sending.add(prepared.key)
        try:
            answer = await self._send(prepared)
        finally:
            self._sending.discard(prepared.key)
            self._meter.release(most_usd)
        if self._tokens is not None:
            self._tokens.correct(answer.num_in + answer.num_out - guess)
            # A slow moving average: one long answer says little about the next.
            self._usual_share += 0.1 * (answer.num_out / prepared.num_out - self._usual_share)
        return answer

    async def _wait_for_turn(self, num_tokens: float) -> None:
        now = asyncio.get_running_loop().time
        waits_s = [self._resume_at - now()]
        if self._requests is not None:
            waits_s.append(self._requests.take(1, now()))
        if self._tokens is not None:
            waits_s.append(self._tokens.take(num_tokens, now()))
        if (wait_s := max(waits_s)) > 0:
            await asyncio.sleep(wait_s)

    async def _send(self, prepared: Prepared) -> Answer:
        try:
            async with asyncio.timeout(self._server.timeout_s):
                response = await self._openai.post("/chat/completions", body=prepared.body, cast_to=httpx2.Response)
        except TimeoutError:
            raise _Again(f"no answer within {self._server.timeout_s:g} s") from None
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, _words_of(error), error.response.headers) from None
        except Exception as error:
            cause = error.__cause__ or error
            raise _Again(_clean(f"connection failed: {type(cause).__name__}: {cause}")) from None
        try:
            answer = read_reply(response.content, prepared.num_in)
        except ErrorReplyError as error:
            raise self._refused(error.status, str(error), response.headers) from None
        except DamagedReplyError as error:
            if (billed := usage_of(response.content)) is not None:
                self._meter.book(prepared.problem, *billed)
            raise _Again(str(error)) from None
        usd = self._meter.book(prepared.problem, answer.num_in, answer.num_out)
        self._keep(prepared, answer, usd)
        return answer

    def _keep(self, prepared: Prepared, answer: Answer, usd: float) -> None:
        if self._cache is None:
            return
        try:
            self._cache.put(prepared.key, answer, model=self._server.model, usd=usd)
        except sqlite3.Error as error:
            # What cannot be kept would be bought again: not one request more.
            raise self._end(UnavailableError, f"its answers cannot be kept ({error})") from None

    def _refused(self, status: int, words: str, headers: Mapping[str, str]) -> Exception:
        what = _clean(f"HTTP {status}: {words}")
        match kind_of(status, words):
            case "request":
                self._meter.count_failure()
                return RequestRefused(what)
            case "account":
                return self._end(AccountError, what)
            case "moment":
                after_s = retry_after_s(headers, time.time())
                if after_s is not None:
                    # A server that asks for a day is asked again sooner; patience ends it, not the server.
                    after_s = min(after_s, self._server.max_retry_after_s)
                    # The others would run into the same wall.
                    self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + after_s)
                return _Again(what, after_s)


def _clean(text: str) -> str:
    return hidden(text)[:_MAX_ERROR_CHARS]


def _words_of(error: openai.APIStatusError) -> str:
    """Code, type and message of an error response."""
    code = getattr(error, "code", None)
    return f"{error.message}{f' ({code})' if code and str(code) not in error.message else ''}"


def api_key(server: ServerConfig) -> str:
    """The key from the environment; empty where none is needed: plain http, which no vendor serves.

    Raises:
        ValueError: it is not there.
    """
    keep_proxies_secret(os.environ)
    key = os.environ.get(server.api_key_env, "").strip()
    keep_secret(key)
    if not key and not base_url(server).startswith("http://"):
        raise ValueError(
            f"{server.model}: the environment has no {server.api_key_env}; export it with the server's key"
        )
    return key
