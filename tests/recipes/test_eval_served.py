"""Evaluation of models behind servers, with a judge behind one: real HTTP on loopback."""

import json
import threading
from pathlib import Path

import pytest

from srpo.cli.main import main
from srpo.config.load import to_yaml
from srpo.eval.config import EVAL_MAY_CHANGE, EvalConfig
from srpo.eval.result import BenchmarkResult, EvalResult
from srpo.eval.run import run
from srpo.models.cache import ResponseCache
from srpo.models.failures import AccountError, UnavailableError
from srpo.models.pool import RESPONSES
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from tests.support.fault_server import Body, FaultKind, Faults, FaultServer, prompt_text
from tests.support.interrupted import interrupted

FILES = ("traces.jsonl", "rejected.jsonl", "rows.jsonl")
COUNT = 24


def data(folder: Path) -> str:
    path = folder / "sums.jsonl"
    rows = [
        {"id": f"p{i}", "question": f"What is {i} + {i % 7}?", "answer": f"{i + i % 7} apples"} for i in range(COUNT)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def answer(body: Body, sample: int) -> str:
    text = prompt_text(body)
    if body["model"] == "judge":
        if "<score>" in text:
            return "Clear. <score>3</score>"
        return json.dumps({"why": "it is", "verdict": "correct" if "a handful" in text else "incorrect"})
    number = int(text.split("What is ")[1].split()[0])
    gold = number + number % 7
    last = "a handful" if number % 5 == 0 else str(gold + (number % 3 == 0))
    return (
        f"<think>first I add them</think><answer>{gold + number % 2}</answer><reflection>I add them again.</reflection>"
        f"<think>so it is that</think><answer>{last}</answer>"
    )


def served(server: FaultServer, name: str, **settings: object) -> dict[str, object]:
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    return {"model": name, "base_url": server.base_url, "backoff_s": 0, "patience_s": 0, **prices, **settings}


def config(server: FaultServer, path: str, **settings: object) -> EvalConfig:
    base = {
        "model": served(server, "policy"),
        "judge": {"model": served(server, "judge"), "reflections": True},
        "benchmark": "custom",
        "data": path,
        "style": "auto",
        "batch_size": 4,
        "symbolic": False,
        "budget": {"pilot": 0},
    }
    return EvalConfig.model_validate({**base, **settings})


def evaluate(cfg: EvalConfig, out: Path) -> EvalResult:
    with RunDir.open(out, cfg, "eval", may_change=EVAL_MAY_CHANGE) as run_dir:
        return run(cfg, run_dir)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


def test_the_result_depends_neither_on_the_window_nor_on_faults(tmp_path: Path) -> None:
    path = data(tmp_path)
    with FaultServer(answer) as server:
        calm = evaluate(config(server, path), tmp_path / "calm")
        assert server.num_paid_twice == 0
        assert sum(one.requests for one in calm.spend) == len(server.answered)
    faults = Faults(rate=0.3, seed=1, stall_s=0.01)
    with FaultServer(answer, faults=faults) as server:
        judge = {"model": served(server, "judge", concurrency=2), "reflections": True}
        cfg = config(server, path, model=served(server, "policy", concurrency=3), judge=judge)
        stormy = evaluate(cfg, tmp_path / "stormy")
    assert contents(tmp_path / "stormy") == contents(tmp_path / "calm")
    assert stormy.benchmark == calm.benchmark
    found = calm.benchmark
    assert found is not None
    assert (found.model, found.judge, found.n, found.reflective) == ("policy", "judge", COUNT, COUNT)
    assert found.decided_by["judge"] == 5 + 6  # handfuls, and numbers that are wrong
    assert found.quality is not None
    assert (found.quality.n, found.quality.mean) == (COUNT, 3.0)


def test_as_many_requests_as_allowed_are_under_way(tmp_path: Path) -> None:
    with FaultServer(answer) as server:
        server.hold.clear()
        cfg = config(server, data(tmp_path), model=served(server, "policy", concurrency=16), judge=None)
        thread = threading.Thread(target=evaluate, args=(cfg, tmp_path / "run"))
        thread.start()
        waited = threading.Event()
        while server.most_at_once < 16 and thread.is_alive():
            waited.wait(0.01)
        server.hold.set()
        thread.join()
        assert server.most_at_once == 16


def test_a_stop_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = data(tmp_path)
    asked = threading.Event()

    def slow(body: Body, sample: int) -> str:
        if body["model"] == "judge":
            asked.set()
        return answer(body, sample)

    with FaultServer(slow) as server:
        cfg = config(server, path)
        with interrupted(asked), pytest.raises(Stopped, match=r"after batch \d+ of 6"):
            evaluate(cfg, tmp_path / "stopped")
        evaluate(cfg, tmp_path / "stopped")
        assert server.num_paid_twice == 0
        evaluate(cfg, tmp_path / "whole")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_money_stops_the_run_and_the_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer) as server:
        cfg = config(server, data(tmp_path), max_tokens=60, budget={"pilot": 0, "max_usd": 0.003})
        (tmp_path / "eval.yaml").write_text(to_yaml(cfg))
        words = ["eval", str(tmp_path / "eval.yaml"), "--out", str(tmp_path / "run")]
        assert main(words) == 130
        assert "at budget.max_usd" in capsys.readouterr().err
        with ResponseCache(tmp_path / "run" / RESPONSES) as cache:
            assert 0 < sum(one.usd for one in cache.paid().values()) <= 0.003
        assert main([*words, "--budget.max_usd", "1", "--json"]) == 0
        assert server.num_paid_twice == 0
    result = EvalResult.model_validate_json(capsys.readouterr().out)
    assert result.benchmark is not None
    assert {one.model for one in result.spend} == {"policy", "judge"}


def test_a_pilot_estimates_and_is_not_paid_twice(tmp_path: Path) -> None:
    with FaultServer(answer) as server:
        cfg = config(server, data(tmp_path), budget={"pilot": 5, "confirm_usd": 0})
        with pytest.raises(Stopped, match=r"which costs about \$0\.\d\d for 24 problems"):
            evaluate(cfg, tmp_path / "run")
        assert 5 <= sum(server.answered.values()) <= 15
        agreed = cfg.model_copy(update={"budget": cfg.budget.model_copy(update={"confirm_usd": 1.0})})
        evaluate(agreed, tmp_path / "run")
        assert server.num_paid_twice == 0


def test_requests_that_fail_for_good_are_listed(tmp_path: Path) -> None:
    faults = Faults(rate=0.2, kinds=("400",), seed=3, most_per_request=99)
    with FaultServer(answer, faults=faults) as server:
        result = evaluate(config(server, data(tmp_path), judge=None), tmp_path / "run")
    found = result.benchmark
    assert found is not None
    assert 0 < result.failed < COUNT / 2
    assert (found.missing, found.failed, found.n) == (result.failed, result.failed, COUNT - result.failed)
    assert result.rejected["response"] == {"request failed": result.failed}
    assert found.accuracy > found.accuracy_over_all


@pytest.mark.parametrize(
    ("fault", "error"),
    [pytest.param("echo-key", AccountError, id="revoked"), pytest.param("closed", UnavailableError, id="gone")],
)
def test_whenever_a_server_fails_the_run_goes_on_to_the_same_files(
    tmp_path: Path, fault: FaultKind, error: type[Exception]
) -> None:
    path = data(tmp_path)
    with FaultServer(answer) as server:
        evaluate(config(server, path), tmp_path / "calm")
        most = len(server.answered)
    for moment in range(0, most, most // 6):
        out = tmp_path / f"after-{moment}"
        with FaultServer(answer, breaks=(moment, fault)) as server:
            judge = {"model": served(server, "judge", max_retries=0), "reflections": True}
            cfg = config(server, path, model=served(server, "policy", max_retries=0), judge=judge)
            with pytest.raises(error, match="the same command goes on"):
                evaluate(cfg, out)
            assert not RunDir.read(out).state().finished
            server.breaks = None
            evaluate(cfg, out)
            assert server.num_paid_twice == 0
        assert contents(out) == contents(tmp_path / "calm")


def test_a_server_that_refuses_everything_ends_the_run(tmp_path: Path) -> None:
    path = data(tmp_path)
    with FaultServer(answer) as server:
        dead = served(server, "policy", base_url="http://127.0.0.1:9/v1", max_retries=0)
        with pytest.raises(ValueError, match=r"policy at http://127\.0\.0\.1:9/v1: connection failed"):
            evaluate(config(server, path, model=dead, judge=None), tmp_path / "run")
        assert evaluate(config(server, path, judge=None), tmp_path / "run").answered == COUNT


def test_recorded_responses_with_a_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    responses = tmp_path / "r.jsonl"
    rows = [{"id": f"p{i}", "response": "<answer>a handful</answer>"} for i in range(4)]
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FaultServer(answer) as server:
        (tmp_path / "judge.yaml").write_text(f"model: {json.dumps(served(server, 'judge'))}\n")
        words = ["score", "custom", "--data", data(tmp_path), "--responses", str(responses), "--no_symbolic", "--json"]
        words += ["--judge", str(tmp_path / "judge.yaml")]
        assert main([*words, "--max_usd", "0.000001"]) == 130
        assert "what was judged is kept" in capsys.readouterr().err
        assert main(words) == 0
        found = BenchmarkResult.model_validate_json(capsys.readouterr().out)
        assert (found.accuracy, found.decided_by, found.missing) == (1.0, {"judge": 4}, COUNT - 4)
        before = len(server.answered)
        assert main([*words, "--out", str(tmp_path / "run")]) == 0
        assert main(words) == 0
        assert (len(server.answered), server.num_paid_twice) == (before, 4)  # the run directory has a cache of its own
        assert main([*words, "--max_usd", "0.000001"]) == 0
