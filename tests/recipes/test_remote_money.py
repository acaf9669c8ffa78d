"""Money and bodies: what is billed is booked whatever comes of it, and no reply is larger than it may be."""

import gzip
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from srpo.core.budget import Price
from srpo.core.records import Problem, Sampling
from srpo.models.cache import NotKept, ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.failures import AccountError, UnavailableError
from srpo.models.meter import BudgetSpent, Meter
from srpo.models.protocol import Message, Request
from srpo.models.remote import RemoteGenerator
from srpo.models.remote_transport import MAX_BODY_BYTES
from tests.support.fault_server import FaultServer

DEAR = Price(usd_per_million_in=0, usd_per_million_out=1000)


class Sent(NamedTuple):
    """A reply, to the last byte."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    """So many bytes of it never come."""


class Odd(ThreadingHTTPServer):
    """Sends what `replies` yields, and counts what it billed."""

    daemon_threads = True

    def __init__(self, reply: "list[Sent] | Sent") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = [reply] if isinstance(reply, Sent) else reply
        self.num_sent = 0
        self.lock = threading.Lock()
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Odd)
        self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            sent = server.replies[server.num_sent % len(server.replies)]
            server.num_sent += 1
            server.paths.append(self.path)
        self.send_response(sent.status)
        for name, value in sent.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent.body)))
        self.end_headers()
        self.wfile.write(sent.body[: len(sent.body) - sent.cut])
        self.close_connection = bool(sent.cut)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def odd(reply: "list[Sent] | Sent") -> Iterator[Odd]:
    with Odd(reply) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(url: str, **fields: object) -> ServerConfig:
    base = {"model": "m", "base_url": url, "backoff_s": 0, "patience_s": 0, "max_retries": 0, "concurrency": 8}
    return ServerConfig.model_validate({**base, **fields})


def many(count: int) -> list[Request]:
    return [
        Request(
            problem=Problem(id=str(i), question="q", answer="1"), messages=(Message(role="user", text=f"problem {i}"),)
        )
        for i in range(count)
    ]


def completion(text: str, num_out: int | None) -> bytes:
    usage = {} if num_out is None else {"prompt_tokens": 3, "completion_tokens": num_out}
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}}], "usage": usage}).encode()


GOOD = completion("seven words of an answer to this", 100)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Sent(GOOD, cut=25), id="cut off"),
        pytest.param(Sent(GOOD[:-20] + b"}}}"), id="malformed"),
        pytest.param(Sent(GOOD[:40], cut=10), id="cut off early"),
    ],
)
def test_the_limit_holds_when_most_answers_do_not_arrive_whole(tmp_path: Path, damage: Sent) -> None:
    """Six of ten answers are billed and lost, at ten cents each."""
    replies = [Sent(GOOD), damage, damage, Sent(GOOD), damage, damage, Sent(GOOD), damage, Sent(GOOD), damage]
    with odd(replies) as server, ResponseCache(tmp_path / "c") as cache:
        meter = Meter(DEAR, max_usd=20.0)
        config = settings(server.url, max_retries=50)
        with RemoteGenerator(config, cache=cache, meter=meter) as generator, pytest.raises(BudgetSpent):
            generator.generate(many(400), Sampling(max_tokens=100))
        billed = 0.1 * server.num_sent
        assert 0.9 * 20 <= billed <= 1.03 * 20
        paid = cache.paid()["m"]
        assert paid.num_lost == meter.usage.num_lost > 90
        assert paid.usd + paid.lost_usd == pytest.approx(meter.spent_usd), "a run that goes on knows of it"


def test_the_limit_holds_when_thinking_is_billed_beyond_max_tokens() -> None:
    with odd(Sent(completion("7", 730))) as server:
        meter = Meter(DEAR, max_usd=20.0)
        with RemoteGenerator(settings(server.url), cache=None, meter=meter) as generator, pytest.raises(BudgetSpent):
            generator.generate(many(400), Sampling(max_tokens=100))
        assert 0.9 * 20 <= 0.73 * server.num_sent <= 1.03 * 20


def test_without_usage_the_limit_holds_by_estimate() -> None:
    with odd(Sent(completion("word " * 100, None))) as server:
        meter = Meter(DEAR, max_usd=20.0)
        with RemoteGenerator(settings(server.url), cache=None, meter=meter) as generator, pytest.raises(BudgetSpent):
            generator.generate(many(400), Sampling(max_tokens=200))
        assert meter.spent_usd <= 20
        assert 100 <= server.num_sent <= 160, "a word of five bytes is one token, or one and a half"


def test_a_page_of_a_proxy_is_billed_to_nobody() -> None:
    with odd(Sent(b"<html>Please log in</html>")) as server:
        meter = Meter(DEAR, max_usd=20.0)
        error = pytest.raises(UnavailableError, match="damaged answer")
        with RemoteGenerator(settings(server.url), cache=None, meter=meter) as generator, error:
            generator.generate(many(1), Sampling())
        assert meter.spent_usd == 0


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Sent(b" " * (MAX_BODY_BYTES + 1)), id="plain"),
        pytest.param(Sent(gzip.compress(b" " * 2**28, 9), headers=(("Content-Encoding", "gzip"),)), id="packed"),
    ],
)
def test_bodies_are_bounded(reply: Sent) -> None:
    error = pytest.raises(UnavailableError, match="the reply is longer than 32 MiB")
    with odd(reply) as server, RemoteGenerator(settings(server.url), cache=None, meter=Meter()) as generator, error:
        generator.generate(many(1), Sampling())


def test_packed_answers_are_read() -> None:
    reply = Sent(gzip.compress(GOOD), headers=(("Content-Encoding", "gzip"),))
    with odd(reply) as server, RemoteGenerator(settings(server.url), cache=None, meter=Meter()) as generator:
        ((one,),) = generator.generate(many(1), Sampling())
    assert one.text == "seven words of an answer to this"


def test_redirects_are_followed_inside_of_the_origin_alone() -> None:
    with odd(Sent(GOOD)) as other, odd([Sent(b"", 307, (("Location", "/v2/chat"),)), Sent(GOOD)]) as server:
        with RemoteGenerator(settings(server.url), cache=None, meter=Meter()) as generator:
            ((one,),) = generator.generate(many(1), Sampling())
        assert one.error is None
        assert server.paths == ["/v1/chat/completions", "/v2/chat"]
        away = Sent(b"", 308, (("Location", f"{other.url}/chat/completions"),))
        error = pytest.raises(AccountError, match="HTTP 308")
        with odd(away) as lost, RemoteGenerator(settings(lost.url), cache=None, meter=Meter()) as generator, error:
            generator.generate(many(1), Sampling())
        assert other.num_sent == 0


def test_nothing_is_sent_after_the_first_answer_that_cannot_be_kept(tmp_path: Path) -> None:
    with FaultServer() as server, ResponseCache(tmp_path / "c") as cache:
        with sqlite3.connect(tmp_path / "c") as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(FAIL, 'disk full'); END"
            )
        connection.close()
        config = settings(server.base_url, concurrency=4)
        with RemoteGenerator(config, cache=cache, meter=Meter()) as generator, pytest.raises(NotKept) as caught:
            generator.generate(many(100), Sampling())
        other = RemoteGenerator(settings(server.base_url, model="other"), cache=cache, meter=Meter())
        with other as generator, pytest.raises(NotKept):
            generator.generate(many(1), Sampling())
        assert re.search(r"answers cannot be kept in '.*c': disk full", str(caught.value))
        assert sum(server.received.values()) <= 4
