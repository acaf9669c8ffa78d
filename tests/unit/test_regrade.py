"""`srpo regrade`: what traces earn under another reward, with the old numbers kept."""

from pathlib import Path

import pytest

from srpo.cli.main import main
from srpo.core.records import Grade, Origin, Problem, Reward, Term, TokenCounts, Trace
from srpo.core.rewards import Preset
from srpo.grading import RULES_ONLY
from srpo.report.regrade import Pricing, Tally, regraded
from tests.support.report_runs import traces, write_run


def _trace(first: str, final: str) -> Trace:
    problem = Problem(id="p", question="3+4?", answer="7")
    text = f"<think>3+4</think><answer>{first}</answer><reflection>I added the two numbers again</reflection>"
    text += f"<think>3+4</think><answer>{final}</answer>"
    tokens = TokenCounts(prompt=5, total=40, first=12)
    graded = RULES_ONLY.grade_response(problem, text, "reflective")
    return Trace.of(
        graded, origin=Origin(stage="rl", model="m"), problem=problem, text=text, style="reflective", tokens=tokens
    )


@pytest.mark.parametrize(("preset", "total"), [("paper", 1.25), ("release-openrlhf", 1.5), ("answer", 1.5)])
def test_a_repaired_answer_earns_what_the_preset_pays(preset: Preset, total: float) -> None:
    unweighed = {} if preset == "answer" else {"length": 0.0}
    (one,) = regraded([_trace("5", "7")], RULES_ONLY, Pricing(preset, unweighed))
    assert one.reward is not None
    assert one.reward.total == pytest.approx(total)


def test_old_and_new_stand_side_by_side_and_changes_are_counted() -> None:
    stale = Grade(verdict="incorrect", extracted="7", reason="an older rule")
    old = Reward(terms=(Term(name="accuracy", score=0.0, weight=1.0),))
    trace = _trace("5", "7").model_copy(update={"final_grade": stale, "reward": old})
    tally = Tally()
    (one,) = regraded([trace], RULES_ONLY, Pricing("answer"))
    tally.add(one)
    row = one.as_json()
    assert (row["final"], row["outcome"]) == (["incorrect", "correct"], ["wrong→wrong", "wrong→right"])
    assert row["total"] == [0.0, 1.5]
    summary = tally.summary()
    assert (summary.final_accuracy, summary.mean_total) == ((0.0, 1.0), (0.0, 1.5))
    assert summary.verdicts == {"incorrect→correct": 1}
    assert summary.outcomes == {"wrong→wrong to wrong→right": 1}


def test_traces_without_lengths_are_counted_by_the_simple_rule_and_told() -> None:
    trace = _trace("7", "7").model_copy(update={"tokens": None})
    tally = Tally()
    (one,) = regraded([trace], RULES_ONLY, Pricing("paper"))
    tally.add(one)
    assert one.reward is not None
    assert one.reward.score("length") > 0
    assert tally.summary().num_without_lengths == 1


def test_single_attempts_are_refused_by_presets_for_reflective_responses() -> None:
    trace = _trace("7", "7").model_copy(update={"style": "single"})
    with pytest.raises(ValueError, match="single attempt, and preset 'paper'"):
        list(regraded([trace], RULES_ONLY, Pricing("paper")))


def test_a_run_without_traces_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "sft", "sft", [])
    assert main(["regrade", str(tmp_path / "sft"), "--out", str(tmp_path / "new" / "rows.jsonl")]) == 2
    assert "has no traces to grade again" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_folder_of_the_result_is_made(tmp_path: Path) -> None:
    write_run(tmp_path / "rl", "rl", [_trace("5", "7")])
    assert (
        main(["regrade", str(tmp_path / "rl"), "--symbolic", "false", "--out", str(tmp_path / "new" / "rows.jsonl")])
        == 0
    )
    assert '"outcome": ["wrong→right", "wrong→right"]' in (tmp_path / "new" / "rows.jsonl").read_text(encoding="utf-8")


def test_a_wrong_term_is_told_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regrade", str(tmp_path), "--weights.form", "1"]) == 2
    assert "no term 'form'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["traces.jsonl", "summary.json", "config.json", "../run/metrics.jsonl"])
@pytest.mark.parametrize("command", ["regrade", "report"])
def test_what_a_run_wrote_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    run = tmp_path / "run"
    write_run(run, "rl", traces(2, 0.5, 0.5, 0.1, 1, stage="rl"), steps=1)
    before = (run / name).read_bytes()
    assert main([command, str(run), "--out", str(run / name)]) == 2
    assert "is a file of a run, which would be lost" in capsys.readouterr().err
    assert (run / name).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "was not written by srpo, or is damaged"),
        ("", "was not written by srpo, or is damaged"),
        ("[1]", "holds no JSON object"),
        ('{"probe": "swap"}', "probe: Input should be a valid dictionary"),
        ('{"probe": {"probe": "swap"}}', "probe.temperature: Field required"),
    ],
)
def test_a_damaged_summary_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, found: str) -> None:
    write_run(tmp_path / "run", "eval", traces(2, 0.5, 0.5, 0.1, 1))
    summary = tmp_path / "run" / "summary.json"
    summary.write_text(text, encoding="utf-8")
    assert main(["report", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert str(summary) in said
    assert found in said
    assert "validation error" not in said
