"""A real HTTP server on loopback that speaks `/v1/chat/completions` and fails on purpose.

    with FaultServer(lambda body, sample: "<think>..</think>", faults=Faults(rate=0.3, seed=1)) as server:
        ServerConfig(model="m", base_url=server.base_url)
    assert server.num_paid_twice == 0

What it answers is a function of the request alone. Whether a request fails, and how, is a function of the seed, the
request and how often it was sent before, so that timing and restarts of the client change nothing. It runs in a thread
of its own; `python tests/support/fault_server.py` serves from another process and prints its address.
"""

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.support.wire_faults import WIRE

FaultKind = str
PASSING: tuple[FaultKind, ...] = ("429", "500", "malformed", "shapeless", "truncated", "stall", "closed")
"""Faults that another try cures; `400`, `quota` and `echo-key` (a 401 that repeats the key) are for good."""
ALL_PASSING: tuple[FaultKind, ...] = (*PASSING, "reset", *WIRE)
"""With those below HTTP and beside it."""
Body = dict[str, Any]
Answer = Callable[[Body, int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which share of the requests fails, and how."""

    rate: float = 0.0
    kinds: tuple[FaultKind, ...] = PASSING
    seed: int = 0
    most_per_request: int = 4
    """The same request fails at most so often, so that a client with as many retries always gets its answer."""
    retry_after: str = "0"
    """The header that comes with a 429."""
    stall_s: float = 30.0
    """How long a stalled request is held before the connection is closed."""

    def of(self, key: str, arrival: int) -> FaultKind | None:
        """What happens to a request at its `arrival`-th time (from 0)."""
        if arrival >= self.most_per_request:
            return None
        digest = hashlib.blake2b(f"{self.seed}/{key}/{arrival}".encode(), digest_size=16).digest()
        if int.from_bytes(digest[:8], "big") >= self.rate * 2**64:
            return None
        return self.kinds[digest[8] % len(self.kinds)]


NO_FAULTS = Faults()


def numbered(body: Body, sample: int) -> str:
    """The default answer: other requests and other samples give other texts."""
    return f"answer {request_key(body)[:12]} {sample}"


def request_key(body: Body) -> str:
    """Hash of all that is in a request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def prompt_text(body: Body) -> str:
    """All texts of a request's messages, joined by newlines."""
    parts = []
    for message in body["messages"]:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
    return "\n".join(parts)


class FaultServer:
    """The server; its counts may be read at any time."""

    def __init__(
        self,
        answer: Answer = numbered,
        *,
        faults: Faults = NO_FAULTS,
        keep: bool = False,
        choices: int | None = None,
        breaks: tuple[int, FaultKind] | None = None,
        poison: Callable[[Body], bool] | None = None,
    ) -> None:
        """`answer(body, sample)` writes a text; `keep` keeps all requests, with their headers, in `requests`; `choices`
        is how many samples are sent whatever `n` asks for; `breaks=(n, fault)` lets every request fail that way once
        `n` were answered; requests for which `poison` is true always get a 500."""
        self.answer = answer
        self.faults = faults
        self.received: Counter[str] = Counter()
        """Requests by key, failed ones included."""
        self.answered: Counter[str] = Counter()
        """Good answers written, by key: what a provider would bill."""
        self.faulted: Counter[str] = Counter()
        """Faults by kind."""
        self.most_at_once = 0
        """Most requests that were being worked on at the same time."""
        self.requests: list[tuple[dict[str, str], Body]] | None = [] if keep else None
        self.hold = threading.Event()
        """While clear, no good answer is sent; set at the start."""
        self.hold.set()
        self.breaks = breaks
        self._poison = poison
        self._choices = choices
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, name="fault-server", daemon=True)
        self._ready = threading.Event()

    @property
    def base_url(self) -> str:
        """What goes into `ServerConfig.base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def num_paid_twice(self) -> int:
        """Good answers beyond the first to the same request."""
        return sum(self.answered.values()) - len(self.answered)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        listening = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self, self._connections), "127.0.0.1", 0, backlog=1024)
        )
        self._port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listening.close()
        for connection in list(self._connections):
            connection.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        # Lets the cancelled tasks and the closed transports end.
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def respond(self, connection: "_Connection", headers: dict[str, str], content: bytes) -> None:
        """Answer one request, or fail in the way that is its turn."""
        body = json.loads(content)
        key = request_key(body)
        fault = self.faults.of(key, self.received[key])
        if self.breaks is not None and sum(self.answered.values()) >= self.breaks[0]:
            fault = self.breaks[1]
        if self._poison is not None and self._poison(body):
            fault = "500"
        self.received[key] += 1
        if self.requests is not None:
            self.requests.append((headers, body))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if fault is not None:
                self.faulted[fault] += 1
                await self._fail(connection, fault, headers, body)
                return
            while not self.hold.is_set():
                await asyncio.sleep(0.001)
            self.answered[key] += 1
            connection.send(200, self._completion(body, key))
        finally:
            self._at_once -= 1

    async def _fail(self, connection: "_Connection", fault: FaultKind, headers: dict[str, str], body: Body) -> None:
        whole = self._completion(body, "x")
        match fault:
            case "429":
                connection.send(429, _error("slow down"), f"Retry-After: {self.faults.retry_after}\r\n")
            case "truncated":
                connection.send(200, whole, cut=25)
            case "stall":
                await asyncio.sleep(self.faults.stall_s)
                connection.close()
            case "closed":
                connection.close()
            case "reset":
                connection.abort()
            case _ if fault in WIRE:
                connection.write_and_close(WIRE[fault](whole))
            case _:
                key = headers.get("authorization", "").removeprefix("Bearer ")
                replies = {
                    "500": (500, _error("out of luck")),
                    "malformed": (200, whole[:-20] + b"}}}"),
                    "shapeless": (200, b'{"object":"chat.completion","choices":null}'),
                    "400": (400, _error("picture too large")),
                    "quota": (429, _error("no money left", "insufficient_quota")),
                    "echo-key": (401, _error(f"invalid key {key}")),
                }
                connection.send(*replies[fault])

    def _completion(self, body: Body, key: str) -> bytes:
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 1_000_000
        choices, num_out = [], 0
        for sample in range(self._choices or body.get("n", 1)):
            words = self.answer(body, sample)
            short = len(words.split()) <= most
            text = words if short else " ".join(words.split()[:most])
            num_out += len(text.split())
            message = {"role": "assistant", "content": text}
            choices.append({"index": sample, "message": message, "finish_reason": "stop" if short else "length"})
        num_in = len(prompt_text(body).split())
        usage = {"prompt_tokens": num_in, "completion_tokens": num_out, "total_tokens": num_in + num_out}
        reply = {"id": key[:12], "object": "chat.completion", "created": 0, "model": body["model"]}
        return json.dumps({**reply, "choices": choices, "usage": usage}).encode()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as little of it as clients need."""

    def __init__(self, server: FaultServer, open_ones: "set[_Connection]") -> None:
        self._server = server
        self._open = open_ones
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")[1:]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < size:
                return
            content, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            task = asyncio.get_running_loop().create_task(self._server.respond(self, headers, content))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def send(self, status: int, content: bytes, extra: str = "", *, cut: int = 0) -> None:
        """Write a response; with `cut` its last bytes are missing and the connection is closed."""
        if self._transport is None or self._transport.is_closing():
            return
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{extra}\r\n"
        self._transport.write(head.encode() + content[: len(content) - cut])
        if cut:
            self.close()

    def write_and_close(self, data: bytes) -> None:
        """Write something that need not be HTTP."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            self.close()

    def abort(self) -> None:
        """Break the connection off, as a host that restarts does."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        if self._transport is not None:
            self._transport.close()


def _error(message: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": "fault", "code": code}}).encode()


def main() -> None:
    """Serve instant answers until standard input ends."""
    import sys

    with FaultServer() as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
