"""One HTTP request until it is answered: limits, money, retries. Everything here runs in one event loop."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from srpo.models.cache import Answer, NotKept, ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.failures import AccountError, RequestRefused, UnavailableError, kind_of
from srpo.models.meter import Meter
from srpo.models.remote_controls import Controls, shortened
from srpo.models.remote_limits import Rate, backoff_s, retry_after_s
from srpo.models.remote_reply import DamagedReplyError, ErrorReplyError, read_reply, text_left, usage_of, words_of
from srpo.models.remote_request import Prepared, base_url, count_tokens
from srpo.models.remote_transport import Broken, Transport, is_good
from srpo.models.remote_usual import Usual
from srpo.models.secret_fields import filled, filled_address
from srpo.runs.progress import note
from srpo.runs.secrets import hidden, keep_proxies_secret, keep_secret

_SAID_APART_S = 30.0
"""Waiting for a server is said aloud, so often."""
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
            ValueError: the server needs a key, or a field names one, and the environment has none.
        """
        self._server = server
        self._cache = cache
        self._meter = meter
        self._stopped = stopped
        self._extra = filled(server.extra_body, "extra_body")
        """With the keys that the config only names."""
        self._transport = Transport(
            completions_url(server), api_key(server), connections=server.concurrency, timeout_s=server.timeout_s
        )
        self._room = asyncio.Semaphore(server.concurrency)
        self._requests = Rate(server.rpm) if server.rpm else None
        self._tokens = Rate(server.tpm) if server.tpm else None
        self._usual = Usual()
        self._controls = Controls()
        self._first = asyncio.Lock()
        """Held by one request at a time while money is limited and nobody knows what requests cost."""
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
            self._usual.learn(prepared, known)
            self._controls.learn(prepared)
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
        await self._transport.close()

    async def _ask(self, prepared: Prepared) -> Answer:
        began = asyncio.get_running_loop().time()
        for retry in itertools.count():
            try:
                async with self._room:
                    answer = await self._try(prepared)
                self._controls.learn(prepared)
                return answer
            except _Again as again:
                waited_s = asyncio.get_running_loop().time() - began
                if retry >= self._server.max_retries and waited_s >= self._server.patience_s:
                    tries = f"{retry + 1} tries in {waited_s:.0f} s"
                    if await self._is_alone(prepared):
                        self._meter.count_failure()
                        raise RequestRefused(f"{again} ({tries}, while others were answered)") from None
                    raise self._end(
                        UnavailableError, f"{again} ({tries}, about problem {prepared.problem!r})"
                    ) from None
                if self._stopped():
                    raise asyncio.CancelledError from None
                self._meter.count_retry()
                wait_s = (
                    backoff_s(self._server.backoff_s, retry, prepared.key) if again.after_s is None else again.after_s
                )
                self._say(f"{again}; trying again in {wait_s:.1f} s", retry)
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _is_alone(self, prepared: Prepared) -> bool:
        """Whether a request fails by itself: one like it that was answered before is answered every time even now."""
        control = self._controls.control_for(prepared)
        if control is None or not self._server.skip_failing:
            return False
        for short in shortened(control, prepared, self._server.max_tokens_field):
            if self._stopped():
                raise asyncio.CancelledError
            try:
                async with self._room:
                    await self._try(short)
            except (_Again, RequestRefused):
                return False
        return self._controls.blame()

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
        guess = sum(self._usual.guess(prepared))
        await self._wait_for_turn(guess)
        if self._meter.is_limited and not self._usual.known:
            async with self._first:
                if not self._usual.known:
                    return await self._pay(prepared, guess)
        return await self._pay(prepared, guess)

    async def _pay(self, prepared: Prepared, guess: float) -> Answer:
        """Send with the money for it set aside; it is booked before what was set aside is given back."""
        while not self._meter.reserve(most_usd := self._meter.usd(*self._usual.most(prepared))):
            await asyncio.sleep(_MONEY_POLL_S)
        try:
            if self._cache is not None and self._cache.failure is not None:
                self._ended = self._ended or self._cache.failure
            if self._ended is not None:
                raise self._ended
            self._sending.add(prepared.key)
            answer = await self._send(prepared)
        finally:
            self._sending.discard(prepared.key)
            self._meter.release(most_usd)
        self._usual.learn(prepared, answer)
        if self._tokens is not None:
            self._tokens.correct(answer.num_in + answer.num_out - guess)
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
            got = await self._transport.post({**prepared.body, **self._extra})
        except Broken as broken:
            if broken.answered:
                self._book_lost(prepared, broken.body)
            raise _Again(_clean(str(broken))) from None
        if not is_good(got.status):
            raise self._refused(got.status, words_of(got.body), got.headers)
        try:
            answer = read_reply(got.body, prepared.num_in)
        except ErrorReplyError as error:
            # Some are billed for what was written until then.
            self._book_lost(prepared, got.body)
            raise self._refused(error.status, str(error), got.headers) from None
        except DamagedReplyError as error:
            self._book_lost(prepared, got.body)
            raise _Again(str(error)) from None
        usd = self._meter.book(prepared.problem, answer.num_in, answer.num_out)
        if self._cache is not None:
            try:
                self._cache.put(prepared.key, answer, model=self._server.model, usd=usd)
            except NotKept as error:
                # What cannot be kept would be bought again: not one request more, of any model.
                self._ended = self._ended or error
                raise
        return answer

    def _book_lost(self, prepared: Prepared, body: bytes) -> None:
        """Book an answer of which nothing can be kept, as far as one can tell what it took."""
        tokens = usage_of(body)
        if tokens is None:
            text = text_left(body)
            if text is None:
                return
            tokens = self._usual.of_text(prepared, count_tokens(text)) if text else self._usual.guess(prepared)
        usd = self._meter.book_lost(prepared.problem, *tokens)
        if self._cache is not None:
            try:
                self._cache.count_lost(model=self._server.model, usd=usd)
            except NotKept as error:
                self._ended = self._ended or error
                raise

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


def completions_url(server: ServerConfig) -> str:
    """Where requests go, with the keys that the address only names; raises ValueError where one is not there."""
    parts = urlsplit(filled_address(base_url(server), "base_url"))
    return parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions").geturl()
