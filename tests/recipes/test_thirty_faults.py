"""Each way in which a server fails for a moment: the request is asked again, and its answer is the same."""

from pathlib import Path

import pytest

from srpo.core.records import Problem, Sampling
from srpo.models.cache import ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.meter import Meter
from srpo.models.protocol import Message, Request
from srpo.models.remote import RemoteGenerator
from tests.support.fault_server import ALL_PASSING, Faults, FaultServer


def test_there_are_thirty() -> None:
    assert len(set(ALL_PASSING)) >= 30


@pytest.mark.parametrize("kind", ALL_PASSING)
def test_another_try_cures_it(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    problems = [Problem(id=f"p{number}", question=f"{number}?", answer="1") for number in range(3)]
    requests = [Request(problem=one, messages=(Message(role="user", text=one.question),)) for one in problems]
    faults = Faults(rate=1.0, kinds=(kind,), most_per_request=1, stall_s=0.05)
    with FaultServer(faults=faults) as server, ResponseCache(tmp_path / "responses.sqlite") as cache:
        config = ServerConfig(model="m", base_url=server.base_url, backoff_s=0.01, max_retries=3, patience_s=0)
        with RemoteGenerator(config, cache=cache, meter=Meter(None, None)) as model:
            found = model.generate(requests, Sampling(max_tokens=20))
    assert all(one.text.startswith("answer ") for (one,) in found)
    assert server.faulted[kind] == 3
    assert server.num_paid_twice == 0
    assert "Traceback" not in capfd.readouterr().err
