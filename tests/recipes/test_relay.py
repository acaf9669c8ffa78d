"""Work that is done by workers without models, which here are in threads; tests/recipes/test_ray.py has them on Ray."""

import operator
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srpo.core.records import Origin, Problem, Sampling
from srpo.data.config import SourceConfig
from srpo.data.sources import load_problems
from srpo.models.config import RayConfig
from srpo.models.failures import AccountError
from srpo.models.pool import open_pool
from srpo.models.relay.driver import Relay, WorkerLost
from srpo.models.relay.worker import Done, RelayPool, RelayWorker, ServerAnswers, WantedAnswers
from srpo.reflect.batches import ReflectedBatch, ReflectWork
from srpo.reflect.config import ReflectConfig
from srpo.reflect.models import Overrides
from tests.support.fault_server import FaultServer
from tests.support.served_sums import answer, config, with_servers, write_problems

ORIGIN = Origin(stage="reflect", model="policy", sampling=Sampling(), prompt="single/v1", srpo_version="0", commit="0")
Step = WantedAnswers | Done[ReflectedBatch]


def sent(value: Any) -> Any:
    """As it arrives on another machine."""
    return pickle.loads(pickle.dumps(value))


class Threads:
    """Implements `Workers` and `DistantWorker`; each call is counted, and those in `fatal` lose the worker instead."""

    def __init__(self, work: ReflectWork, fatal: Callable[[int], bool]) -> None:
        self._work = work
        self._fatal = fatal
        self._worker = self._start()
        self.num_calls = 0
        self.asked: list[WantedAnswers] = []

    @contextmanager
    def one(self) -> Iterator["Threads"]:
        yield self

    def begin(self, batch: int, problems: Sequence[Problem], absent: frozenset[str]) -> Step:
        return self._call(lambda: self._worker.begin(batch, sent(problems), absent))

    def go_on(self, batch: int, answers: ServerAnswers) -> Step:
        return self._call(lambda: self._worker.go_on(batch, sent(answers)))

    def _start(self) -> RelayWorker[ReflectedBatch]:
        return RelayWorker(sent(self._work), "http://127.0.0.1:9/v1", Path.cwd())

    def _call(self, ask: Callable[[], Step]) -> Step:
        self.num_calls += 1
        if self._fatal(self.num_calls):
            self._worker = self._start()
            raise WorkerLost("killed")
        step: Step = sent(ask())
        if isinstance(step, WantedAnswers):
            self.asked.append(step)
        return step


def problems_of(path: Path) -> tuple[Problem, ...]:
    return load_problems(SourceConfig(path=str(path))).problems


def work_of(cfg: ReflectConfig) -> ReflectWork:
    return ReflectWork(cfg, ORIGIN, Overrides())


def here(cfg: ReflectConfig, folder: Path, problems: Sequence[Problem]) -> ReflectedBatch:
    with open_pool(cfg, folder) as pool, work_of(cfg).open(pool) as work:
        return work(problems)


def relayed(
    cfg: ReflectConfig, folder: Path, problems: Sequence[Problem], fatal: Callable[[int], bool] = lambda _: False
) -> tuple[ReflectedBatch, Threads]:
    with open_pool(cfg, folder) as pool:
        workers = Threads(work_of(cfg), fatal)
        return Relay(workers, pool).work(problems), workers


def with_pictures(folder: Path, problems: Sequence[Problem]) -> list[Problem]:
    from PIL import Image

    found = []
    for number, problem in enumerate(problems):
        path = folder / f"{number}.png"
        Image.new("RGB", (40, 40), (10 * number, 90, 90)).save(path)
        found.append(problem.model_copy(update={"images": (str(path),)}))
    return found


def test_what_comes_back_is_what_this_process_would_have_made(tmp_path: Path) -> None:
    problems = with_pictures(tmp_path, problems_of(write_problems(tmp_path, 12)))
    with FaultServer(answer, keep=True) as server:
        judge = {"model": {"model": "judge", "base_url": server.base_url}, "min_score": 3}
        cfg = config(server, tmp_path / "sums.jsonl", judge=judge)
        expected = here(cfg, tmp_path / "here", problems)
        bodies = [body for _, body in server.requests or ()]
        assert server.requests is not None
        server.requests.clear()
        found, workers = relayed(cfg, tmp_path / "relayed", problems)
        again = [body for _, body in server.requests]
    assert found == expected
    assert {ask.server.model for ask in workers.asked} == {"policy", "teacher", "judge"}
    key = lambda body: repr(sorted(body.items()))  # noqa: E731
    assert sorted(again, key=key) == sorted(bodies, key=key), "the same requests, to the byte"


def test_a_lost_worker_takes_no_answer_with_it(tmp_path: Path) -> None:
    problems = problems_of(write_problems(tmp_path, 8))
    with FaultServer(answer) as server:
        cfg = config(server, tmp_path / "sums.jsonl")
        expected, calm = relayed(cfg, tmp_path / "calm", problems)
        num_requests = sum(server.answered.values())
    assert calm.num_calls >= 3
    for moment in range(1, calm.num_calls + 1):
        with FaultServer(answer) as server:
            cfg = config(server, tmp_path / "sums.jsonl")
            found, _ = relayed(cfg, tmp_path / f"lost-{moment}", problems, partial(operator.eq, moment))
            assert (sum(server.answered.values()), server.num_paid_twice) == (num_requests, 0)
        assert found == expected


def test_a_batch_that_loses_every_worker_ends_the_run(tmp_path: Path) -> None:
    problems = problems_of(write_problems(tmp_path, 4))
    with FaultServer(answer) as server:
        cfg = config(server, tmp_path / "sums.jsonl")
        with pytest.raises(ValueError, match=r"3 workers were lost over the 4 problems from 'p0' to 'p3'.*: killed"):
            relayed(cfg, tmp_path / "run", problems, lambda call: call % 2 == 0)
        assert server.num_paid_twice == 0


def test_what_servers_refuse_ends_the_work_as_it_does_in_this_process(tmp_path: Path) -> None:
    problems = problems_of(write_problems(tmp_path, 4))
    error = pytest.raises(AccountError, match="the same command goes on")
    with FaultServer(answer, breaks=(2, "echo-key")) as server, error:
        relayed(config(server, tmp_path / "sums.jsonl"), tmp_path / "run", problems)


def test_keys_stay_with_those_who_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-5f8e7d6c")
    monkeypatch.setenv("GATE_KEY", "other-1a2b3c4d")
    problems = problems_of(write_problems(tmp_path, 2))
    with FaultServer(answer, keep=True) as server:
        cfg = with_servers(config(server, tmp_path / "sums.jsonl"), policy={"extra_body": {"user_token": "$GATE_KEY"}})
        found, workers = relayed(cfg, tmp_path / "run", problems)
        assert found.counts["attempts"] == 6
        seen = pickle.dumps((workers.asked, work_of(cfg), found))
        assert b"5f8e7d6c" not in seen
        assert b"1a2b3c4d" not in seen
        assert server.requests
        headers, body = server.requests[0]
    assert headers["authorization"] == "Bearer sk-first-5f8e7d6c"
    assert body["user_token"] == "other-1a2b3c4d"


def test_a_picture_that_only_one_machine_has_is_no_reject(tmp_path: Path) -> None:
    (problem,) = with_pictures(tmp_path, problems_of(write_problems(tmp_path, 1)))
    cfg = config("http://127.0.0.1:9/v1", tmp_path / "sums.jsonl")
    worker = RelayWorker(work_of(cfg), "", Path.cwd())
    Path(problem.images[0]).unlink()
    with pytest.raises(ValueError, match=r"does not see the picture '.*0\.png'; pictures must lie where all machines"):
        worker.begin(1, [problem])
    with open_pool(cfg, tmp_path) as pool:  # nobody has it: a reject, as in one process
        batch = Relay(Threads(work_of(cfg), lambda _: False), pool).work([problem])
    assert [(row.where, row.reason) for row in batch.rejected] == [("prompt", "the model cannot take it")]


def test_an_address_for_clients_from_outside_is_refused() -> None:
    with pytest.raises(ValidationError, match="run the command on a machine of the cluster, with address auto"):
        RayConfig(address="ray://head:10001")


def test_a_checkpoint_cannot_be_shared_out() -> None:
    with pytest.raises(ValueError, match=r"'runs/rl/model' is a checkpoint, .* or leave engine at local"):
        RelayPool("").open("runs/rl/model")
