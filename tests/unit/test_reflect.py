"""Reflection data: counts that add up, retries with reasons, selection, killed runs go on."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from srpo.core.records import Response
from srpo.data.drawn import scene_of
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Generator, Request
from srpo.models.scripted import ScriptedTeacher
from srpo.reflect.config import ReflectConfig
from srpo.reflect.run import VERIFIED, ReflectResult, run
from srpo.reflect.table import render_reflect
from srpo.runs.directory import RunDir
from srpo.runs.rejects import read_rejected
from tests.support.interrupted import DiesAfter


def attempt(answer: str) -> str:
    return f"<think>I guess {answer}</think><answer>{answer}</answer>"


def lesson(answer: str, reflection: str = "the third bar is higher than read") -> str:
    return f"<reflection>{reflection}</reflection>\n<think>read again: {answer}</think>\n<answer>{answer}</answer>"


def data(folder: Path, count: int) -> str:
    path = folder / "data.jsonl"
    rows = [{"id": f"p{i}", "question": f"What is {i}+1?", "answer": str(i + 1)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(source: object, **settings: object) -> ReflectConfig:
    base = {"model": "dir/fake", "teacher": "policy", "prompt": "bare", "batch_size": 3, "symbolic": False}
    return ReflectConfig.model_validate({**base, "data": source, **settings})


def reflect(cfg: ReflectConfig, out: Path, policy: FakeGenerator, teacher: Generator) -> ReflectResult:
    with RunDir.open(out, cfg, "reflect") as run_dir:
        return run(cfg, run_dir, policy=policy, teacher=teacher)


def number(request: Request) -> int:
    return int(request.problem.id[1:])


def mostly_wrong(request: Request, sample: int) -> str:
    """Sample 0 of each problem is right, 1 and 2 are wrong, 3 has no format."""
    return attempt(request.problem.answer if sample == 0 else str(sample - 100)) if sample < 3 else "dunno"


def good_teacher(request: Request, _: int) -> str:
    return lesson(request.problem.answer)


def test_counts_add_up_and_the_ratio_holds(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 10), num_samples=4)
    result = reflect(cfg, tmp_path / "run", FakeGenerator(mostly_wrong), FakeGenerator(good_teacher, name="teacher"))
    assert (result.rows, result.attempts, result.asked, result.requests, result.verified) == (10, 40, 30, 30, 30)
    assert result.first_accuracy == pytest.approx(1 / 3)
    assert result.rejected["attempt"] == {"first attempt has no think and answer": 10}
    assert result.selected_wrong / result.selected == pytest.approx(0.7, abs=0.03)
    assert result.selected + sum(result.rejected["selection"].values()) == result.verified
    with RunDir.open(tmp_path / "run", cfg, "reflect") as run_dir:
        traces = list(run_dir.traces())
        assert run(cfg, run_dir) == result
    assert len(traces) == result.selected
    assert all(isinstance(trace.parsed, Response) and trace.final_grade.is_correct for trace in traces)
    assert {trace.origin.stage for trace in traces} == {"reflect"}
    assert {trace.origin.teacher for trace in traces} == {"teacher refine/v2", "teacher revise/v2"}
    assert "selected" in render_reflect(result, "x")


def test_the_teacher_sees_problem_attempt_and_verdict(tmp_path: Path) -> None:
    teacher = FakeGenerator(good_teacher)
    reflect(config(data(tmp_path, 1), num_samples=2), tmp_path / "run", FakeGenerator(mostly_wrong), teacher)
    right, wrong = teacher.requests
    assert [message.role for message in wrong.messages] == ["user", "assistant", "user"]
    assert "I guess -99" in wrong.messages[1].text
    assert "wrong answer" in wrong.messages[2].text
    assert "right answer" in right.messages[2].text
    assert right.problem.answer == "1"


def test_the_same_attempt_is_asked_about_once(tmp_path: Path) -> None:
    policy = FakeGenerator(lambda *_: attempt("0"))
    teacher = FakeGenerator(good_teacher)
    result = reflect(config(data(tmp_path, 3), num_samples=5), tmp_path / "run", policy, teacher)
    assert (result.attempts, result.asked, len(teacher.requests)) == (15, 3, 3)
    assert result.rejected["attempt"] == {"same first attempt as an earlier sample": 12}


def test_rejected_replies_are_retried_with_the_reason(tmp_path: Path) -> None:
    def teacher(request: Request, _: int) -> str:
        again = "earlier reply was rejected" in request.messages[-1].text
        match number(request):
            case 0:
                return lesson("1")
            case 1:
                return lesson("2") if again else lesson("99")
            case 2:
                return lesson("3", "the reference answer is 3")
            case _:
                return "no idea"

    fake = FakeGenerator(teacher)
    cfg = config(data(tmp_path, 4), num_samples=1, wrong_share=None, teacher={"model": "policy", "retries": 2})
    result = reflect(cfg, tmp_path / "run", FakeGenerator(lambda *_: attempt("0")), fake)
    assert (result.requests, result.verified, result.selected) == (4 + 3 + 2, 2, 2)
    assert sum(result.rejected["teacher"].values()) == 2
    dropped = {row.id: row for row in read_rejected(tmp_path / "run")}
    assert dropped["p2"].reason == "leak"
    assert dropped["p3"].reason == "format"
    assert dropped["p3"].text == "no idea"
    second = [request for request in fake.requests if request.problem.id == "p1"][1]
    assert "rejected: final answer wrong" in second.messages[-1].text


def test_truncated_replies_are_not_taken(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 1), num_samples=1, teacher={"model": "policy", "retries": 0, "max_tokens": 2})
    policy = FakeGenerator(lambda *_: attempt("0"))
    result = reflect(cfg, tmp_path / "run", policy, FakeGenerator(good_teacher))
    assert result.rejected["teacher"] == {"truncated": 1}


def test_a_teacher_that_cannot_take_a_problem_is_no_secret(tmp_path: Path) -> None:
    teacher = FakeGenerator(good_teacher, refuse=lambda request: "too long" if number(request) else None)
    cfg = config(data(tmp_path, 2), num_samples=1, wrong_share=None)
    result = reflect(cfg, tmp_path / "run", FakeGenerator(lambda *_: attempt("0")), teacher)
    assert (result.verified, result.requests) == (1, 1)
    assert result.rejected["teacher"] == {"the teacher cannot take it": 1}


def test_nothing_usable_is_an_honest_result(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 5), num_samples=2)
    result = reflect(cfg, tmp_path / "run", FakeGenerator(lambda *_: "blah"), FakeGenerator(good_teacher))
    assert (result.attempts, result.asked, result.selected) == (10, 0, 0)
    assert "nothing was selected" in render_reflect(result, "x")


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 10), num_samples=4)
    teacher = FakeGenerator(good_teacher)
    whole = reflect(cfg, tmp_path / "whole", FakeGenerator(mostly_wrong), teacher)
    for batches in (0, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            reflect(cfg, tmp_path / "killed", DiesAfter(mostly_wrong, batches), teacher)
    assert reflect(cfg, tmp_path / "killed", FakeGenerator(mostly_wrong), teacher) == whole
    for name in ("traces.jsonl", "rejected.jsonl", VERIFIED):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_source_that_changed_meanwhile_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = config(data(tmp_path, 10), num_samples=2)
    teacher = FakeGenerator(good_teacher)
    with pytest.raises(KeyboardInterrupt):
        reflect(cfg, tmp_path / "run", DiesAfter(mostly_wrong, 2), teacher)
    data(tmp_path, 11)
    assert reflect(cfg, tmp_path / "run", FakeGenerator(mostly_wrong), teacher).rows == 10
    assert "has changed since this run began; it goes on with the 10 problems" in capsys.readouterr().err


class DiesAtTheEnd(RunDir):
    """Stands for a process that is killed after the traces are written and before the summary is."""

    def finish(self, summary: Mapping[str, object]) -> None:
        raise KeyboardInterrupt


def test_killed_between_selection_and_summary(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 4), num_samples=2)
    policy, teacher = FakeGenerator(mostly_wrong), FakeGenerator(good_teacher)
    whole = reflect(cfg, tmp_path / "whole", policy, teacher)
    with DiesAtTheEnd.open(tmp_path / "killed", cfg, "reflect") as run_dir, pytest.raises(KeyboardInterrupt):
        run(cfg, run_dir, policy=policy, teacher=teacher)
    assert reflect(cfg, tmp_path / "killed", policy, teacher) == whole
    for name in ("traces.jsonl", "rejected.jsonl", VERIFIED):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_scripted_teacher_on_drawn_problems(tmp_path: Path) -> None:
    def guess(request: Request, sample: int) -> str:
        scene = scene_of(request.problem.images[0])
        return attempt(scene.answer if sample == 0 else "999")

    cfg = config({"drawn": {"count": 20}}, teacher="scripted", num_samples=2, batch_size=8)
    with RunDir.open(tmp_path / "run", cfg, "reflect") as run_dir:
        result = run(cfg, run_dir, policy=FakeGenerator(guess))
        assert {trace.origin.teacher for trace in run_dir.traces()} == {ScriptedTeacher.name}
    assert (result.attempts, result.asked, result.requests) == (40, 40, 40)
    assert result.verified >= 38
    assert result.selected_wrong / result.selected == pytest.approx(0.7, abs=0.03)


def test_scripted_teacher_refuses_problems_that_it_does_not_know(tmp_path: Path) -> None:
    cfg = config(data(tmp_path, 2), teacher="scripted")
    with (
        RunDir.open(tmp_path / "run", cfg, "reflect") as run_dir,
        pytest.raises(ValueError, match=r"knows the solution steps of drawn problems only, and 'p0'"),
    ):
        run(cfg, run_dir, policy=FakeGenerator(mostly_wrong))


def test_config_names_the_teachers() -> None:
    assert config("x.jsonl", teacher="local:dir").teacher.model == "local:dir"
    for wrong in ("gpt", "local:", ""):
        with pytest.raises(ValidationError, match="unknown teacher"):
            config("x.jsonl", teacher=wrong)
