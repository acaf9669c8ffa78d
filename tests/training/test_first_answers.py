"""First answers before and after the cold start: who is asked, what is compared, and when it is called harm."""

from collections.abc import Callable
from pathlib import Path

import pytest

from srpo.core.records import Problem
from srpo.policy.load import load_policy
from srpo.report.build import read_report
from srpo.report.page import render_page
from srpo.runs.directory import RunDir
from srpo.runs.reader import load_traces
from srpo.sft.batches import plan_sft
from srpo.sft.config import FirstAnswerCheck, SftConfig
from srpo.sft.first_answers import HELD_BACK, answer_first, compare_answers, hold_out
from srpo.sft.run import run
from tests.support.training import DyingRun, Killed, problems, results, sft_config, trace, write_traces


def asked(count: int, family: str = "bars") -> list[Problem]:
    return [Problem(id=str(index), question=f"{index}?", answer="1", family=family) for index in range(count)]


def test_a_fall_beyond_its_interval_is_harm_and_names_the_family_that_fell_most() -> None:
    found = compare_answers(
        [*asked(50), *asked(50, "maze")], [True] * 100, [True] * 50 + [True, False] * 25, prompt_before="bare"
    )
    assert (found.before, found.after, found.lost, found.gained) == (1.0, 0.75, 25, 0)
    assert found.change.low < -0.25 < found.change.high < 0
    assert found.harmed
    assert "most in 'maze' (100.0% to 50.0% of 50)" in found.tell()
    assert found.families["bars"].after == 1.0


def test_a_fall_that_may_be_chance_is_none() -> None:
    before = [True, False] * 20
    found = compare_answers(asked(40), before, [not before[0], *before[1:]], prompt_before="bare")
    assert found.change.value < 0 <= found.change.high
    assert not found.harmed
    assert "most in" not in found.tell()


def test_problems_without_a_grade_on_either_side_are_left_out() -> None:
    found = compare_answers(asked(4), [True, None, False, True], [True, True, None, False], prompt_before="bare")
    assert (found.change.n, found.before, found.after) == (2, 1.0, 0.5)
    with pytest.raises(ValueError, match=r"none of the 1 problems .* check_first_answer\.data"):
        compare_answers(asked(1), [None], [True], prompt_before="bare")


def test_problems_that_are_asked_are_not_learned_from(tmp_path: Path) -> None:
    traces = load_traces(write_traces(tmp_path))
    twice = [*traces, *(one.model_copy(update={"sample": 1}) for one in traces)]
    config = sft_config(Path("m"), tmp_path)
    held = hold_out(twice, FirstAnswerCheck(problems=5), config)
    ids = {problem.id for problem in held.problems}
    assert len(held.problems) == len(ids) == 5
    assert len(held.traces) == 22
    assert not ids & {one.problem.id for one in held.traces}
    assert hold_out(twice[::-1], FirstAnswerCheck(problems=5), config).problems == held.problems
    own = hold_out(traces, FirstAnswerCheck.model_validate({"data": "drawn:dev", "problems": 7}), config)
    assert len(own.problems) == 7
    assert own.traces == tuple(traces)
    with pytest.raises(ValueError, match="9 problems would be held back from 16 in"):
        hold_out(traces, FirstAnswerCheck(problems=9), config)


def test_the_start_model_is_asked_as_the_traces_were(tmp_path: Path) -> None:
    made = trace(problems()[0], "7")
    plain, config = FirstAnswerCheck(data="drawn:dev"), sft_config(Path("m"), tmp_path)
    work = [made.model_copy(update={"origin": made.origin.model_copy(update={"prompt": "work/v1"})})] * 2
    assert hold_out([made, *work], plain, config).prompt_before == "work"
    assert hold_out([made], plain, config).prompt_before == "single"
    assert hold_out(work, plain.model_copy(update={"prompt": "bare"}), config).prompt_before == "bare"


def test_a_number_is_short_for_so_many_problems() -> None:
    short = SftConfig.model_validate({"model": "m", "traces": ["t"], "check_first_answer": 50})
    assert short.check_first_answer == FirstAnswerCheck(problems=50)
    assert SftConfig.model_validate(short.model_dump()) == short
    with pytest.raises(ValueError, match="give a number of problems, or the fields of a check"):
        SftConfig.model_validate({"model": "m", "traces": ["t"], "check_first_answer": "yes"})


def test_first_answers_are_those_of_the_policy(tmp_path: Path) -> None:
    policy = load_policy("tiny-base")
    config = sft_config(Path("tiny-base"), tmp_path)
    check = FirstAnswerCheck(max_tokens=32)
    right = answer_first(policy, problems()[:4], "bare", check, config)
    assert sum(one is True for one in right) >= 3, "the base reads bars"
    nonsense = [problem.model_copy(update={"answer": "77"}) for problem in problems()[:4]]
    assert answer_first(policy, nonsense, "bare", check, config) == [False] * 4
    unreadable = problems()[0].model_copy(update={"images": (str(tmp_path / "gone.png"),)})
    assert answer_first(policy, [unreadable, problems()[1]], "bare", check, config)[0] is None


def test_a_resumed_run_keeps_what_the_start_model_said(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sft_config(
        tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path), check_first_answer={"problems": 6, "max_tokens": 24}
    )
    with RunDir.open(tmp_path / "whole", config, "sft") as run_dir:
        summary = run(config, run_dir)
    with DyingRun.open(tmp_path / "torn", config, "sft") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run(config, dying)
    capsys.readouterr()
    with RunDir.open(tmp_path / "torn", config, "sft") as run_dir:
        resumed = run(config, run_dir)
    assert "asking the start model" not in capsys.readouterr().err
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
    assert resumed.first_answers == summary.first_answers
    assert summary.first_answers is not None
    assert summary.first_answers.change.n == 6
    assert summary.dropped == {HELD_BACK: 6}
    rows = [row for row in RunDir.read(tmp_path / "whole").metrics() if "sft/held_out/first_accuracy" in row]
    assert [row["step"] for row in rows] == [0, summary.steps]
    html = render_page(read_report([tmp_path / "whole"]))
    assert "The first answer before and after the cold start" in html


def test_harm_is_said_aloud_and_shown_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = sft_config(
        Path("tiny-base"),
        write_traces(tmp_path),
        epochs=1,
        optim={"lr": 0.5},
        check_first_answer={
            "data": {"drawn": {"families": ["bars"], "levels": [1], "count": 12, "split": "dev"}},
            "prompt": "bare",
            "max_tokens": 32,
        },
    )
    with RunDir.open(tmp_path / "run", config, "sft") as run_dir:
        found = run(config, run_dir).first_answers
    assert found is not None
    assert found.harmed
    said = capsys.readouterr().err
    assert "sft: warning: the cold start harms what the model could do" in said
    assert "first_attempt_loss: right" in said
    assert "The cold start harms the first answer" in render_page(read_report([tmp_path / "run"]))
    assert plan_sft(config, load_policy("tiny-base")).examples.dropped == {}
