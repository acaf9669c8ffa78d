"""One HTTP request until it is answered: limits, money, retries. Everything here runs in one event loop.

The `openai` package does the talking, through its aiohttp transport (twice the requests per second of its default) and
its raw `post` (its typed replies cost another half). Its own retries are off: ours know the meter and the limits.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai
from pydantic import BaseModel, Field

from srpo.models.cache import Answer, Choice, ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.meter import Meter
from srpo.models.remote_limits import Rate, backoff_s, retry_after_s
from srpo.models.remote_request import Prepared, base_url, count_tokens

_RETRIED = frozenset({408, 409, 425, 429})
_NO_MONEY = "insufficient_quota"
"""A 429 that waiting does not cure."""
_FIRST_GUESS = 0.25
"""Share of max_tokens that an answer is assumed to use until one has arrived."""
_MONEY_POLL_S = 0.02
_MAX_ERROR_CHARS = 500


class Failed(Exception):  # noqa: N818  an outcome, told as `Completion.error`
    """The request failed for good; the text says why and holds no key."""


class _Again(Exception):  # noqa: N818
    """Worth another try, after `after_s` where the server said so."""

    def __init__(self, what: str, after_s: float | None = None) -> None:
        super().__init__(what)
        self.after_s = after_s


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _WireChoice(BaseModel):
    index: int = 0
    message: _Message
    finish_reason: str | None = None


class _WireUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int = 0


class _Reply(BaseModel):
    """The part of a chat completion that we read."""

    choices: list[_WireChoice] = Field(min_length=1)
    usage: _WireUsage | None = None


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
        self._key = api_key(server)
        limits = httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=server.concurrency)
        self._openai = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=base_url(server),
            max_retries=0,
            timeout=None,  # `_send` has the one deadline; aiohttp's errors then are what they say
            http_client=openai.DefaultAioHttpClient(limits=limits, timeout=None),
        )
        self._room = asyncio.Semaphore(server.concurrency)
        self._requests = Rate(server.rpm) if server.rpm else None
        self._tokens = Rate(server.tpm) if server.tpm else None
        self._usual_share = _FIRST_GUESS
        self._resume_at = 0.0
        self._tasks: dict[bytes, asyncio.Task[Answer]] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        self._sending: set[bytes] = set()

    async def ask(self, prepared: Prepared) -> Answer:
        """The answer, from the cache or the server; those who ask the same at the same time share one request.

        Raises:
            Failed: for good.
            BudgetSpent: the meter's limit leaves no room.
            CancelledError: stopped.
        """
        if self._stopped():
            raise asyncio.CancelledError
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
        for retry in itertools.count():
            try:
                async with self._room:
                    return await self._try(prepared)
            except _Again as again:
                if retry == self._server.max_retries:
                    self._meter.count_failure()
                    raise Failed(f"{again} ({retry + 1} tries)") from None
                if self._stopped():
                    raise asyncio.CancelledError from None
                self._meter.count_retry()
                wait_s = (
                    backoff_s(self._server.backoff_s, retry, prepared.key) if again.after_s is None else again.after_s
                )
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _try(self, prepared: Prepared) -> Answer:
        guess = prepared.num_in + self._usual_share * prepared.num_out
        await self._wait_for_turn(guess)
        most_usd = self._meter.usd(prepared.num_in, prepared.num_out)
        while not self._meter.reserve(most_usd):
            await asyncio.sleep(_MONEY_POLL_S)
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
        except openai.APIConnectionError as error:
            raise _Again(self._without_key(f"connection failed: {error.__cause__ or error}")) from None
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        try:
            answer = _read(response.content, prepared)
        except ValueError:
            raise _Again("damaged answer: not a chat completion") from None
        usd = self._meter.book(prepared.problem, answer.num_in, answer.num_out)
        if self._cache is not None:
            self._cache.put(prepared.key, answer, model=self._server.model, usd=usd)
        return answer

    def _refused(self, error: openai.APIStatusError) -> _Again | Failed:
        what = self._without_key(f"HTTP {error.status_code}: {error.message}")[:_MAX_ERROR_CHARS]
        if (error.status_code not in _RETRIED and error.status_code < 500) or error.code == _NO_MONEY:
            self._meter.count_failure()
            return Failed(what)
        after_s = retry_after_s(error.response.headers, time.time())
        if after_s is not None:
            # The others would run into the same wall.
            self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + after_s)
        return _Again(what, after_s)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def api_key(server: ServerConfig) -> str:
    """The key from the environment; empty where none is needed: plain http, which no vendor serves.

    Raises:
        ValueError: it is not there.
    """
    key = os.environ.get(server.api_key_env, "").strip()
    if not key and not base_url(server).startswith("http://"):
        raise ValueError(
            f"{server.model}: the environment has no {server.api_key_env}; export it with the server's key"
        )
    return key


def _read(content: bytes, prepared: Prepared) -> Answer:
    """Parse a chat completion; ValueError when it is none."""
    reply = _Reply.model_validate_json(content)
    choices = tuple(
        Choice(text=one.message.content or "", finish=one.finish_reason or "", refusal=one.message.refusal or "")
        for one in sorted(reply.choices, key=lambda choice: choice.index)
    )
    if reply.usage is None:
        return Answer(choices=choices, num_in=prepared.num_in, num_out=sum(count_tokens(one.text) for one in choices))
    return Answer(choices=choices, num_in=reply.usage.prompt_tokens, num_out=reply.usage.completion_tokens)
