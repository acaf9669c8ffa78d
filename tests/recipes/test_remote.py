"""The remote generator against a real server on loopback."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from srpo.core.budget import Price
from srpo.core.records import Problem, Sampling
from srpo.models.cache import ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.failures import AccountError, UnavailableError
from srpo.models.meter import BudgetSpent, Meter
from srpo.models.protocol import Completion, Message, Request
from srpo.models.remote import Cancelled, RemoteGenerator
from srpo.models.structured import TEACHER_BLOCKS
from tests.support.fault_server import Answer, FaultKind, Faults, FaultServer, numbered, prompt_text

SAMPLING = Sampling(temperature=0.5, max_tokens=50, seed=3)


def ask(text: str, num_samples: int = 1, **problem: object) -> Request:
    problem = {"id": text, "question": text, "answer": "1", **problem}
    return Request(problem=Problem(**problem), messages=(Message(role="user", text=text),), num_samples=num_samples)


def many(count: int) -> list[Request]:
    return [ask(f"problem {i}") for i in range(count)]


@contextmanager
def connected(
    server: FaultServer, cache: ResponseCache | None = None, meter: Meter | None = None, **fields: object
) -> Iterator[RemoteGenerator]:
    settings = {
        "model": "m",
        "base_url": server.base_url,
        "backoff_s": 0.0,
        "patience_s": 0,
        "api_key_env": "SRPO_TEST_KEY",
    }
    settings |= fields
    with RemoteGenerator(ServerConfig(**settings), cache=cache, meter=meter or Meter()) as generator:
        yield generator


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def echo(body: dict[str, Any], sample: int) -> str:
    return f"{prompt_text(body)} / {sample}"


def test_answers_come_back_in_order() -> None:
    with FaultServer(echo, keep=True) as server, connected(server, concurrency=4) as generator:
        found = generator.generate([ask("a", 2), ask("b c"), ask("d", 3)], SAMPLING)
        assert found == [
            [Completion("a / 0", 3, False), Completion("a / 1", 3, False)],
            [Completion("b c / 0", 4, False)],
            [Completion(f"d / {i}", 3, False) for i in range(3)],
        ]
        assert generator.name == "m"
        assert server.requests is not None
        body = next(body for _, body in server.requests if prompt_text(body) == "a")
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "a"}],
            "max_tokens": 50,
            "temperature": 0.5,
            "seed": 3,
            "n": 2,
        }


def test_what_runs_into_max_tokens_is_truncated() -> None:
    with FaultServer(lambda *_: "one two three") as server, connected(server) as generator:
        found = generator.generate([ask("a")], Sampling(max_tokens=2))
    assert found == [[Completion("one two", 2, truncated=True)]]


def test_faults_change_nothing_but_the_number_of_tries(tmp_path: Path) -> None:
    requests = [*many(30), *many(30)]
    with FaultServer() as server, connected(server) as generator:
        undisturbed = generator.generate(requests, SAMPLING)
    faults = Faults(rate=0.5, seed=1, stall_s=0.01)
    with FaultServer(faults=faults) as server, ResponseCache(tmp_path / "c") as cache:
        meter = Meter()
        with connected(server, cache, meter) as generator:
            disturbed = generator.generate(requests, SAMPLING)
        assert disturbed == undisturbed
        assert set(server.faulted) == {"429", "500", "malformed", "shapeless", "truncated", "stall", "closed"}
        assert meter.usage.num_retries == sum(server.faulted.values())
        assert (meter.usage.num_requests, meter.usage.num_failed, server.num_paid_twice) == (30, 0, 0)
        with connected(server, cache, again := Meter()) as generator:
            assert generator.generate(requests, SAMPLING) == undisturbed
        assert server.num_paid_twice == 0
        assert again.usage[:5] == (0, 60, 0, 0, 0)


def always(kind: FaultKind) -> FaultServer:
    return FaultServer(faults=Faults(rate=1.0, kinds=(kind,), most_per_request=99, stall_s=3600))


def test_a_request_that_is_refused_is_a_completion_with_its_error() -> None:
    with always("400") as server:
        meter = Meter()
        with connected(server, meter=meter) as generator:
            ((one, two),) = generator.generate([ask("a", 2)], SAMPLING)
        assert one == two == Completion("", 0, False, error=one.error)
        assert one.error is not None
        assert one.error.startswith("HTTP 400: ")
        assert "picture too large" in one.error
        assert (sum(server.received.values()), meter.usage.num_retries, meter.usage.num_failed) == (1, 0, 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        pytest.param("quota", "HTTP 429: .*insufficient_quota", id="no money on the account"),
        pytest.param("echo-key", r"HTTP 401: .*invalid key \*\*\*", id="no such key"),
    ],
)
def test_what_every_request_would_meet_stops_at_once(
    kind: FaultKind, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRPO_TEST_KEY", "sk-1234567890abcdef")
    with always(kind) as server, connected(server, concurrency=2) as generator:
        with pytest.raises(AccountError, match=error) as caught:
            generator.generate(many(40), SAMPLING)
        assert "sk-12345678" not in str(caught.value)
        assert sum(server.received.values()) <= 2
        with pytest.raises(AccountError, match=error):
            generator.generate([ask("another")], SAMPLING)
        assert sum(server.received.values()) <= 2


def test_a_server_in_trouble_stops_the_run_when_patience_ends() -> None:
    meter = Meter()
    with always("500") as server, connected(server, meter=meter, max_retries=2) as generator:
        with pytest.raises(UnavailableError, match=r"HTTP 500: .*out of luck.* \(3 tries in 0 s, about problem 'a'\)"):
            generator.generate([ask("a", 2)], SAMPLING)
        assert (sum(server.received.values()), meter.usage.num_retries, meter.usage.num_failed) == (3, 2, 1)


def test_patience_is_time_as_well_as_tries() -> None:
    with always("500") as server:
        began = time.monotonic()
        error = pytest.raises(UnavailableError, match=r"out of luck .*\(\d+ tries")
        with connected(server, max_retries=0, patience_s=0.3, backoff_s=0.02) as generator, error:
            generator.generate([ask("a")], SAMPLING)
        assert time.monotonic() - began >= 0.3
        assert sum(server.received.values()) > 2


def test_a_server_that_never_answers() -> None:
    error = pytest.raises(UnavailableError, match=r"no answer within 0\.05 s \(2 tries")
    with always("stall") as server, connected(server, max_retries=1, timeout_s=0.05) as generator, error:
        generator.generate([ask("a")], SAMPLING)


def test_nobody_listens() -> None:
    with FaultServer() as server:
        pass
    with connected(server, max_retries=1) as generator, pytest.raises(UnavailableError, match="connection failed"):
        generator.generate([ask("a")], SAMPLING)


def test_a_wait_that_a_server_asks_for_is_bounded() -> None:
    faults = Faults(rate=1.0, kinds=("429",), most_per_request=1, retry_after="86400")
    with FaultServer(faults=faults) as server, connected(server, max_retry_after_s=0.05) as generator:
        ((one,),) = generator.generate([ask("a")], SAMPLING)
    assert one.error is None


def test_many_threads_share_the_concurrency_and_identical_requests(tmp_path: Path) -> None:
    with FaultServer() as server, ResponseCache(tmp_path / "c") as cache:
        server.hold.clear()
        with connected(server, cache, concurrency=3) as generator, ThreadPoolExecutor(8) as threads:
            waiting = [threads.submit(generator.generate, many(10), SAMPLING) for _ in range(8)]
            until(lambda: server.most_at_once == 3)
            server.hold.set()
            found = [one.result() for one in waiting]
        assert all(one == found[0] for one in found)
        assert server.most_at_once == 3
        assert (sum(server.received.values()), server.num_paid_twice) == (10, 0)


def test_a_server_without_n_gets_one_request_a_sample() -> None:
    with FaultServer(keep=True) as server, connected(server, n=False) as generator:
        ((one, two, three),) = generator.generate([ask("a", 3)], SAMPLING)
        assert len({one.text, two.text, three.text}) == 3
        assert server.requests is not None
        bodies = [body for _, body in server.requests]
        assert all("n" not in body for body in bodies)
        assert len({body["seed"] for body in bodies}) == 3


def test_a_server_that_ignores_n_is_named() -> None:
    with FaultServer(choices=1) as server, connected(server) as generator:
        ((one, two),) = generator.generate([ask("a", 2)], SAMPLING)
    assert one.error is None
    assert two.error is not None
    assert "n: false" in two.error


def test_the_limit_holds_under_concurrency(tmp_path: Path) -> None:
    price = Price(usd_per_million_in=0, usd_per_million_out=1_000_000)  # a dollar a token
    with FaultServer(lambda *_: "three word answer") as server, ResponseCache(tmp_path / "c") as cache:
        meter = Meter(price, max_usd=40.0)
        with connected(server, cache, meter) as generator:
            with pytest.raises(BudgetSpent, match=r"of \$40 spent"):
                generator.generate(many(50), Sampling(max_tokens=5))
            # Stops when the next answer could be too dear: after 3n with 3n + 5 > 40.
            assert meter.spent_usd == 36
            assert sum(server.answered.values()) == len(cache) == 12
        paid = sum(one.usd for one in cache.paid().values())
        with connected(server, cache, Meter(price, max_usd=200, spent_usd=paid)) as generator:
            found = generator.generate(many(50), Sampling(max_tokens=5))
        assert all(one.text == "three word answer" for (one,) in found)
        assert server.num_paid_twice == 0
        assert cache.paid()["m"].usd == 150


def test_cancel_wakes_all_who_wait_and_keeps_what_was_sent(tmp_path: Path) -> None:
    with FaultServer() as server, ResponseCache(tmp_path / "c") as cache:
        server.hold.clear()
        with connected(server, cache, concurrency=2) as generator, ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(generator.generate, many(9), SAMPLING) for _ in range(3)]
            until(lambda: server.most_at_once == 2)
            generator.cancel()
            for one in waiting:
                with pytest.raises(Cancelled):
                    one.result()
            with pytest.raises(Cancelled):
                generator.generate([ask("later")], SAMPLING)
            assert len(cache) == 0
            server.hold.set()
        assert sum(server.received.values()) == len(cache) == 2, "what was under way has been waited for"


def test_retry_after_holds_everybody_back() -> None:
    """Only the pause is looked at: nothing waits an hour here, because the run is cancelled in it."""
    with FaultServer(faults=Faults(rate=1.0, kinds=("429",), retry_after="3600")) as server:
        with connected(server, concurrency=1) as generator, ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(generator.generate, many(5), SAMPLING)
            until(lambda: bool(server.faulted))
            assert not waiting.done()
            generator.cancel()
            with pytest.raises(Cancelled):
                waiting.result()
        assert sum(server.received.values()) == 1


def test_the_key_goes_to_the_server_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SRPO_TEST_KEY", "sk-secret-123")
    caplog.set_level(logging.DEBUG)
    faults = Faults(rate=1.0, kinds=("echo-key",))
    with FaultServer(faults=faults, keep=True) as server, connected(server) as generator:
        with pytest.raises(AccountError, match=r"invalid key \*\*\*"):
            generator.generate([ask("a")], SAMPLING)
        assert server.requests is not None
        assert server.requests[0][0]["authorization"] == "Bearer sk-secret-123"
        assert "sk-secret" not in repr(vars(generator)) + repr(generator) + caplog.text


def test_a_vendor_without_a_key_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SRPO_TEST_KEY", raising=False)
    server = ServerConfig(model="m", base_url="https://vendor.example/v1", api_key_env="SRPO_TEST_KEY")
    before = set(threading.enumerate())
    generator = RemoteGenerator(server, cache=None, meter=Meter())
    with pytest.raises(ValueError, match="the environment has no SRPO_TEST_KEY"), generator:
        pass
    # Threads of earlier tests may end meanwhile; none may be left of this one.
    assert set(threading.enumerate()) <= before
    assert generator.inspect(ask("a")).reason is None, "a dry run needs no key"


def test_structured_servers_are_asked_for_json_and_answer_in_tags() -> None:
    reply = {"reflection": "r", "think": "t", "answer": "7"}
    answer: Answer = lambda *_: json.dumps(reply)  # noqa: E731
    with FaultServer(answer, keep=True) as server:
        config = ServerConfig(model="m", base_url=server.base_url, structured=True)
        with RemoteGenerator(config, cache=None, meter=Meter(), blocks=TEACHER_BLOCKS) as generator:
            ((one,),) = generator.generate([ask("a")], SAMPLING)
        assert one.text == "<reflection>r</reflection>\n<think>t</think>\n<answer>7</answer>"
        assert server.requests is not None
        _, body = server.requests[0]
        assert body["response_format"]["json_schema"]["schema"]["required"] == ["reflection", "think", "answer"]
        assert "one JSON object" in prompt_text(body)


def test_a_problem_that_cannot_be_sent_is_an_error_of_its_own() -> None:
    with FaultServer(numbered) as server, connected(server) as generator:
        (good,), (bad,) = generator.generate([ask("a"), ask("b", images=("missing.png",))], SAMPLING)
    assert good.error is None
    assert bad.error == "missing.png: no such file"
