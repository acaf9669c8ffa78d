"""Requests to a vLLM server: many at once, again while the failure is of this moment. Needs no torch.

client = VllmClient("http://127.0.0.1:8101", key="", timeout_s=600, patience_s=300)
answers = client.post_all("/inference/v1/generate", bodies)
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from srpo.models.failures import AccountError, RequestRefused, UnavailableError, kind_of
from srpo.models.remote_limits import backoff_s
from srpo.models.remote_reply import words_of
from srpo.runs.secrets import hidden

if TYPE_CHECKING:
    from srpo.models.remote_transport import Got, Transport

Body = dict[str, Any]

_CONNECTIONS = 256
_FIRST_WAIT_S = 0.5
_MAX_ERROR_CHARS = 600


class UnknownModelError(AccountError):
    """The server has no model of this name: it is another server, or one that forgot what was handed over."""


class VllmClient:
    """Posts JSON to one server."""

    def __init__(
        self,
        root: str,
        *,
        key: str = "",
        timeout_s: float,
        patience_s: float,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        """Nothing is opened before the first request.

        Args:
            root: Address before `/v1`.
            key: For servers that want one.
            timeout_s: Longest wait for one answer.
            patience_s: For so long a request that fails is sent again.
            is_gone: Whether it is known that no answer can come any more.
        """
        self._root = root
        self._key = key
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._is_gone = is_gone

    def post(self, path: str, body: Body | None = None) -> Any:
        """What the server answers to one request; see `post_all`."""
        return self.post_all(path, [body or {}])[0]

    def post_all(self, path: str, bodies: Sequence[Body]) -> list[Any]:
        """What the server answers to these requests, in order; the first that fails for good ends all of them.

        Raises:
            RequestRefused: the server does not take such a request.
            UnknownModelError: it does not know the model.
            AccountError: it refuses the key or has no such path.
            UnavailableError: it is gone, or did not answer for as long as patience lasts.
        """
        return asyncio.run(self._post_all(path, bodies))

    async def _post_all(self, path: str, bodies: Sequence[Body]) -> list[Any]:
        from srpo.models.remote_transport import Transport

        connections = min(_CONNECTIONS, max(1, len(bodies)))
        transport = Transport(self._root + path, self._key, connections=connections, timeout_s=self._timeout_s)
        tasks = [asyncio.create_task(self._answered(transport, path, body)) for body in bodies]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await transport.close()

    async def _answered(self, transport: "Transport", path: str, body: Body) -> Any:
        from srpo.models.remote_transport import Broken, is_good

        give_up_at = time.monotonic() + self._patience_s
        retry = 0
        while True:
            try:
                got = await transport.post(body)
                if is_good(got.status):
                    return _read(got.body)
                what = _refusal(got, path)
            except Broken as broken:
                what = str(broken)
            except ValueError as error:
                if isinstance(error, AccountError):
                    raise
                what = f"damaged answer: {error}"
            wait_s = backoff_s(_FIRST_WAIT_S, retry, path.encode())
            if self._is_gone() or time.monotonic() + wait_s > give_up_at:
                raise UnavailableError(f"{self._root}{path}: {hidden(what)[:_MAX_ERROR_CHARS]}")
            await asyncio.sleep(wait_s)
            retry += 1


def _read(content: bytes) -> Any:
    """The JSON of an answer; a text for answers that are none."""
    if content[:1] not in {b"{", b"[", b'"'}:
        return content.decode(errors="replace")
    return json.loads(content)


def _refusal(got: "Got", path: str) -> str:
    """What a server says that may think otherwise in a moment; raises what is for good."""
    words = words_of(got.body)
    what = hidden(f"{path}: HTTP {got.status}: {words}")[:_MAX_ERROR_CHARS]
    if got.status == 404 and "does not exist" in words:
        raise UnknownModelError(what)
    match kind_of(got.status, words):
        case "request":
            raise RequestRefused(what)
        case "account":
            raise AccountError(what)
        case "moment":
            return what
