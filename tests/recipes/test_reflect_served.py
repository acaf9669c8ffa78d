"""Reflection data from models behind servers: real HTTP on loopback."""

import json
import os
import re
import sys
import threading
from io import TextIOWrapper
from pathlib import Path

import pytest
from pydantic import ValidationError

from srpo.cli.main import main
from srpo.config.load import to_yaml
from srpo.core.records import Response
from srpo.models.cache import ResponseCache
from srpo.models.config import MAY_CHANGE
from srpo.models.failures import AccountError, UnavailableError
from srpo.models.pool import RESPONSES
from srpo.reflect.config import ReflectConfig
from srpo.reflect.plan import plan_reflect, render_reflect_plan
from srpo.reflect.run import DIFFICULTY, VERIFIED, ReflectResult, run
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from srpo.runs.rejects import read_rejected
from tests.support.fault_server import Body, FaultKind, Faults, FaultServer, prompt_text
from tests.support.interrupted import interrupted
from tests.support.served_sums import answer, config, with_servers, write_problems

FILES = ("traces.jsonl", "rejected.jsonl", VERIFIED, DIFFICULTY)


def reflect(cfg: ReflectConfig, out: Path) -> ReflectResult:
    with RunDir.open(out, cfg, "reflect", may_change=MAY_CHANGE) as run_dir:
        return run(cfg, run_dir)


def judge_at(server: FaultServer) -> dict[str, object]:
    return {"model": {"model": "judge", "base_url": server.base_url, "patience_s": 0, "max_retries": 0}, "min_score": 2}


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


def test_the_kept_set_depends_neither_on_the_window_nor_on_faults(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 30)
    with FaultServer(answer) as server:
        cfg = config(server, path)
        calm = reflect(cfg, tmp_path / "calm")
    faults = Faults(rate=0.3, seed=1, stall_s=0.01)
    with FaultServer(answer, faults=faults) as server:
        served = {"base_url": server.base_url, "concurrency": 3, "backoff_s": 0}
        stormy = reflect(with_servers(cfg, policy=served, teacher=served), tmp_path / "stormy")
        assert len(server.faulted) >= 5
        assert server.num_paid_twice == 0
    assert sum(one.lost_usd for one in stormy.spend) > 0, "damaged answers are paid too"
    kept = tuple(one.model_copy(update={"lost": 0, "lost_usd": 0.0}) for one in stormy.spend)
    assert stormy.model_copy(update={"spend": kept}) == calm
    assert contents(tmp_path / "stormy") == contents(tmp_path / "calm")
    assert calm.attempts == 90
    assert calm.rejected["teacher"].keys() <= {"leak", "final answer wrong"}
    assert calm.requests > calm.asked > calm.verified > 40


def test_money_is_counted_once_and_stops_the_run(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 24)
    with FaultServer(answer) as server:
        whole = reflect(config(server, path), tmp_path / "whole")
        spent = sum(one.usd for one in whole.spend)
        assert {one.model for one in whole.spend} == {"policy", "teacher"}
        assert sum(one.requests for one in whole.spend) == sum(server.answered.values())
        assert spent > 0
    with FaultServer(answer) as server:
        cfg = config(server, path, max_tokens=40, budget={"max_usd": spent / 2, "pilot": 0})
        with pytest.raises(Stopped, match=r"at budget\.max_usd .*give more with --budget\.max_usd"):
            reflect(cfg, tmp_path / "poor")
        with ResponseCache(tmp_path / "poor" / RESPONSES) as cache:
            assert 0 < sum(one.usd for one in cache.paid().values()) <= spent / 2
        with pytest.raises(Stopped, match=r"at budget\.max_usd"):
            reflect(cfg, tmp_path / "poor")
        rich = cfg.model_copy(update={"budget": cfg.budget.model_copy(update={"max_usd": None})})
        assert (
            reflect(rich, tmp_path / "poor").spend == reflect(config(server, path, max_tokens=40), tmp_path / "x").spend
        )
        assert server.num_paid_twice == len(server.answered)  # the last run has a cache of its own


def test_a_pilot_says_what_passes_and_a_run_in_which_nothing_does_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def chatty(body: Body, sample: int) -> str:
        return answer(body, sample) if body["model"] == "policy" else "That looks fine to me."

    path = write_problems(tmp_path, 60)
    with FaultServer(answer) as server:
        reflect(config(server, path, budget={"pilot": 20}), tmp_path / "good")
        assert re.search(r"pilot of 20 problems: \d\d of 60 passed; not used: \d+ x '", capsys.readouterr().err)
    with FaultServer(chatty) as server:
        for pilot in (20, 0):
            out = tmp_path / f"bad-{pilot}"
            with pytest.raises(ValueError, match=r"nothing .* can be used: 0 of \d\d passed; not used: \d+ x '"):
                reflect(config(server, path, budget={"pilot": pilot}), out)
            assert not (out / "summary.json").exists()


def test_a_pilot_estimates_and_is_not_paid_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_problems(tmp_path, 40)
    with FaultServer(answer) as server:
        cfg = config(server, path, budget={"pilot": 10, "confirm_usd": 0})
        with pytest.raises(Stopped, match=r"which costs about \$0\.\d\d for 40 problems .*--budget\.confirm_usd 1"):
            reflect(cfg, tmp_path / "run")
        before = sum(server.answered.values())
        assert 20 <= before < 60
        estimate = json.loads((tmp_path / "run" / "estimate.json").read_text())
        agreed = cfg.model_copy(update={"budget": cfg.budget.model_copy(update={"confirm_usd": 1.0})})
        result = reflect(agreed, tmp_path / "run")
        assert server.num_paid_twice == 0
    assert estimate["low_usd"] <= sum(one.usd for one in result.spend) <= estimate["high_usd"]
    err = capsys.readouterr().err
    assert "this run costs about $0.0" in err
    assert "projected $0.0" in err


@pytest.mark.parametrize(("typed", "goes_on"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool) -> None:
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{typed}\n".encode())
    with FaultServer(answer) as server, os.fdopen(terminal, "r+b", buffering=0) as raw, TextIOWrapper(raw) as tty:
        monkeypatch.setattr(sys, "stdin", tty)
        monkeypatch.setattr(sys, "stderr", tty)
        monkeypatch.setenv("TERM", "dumb")
        cfg = config(server, write_problems(tmp_path, 6), budget={"pilot": 2, "confirm_usd": 0})
        if goes_on:
            assert reflect(cfg, tmp_path / "run").attempts == 18
        else:
            with pytest.raises(Stopped, match="before the run, whose pilot is paid and kept"):
                reflect(cfg, tmp_path / "run")
    assert b"Go on? [y/N]" in os.read(keyboard, 10_000)
    os.close(keyboard)


def test_the_command_stops_at_the_limit_and_names_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer) as server:
        cfg = config(server, write_problems(tmp_path, 6), budget={"pilot": 0, "max_usd": 0.0011})
        (tmp_path / "cfg.yaml").write_text(to_yaml(cfg))
        assert main(["reflect", str(tmp_path / "cfg.yaml"), "--out", str(tmp_path / "run")]) == 130
        err = capsys.readouterr().err
        assert "stopped after batch 0 of 2 at budget.max_usd" in err
        assert "this goes on from there:" in err
        more = ["--budget.max_usd", "1"]
        assert main(["reflect", str(tmp_path / "cfg.yaml"), "--out", str(tmp_path / "run"), *more]) == 0
    assert "answers paid to teacher" in capsys.readouterr().out


def test_a_stop_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 24)
    asked = threading.Event()

    def slow(body: Body, sample: int) -> str:
        if body["model"] == "teacher":
            asked.set()
        return answer(body, sample)

    with FaultServer(slow) as server:
        cfg = config(server, path, budget={"pilot": 0})
        with interrupted(asked), pytest.raises(Stopped, match=r"after batch \d+ of 6"):
            reflect(cfg, tmp_path / "stopped")
        reflect(cfg, tmp_path / "stopped")
        assert server.num_paid_twice == 0
        reflect(cfg, tmp_path / "whole")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_server_that_refuses_everything_ends_the_run_and_spoils_nothing(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 12)
    cfg = config("http://127.0.0.1:9/v1", path, budget={"pilot": 0})
    cfg = with_servers(cfg, policy={"max_retries": 0})
    with pytest.raises(ValueError, match=r"policy at http://127\.0\.0\.1:9/v1: connection failed"):
        reflect(cfg, tmp_path / "run")
    with FaultServer(answer) as server:
        assert reflect(config(server, path), tmp_path / "run").attempts == 36


@pytest.mark.parametrize(
    ("fault", "error"),
    [pytest.param("echo-key", AccountError, id="revoked"), pytest.param("closed", UnavailableError, id="gone")],
)
def test_whenever_a_server_fails_the_run_goes_on_to_the_same_files(
    tmp_path: Path, fault: FaultKind, error: type[Exception]
) -> None:
    path = write_problems(tmp_path, 24)
    with FaultServer(answer) as server:
        calm = reflect(config(server, path, judge=judge_at(server)), tmp_path / "calm")
        most = len(server.answered)
    for moment in range(0, most, most // 6):
        out = tmp_path / f"after-{moment}"
        with FaultServer(answer, breaks=(moment, fault)) as server:
            cfg = config(server, path, judge=judge_at(server))
            cfg = with_servers(cfg, policy={"max_retries": 0}, teacher={"max_retries": 0})
            with pytest.raises(error, match="the same command goes on"):
                reflect(cfg, out)
            assert not RunDir.read(out).state().finished
            server.breaks = None
            assert reflect(cfg, out).model_copy(update={"spend": calm.spend}) == calm
            assert server.num_paid_twice == 0
        assert contents(out) == contents(tmp_path / "calm")


def test_the_judge_sends_replies_back(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 20)
    with FaultServer(answer, keep=True) as server:
        judge = {"model": {"model": "judge", "base_url": server.base_url}, "min_score": 3}
        result = reflect(config(server, path, judge=judge), tmp_path / "run")
        texts = [prompt_text(body) for _, body in server.requests or () if body["model"] == "teacher"]
    assert result.rejected["teacher"]["judged low"] > 0
    assert any("rejected: judged low" in text and "It names the sum." in text for text in texts)
    assert result.verified + sum(result.rejected["teacher"].values()) == result.asked


def test_the_form_of_the_paper(tmp_path: Path) -> None:
    def reflection_alone(body: Body, sample: int) -> str:
        text = answer(body, sample)
        return text if body["model"] == "policy" else text.partition("<think>")[0]

    with FaultServer(reflection_alone) as server:
        cfg = config(server, write_problems(tmp_path, 6), form="paper", wrong_share=None)
        assert reflect(cfg, tmp_path / "run").selected > 3
    with RunDir.open(tmp_path / "run", cfg, "reflect") as run_dir:
        traces = list(run_dir.traces())
    assert {trace.origin.teacher for trace in traces} <= {"teacher refine-paper/v1", "teacher revise-paper/v1"}
    for trace in traces:
        assert isinstance(trace.parsed, Response)
        assert (trace.parsed.second.think, trace.parsed.second.answer) == ("", trace.problem.answer)
        assert trace.share_right is not None
        assert 0 <= trace.share_right <= 1


def test_blocks_as_json_give_the_same_traces_as_blocks_in_tags(tmp_path: Path) -> None:
    def as_json(body: Body, sample: int) -> str:
        names = body["response_format"]["json_schema"]["schema"]["required"]
        # The instruction to write JSON is behind the prompt, and must not change what this world says.
        plain = {**body, "messages": [dict(message) for message in body["messages"]]}
        plain["messages"][-1]["content"] = plain["messages"][-1]["content"].rpartition("\n\nInstead of tags")[0]
        text = answer(plain, sample)
        found = [re.search(f"<{name}>(.*?)</{name}>", text) for name in names]
        blocks = {name: one[1] for name, one in zip(names, found, strict=True) if one}
        return json.dumps(blocks) if len(blocks) == len(names) else text

    path = write_problems(tmp_path, 10)
    with FaultServer(answer) as server:
        reflect(config(server, path), tmp_path / "tags")
    with FaultServer(as_json) as server:
        told = {"structured": True}
        reflect(with_servers(config(server, path), policy=told, teacher=told), tmp_path / "json")
    for name in ("traces.jsonl", VERIFIED, DIFFICULTY):
        written = [json.loads(line) for line in (tmp_path / "json" / name).read_text().splitlines()]
        expected = [json.loads(line) for line in (tmp_path / "tags" / name).read_text().splitlines()]
        for row in (*written, *expected):
            row.pop("tokens", None)  # of the prompt, which is longer by the instruction
        assert written == expected


def picture_problems(folder: Path, *, caption: bool) -> Path:
    from PIL import Image

    rows = []
    for i in range(4):
        Image.new("RGB", (40, 40), (60 * i, 90, 90)).save(folder / f"{i}.png")
        row = {"id": f"p{i}", "question": f"What is {i} + 1?", "answer": str(i + 1), "image": f"{i}.png"}
        rows.append({**row, "caption": f"a square of shade {i}"} if caption else row)
    path = folder / "pictures.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def described(body: Body, sample: int) -> str:
    if "Describe what is shown" in prompt_text(body):
        return "a plain square"
    return answer(body, sample)


@pytest.mark.parametrize(("captions", "words"), [("policy", "a plain square"), ("problem", "a square of shade")])
def test_a_teacher_without_eyes_reads_a_description(tmp_path: Path, captions: str, words: str) -> None:
    path = picture_problems(tmp_path, caption=captions == "problem")
    with FaultServer(described, keep=True) as server:
        cfg = with_servers(config(server, path, captions=captions), teacher={"sends_images": False})
        assert reflect(cfg, tmp_path / "run").verified > 2
        bodies = [body for _, body in server.requests or ()]
    teacher = [body for body in bodies if body["model"] == "teacher"]
    assert all(words in prompt_text(body) and "image_url" not in json.dumps(body) for body in teacher)
    assert all("image_url" in json.dumps(body) for body in bodies if body["model"] == "policy")


def test_problems_without_a_description_are_no_secret(tmp_path: Path) -> None:
    with FaultServer(answer) as server:
        cfg = config(server, picture_problems(tmp_path, caption=False), captions="problem", budget={"pilot": 0})
        result = reflect(cfg, tmp_path / "run")
    assert result.rejected["teacher"] == {"no caption": sum(result.rejected["teacher"].values())}
    assert {row.detail for row in read_rejected(tmp_path / "run") if row.where == "teacher"} == {
        "the data has none, and captions is problem; the policy could write them"
    }


def test_a_blind_teacher_needs_captions() -> None:
    teacher = {"model": {"model": "t", "sends_images": False}}
    with pytest.raises(ValidationError, match="set captions to problem"):
        ReflectConfig.model_validate({"model": "m", "data": "x.jsonl", "teacher": teacher})


def test_a_dry_run_counts_and_sends_nothing(tmp_path: Path) -> None:
    path = write_problems(tmp_path, 100)
    with FaultServer(answer) as server:
        judge = {"model": {"model": "judge", "base_url": server.base_url}}
        plan = plan_reflect(config(server, path, judge=judge))
        assert sum(server.received.values()) == 0
    assert (plan.num_rows, plan.num_problems) == (100, 100)
    assert [share.role for share in plan.shares] == ["policy", "teacher", "judge"]
    assert [share.requests for share in plan.shares] == [100, 300, 300]
    policy, teacher, judged = plan.shares
    assert policy.tokens_out == 100 * 3 * 256
    assert teacher.tokens_out == 300 * 512
    assert policy.usd == pytest.approx((policy.tokens_in + 2 * policy.tokens_out) / 1e6)
    assert judged.usd == 0
    assert plan.estimate is not None
    assert plan.estimate.usd == pytest.approx((policy.usd or 0) + (teacher.usd or 0))
    text = render_reflect_plan(plan)
    for words in ("problems: 100", "What is 0 + 0?", "for your eyes only: 0", "300 requests", "nothing was sent"):
        assert words in text


def test_a_dry_run_of_models_on_this_machine_costs_nothing(tmp_path: Path) -> None:
    settings = {"model": "dir", "data": str(write_problems(tmp_path, 3)), "teacher": "policy"}
    plan = plan_reflect(ReflectConfig.model_validate(settings))
    assert plan.estimate is None
    assert "costs nothing" in render_reflect_plan(plan)
