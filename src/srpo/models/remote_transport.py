"""One HTTP exchange with a server, behind a wall: what comes out is a status with a bounded body, or `Broken`.

The HTTP layer is the aiohttp client that comes with the `openai` package (twice the requests per second of its
default). It raises what it likes, with requests and their keys in the reprs, so nothing that it raises gets through.
"""

import asyncio
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx2
import openai

from srpo import __version__
from srpo.runs.secrets import hidden

MAX_BODY_BYTES = 32 * 2**20
"""An answer of a million tokens is smaller."""
_MAX_ERROR_BYTES = 64 * 2**10
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 307, 308})


class Got(NamedTuple):
    """A reply as it came."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes
    """Unpacked; of an error, the beginning."""


class Broken(Exception):  # noqa: N818  an outcome of sending
    """No whole reply came."""

    def __init__(self, what: str, *, answered: bool = False, body: bytes = b"") -> None:
        """`answered` tells whether the server wrote an answer, as far as one can tell; `body` is what came of it."""
        super().__init__(hidden(what))
        self.answered = answered
        self.body = body


class Transport:
    """Posts JSON to one address; made and used inside of a running loop."""

    def __init__(self, url: str, key: str, *, connections: int, timeout_s: float) -> None:
        """`timeout_s` is for an exchange with all its redirects."""
        self._url = url
        self._timeout_s = timeout_s
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A packed body can be a bomb, and answers are small.
            "Accept-Encoding": "identity",
            "User-Agent": f"srpo/{__version__}",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        }
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = openai.DefaultAioHttpClient(limits=limits, timeout=None, follow_redirects=False)

    async def post(self, body: dict[str, Any]) -> Got:
        """Send `body`; redirects inside of the same origin are followed, others come back as they are.

        Raises:
            Broken: anything that is no whole reply.
        """
        arrived = bytearray()
        head: list[int] = []
        try:
            content = json.dumps(body).encode()
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(content, head, arrived)
        except TimeoutError:
            # Whoever takes that long is writing an answer, which is billed.
            what = f"no answer within {self._timeout_s:g} s"
            raise Broken(what, answered=not head or is_good(head[0]), body=bytes(arrived)) from None
        except Exception as error:  # the wall: no list of types is complete
            raise Broken(_said(error), answered=any(map(is_good, head)), body=bytes(arrived)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _follow(self, content: bytes, head: list[int], arrived: bytearray) -> Got:
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            got = await self._exchange(url, content, head, arrived)
            target = urljoin(url, got.headers.get("location", ""))
            if got.status not in _REDIRECTS or target == url or origin(target) != origin(url):
                return got
            url = target
        return got

    async def _exchange(self, url: str, content: bytes, head: list[int], arrived: bytearray) -> Got:
        head.clear()
        arrived.clear()
        request = self._client.build_request("POST", url, content=content, headers=self._headers)
        response = await self._client.send(request, stream=True)
        try:
            head.append(response.status_code)
            most = MAX_BODY_BYTES if is_good(response.status_code) else _MAX_ERROR_BYTES
            async for piece in response.aiter_raw():
                arrived += piece
                if len(arrived) > most:
                    break
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        if len(arrived) > most and is_good(response.status_code):
            raise _TooLarge
        return Got(response.status_code, headers, _unpacked(headers.get("content-encoding", ""), arrived, most))


class _TooLarge(Exception):  # noqa: N818
    def __str__(self) -> str:
        return f"the reply is longer than {MAX_BODY_BYTES // 2**20} MiB"


def is_good(status: int) -> bool:
    """Whether a status stands before an answer."""
    return 200 <= status < 300


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, which must not change while a key is on its way."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def shown_address(url: str) -> str:
    """An address for people, without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _unpacked(encoding: str, packed: bytes | bytearray, most: int) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            return bytes(packed[:most])
        case "gzip" | "x-gzip" | "deflate":
            # Some call the bare stream `deflate`, others the one with a head.
            bare = encoding.strip().lower() == "deflate" and packed[:1] != b"\x78"
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
            body = unpacker.decompress(packed, most + 1)
            if len(body) > most:
                raise _TooLarge
            if not unpacker.eof:
                raise ValueError("the packed reply is cut off")
            return body
        case other:
            raise ValueError(f"the reply is packed as {other!r}, which was not asked for")


def _said(error: Exception) -> str:
    """What an exception says, but not its repr: that may hold the request with its key."""
    if isinstance(error, _TooLarge | ValueError) and not isinstance(error, UnicodeError):
        return str(error)
    words = str(error.__cause__ or error) or type(error).__name__
    return f"connection failed: {words}"
