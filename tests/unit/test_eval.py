"""Evaluation: one way from text to grades, every problem accounted for, killed runs go on."""

import json
from pathlib import Path

import pytest

from srpo.core.records import FormatError, Problem, Style
from srpo.eval.config import EvalConfig
from srpo.eval.result import EvalResult
from srpo.eval.run import run
from srpo.eval.table import render_eval
from srpo.grading import RULES_ONLY
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Request
from srpo.policy.prompts import PROMPT_FILE
from srpo.runs.directory import RunDir
from srpo.runs.rejects import read_rejected
from tests.support.interrupted import DiesAfter
from tests.support.responses import reflective

SEVEN = Problem(id="1", question="3+4?", answer="7")


@pytest.mark.parametrize(
    ("text", "style", "first", "final", "parsed"),
    [
        (reflective("7", "7"), "reflective", True, True, True),
        (reflective("5", "7"), "reflective", False, True, True),
        (reflective("7", "5"), "reflective", True, False, True),
        (reflective("5", "7") + " bye", "reflective", False, True, False),
        ("<think>a</think><answer>7</answer>", "reflective", True, False, False),
        ("<think>a</think><answer>7</answer><reflection>so it is 7", "reflective", True, False, False),
        ("The answer is \\boxed{7}.", "reflective", False, False, False),
        ("", "reflective", False, False, False),
        ("<think>a</think><answer>7</answer>", "single", True, True, True),
        ("The answer is \\boxed{7}.", "single", True, True, False),
        (reflective("7", "5"), "single", False, False, False),
        ("", "single", False, False, False),
    ],
)
def test_both_answers_of_a_response_are_graded(text: str, style: Style, first: bool, final: bool, parsed: bool) -> None:
    scored = RULES_ONLY.grade_response(SEVEN, text, style)
    assert (scored.first_grade.is_correct, scored.final_grade.is_correct) == (first, final)
    assert isinstance(scored.parsed, FormatError) != parsed


def test_an_ungradable_gold_is_never_incorrect() -> None:
    problem = Problem(id="1", question="q", answer="", kind="number")
    for text in (reflective("7", "7"), "nothing"):
        scored = RULES_ONLY.grade_response(problem, text, "reflective")
        assert {scored.first_grade.verdict, scored.final_grade.verdict} == {"ungradable"}


def data(folder: Path, count: int = 10, *extra: object) -> str:
    path = folder / "data.jsonl"
    rows = [{"id": f"p{i}", "question": f"{i}+1?", "answer": str(i + 1)} for i in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in (*rows, *extra)))
    return str(path)


def config(path: str, **settings: object) -> EvalConfig:
    return EvalConfig.model_validate(
        {"model": "dir/fake", "data": path, "prompt": "bare", "batch_size": 3, "symbolic": False, **settings}
    )


def right_when_even(request: Request, _: int) -> str:
    number = int(request.problem.id[1:])
    return reflective("0", request.problem.answer if number % 2 == 0 else "0", "look again")


def evaluate(cfg: EvalConfig, out: Path, generator: FakeGenerator) -> EvalResult:
    with RunDir.open(out, cfg, "eval") as run_dir:
        return run(cfg, run_dir, generator=generator)


def test_result_and_files(tmp_path: Path) -> None:
    path = data(tmp_path, 10, {"id": "bad", "question": "", "answer": "1"})
    cfg = config(path)
    generator = FakeGenerator(right_when_even, refuse=lambda r: "too long" if r.problem.id == "p9" else None)
    result = evaluate(cfg, tmp_path / "run", generator)
    row = result.summary
    assert (result.rows, result.answered, result.refused) == (11, 9, 1)
    assert (row.name, row.n, row.first_accuracy, row.final_accuracy) == ("fake", 9, 0.0, 5 / 9)
    assert row.counts["wrong→right"] == 5
    assert row.format_rate == 1.0
    assert result.rejected == {
        "source": {"column 'question': empty question": 1},
        "prompt": {"the model cannot take it": 1},
    }
    dropped = list(read_rejected(tmp_path / "run"))
    assert [(one.id, one.place, one.detail) for one in dropped] == [
        ("", f"{path}:11", "column 'question': empty question"),
        ("p9", f"{path}:10", "too long"),
    ]
    with RunDir.open(tmp_path / "run", cfg, "eval") as run_dir:
        assert run_dir.finished
        assert run(cfg, run_dir) == result
        traces = list(run_dir.traces())
    assert [trace.problem.id for trace in traces] == [f"p{i}" for i in range(9)]
    tokens = traces[0].tokens
    assert tokens is not None
    assert (tokens.prompt, tokens.total, tokens.first) == (1, 2, 1)
    assert "rows 11 = answered 9 + refused 1 + not usable 1" in render_eval(result, "x")


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    path = data(tmp_path, 10, {"id": "bad", "question": "", "answer": "1"})
    cfg = config(path)
    whole = evaluate(cfg, tmp_path / "whole", FakeGenerator(right_when_even))
    for batches in (0, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(cfg, tmp_path / "killed", DiesAfter(right_when_even, batches))
    result = evaluate(cfg, tmp_path / "killed", FakeGenerator(right_when_even))
    assert result.model_copy(update={"stages": ()}) == whole.model_copy(update={"stages": ()})
    for name in ("traces.jsonl", "rejected.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_changed_data_is_noticed(tmp_path: Path) -> None:
    path = data(tmp_path, 10)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config(path), tmp_path / "run", DiesAfter(right_when_even, 2))
    data(tmp_path, 11)
    with pytest.raises(ValueError, match="not those that this run began with"):
        evaluate(config(path), tmp_path / "run", FakeGenerator(right_when_even))


def test_majority_vote_counts_right_answers_as_one(tmp_path: Path) -> None:
    texts = (("1/2", "0.5", "3", "3", "0.50"), ("3", "3", "0.5", "4", "5"))

    def answer(request: Request, sample: int) -> str:
        return reflective("0", texts[int(request.problem.id)][sample])

    rows = [{"id": str(i), "question": "half?", "answer": "0.5"} for i in range(2)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cfg = config(str(tmp_path / "d.jsonl"), num_samples=5, temperature=1.0, majority=True)
    result = evaluate(cfg, tmp_path / "run", FakeGenerator(answer))
    assert result.majority_accuracy == 0.5
    assert result.summary.num_samples == 5
    assert result.summary.final_accuracy == pytest.approx(0.4)


def test_no_usable_problem_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"question": "", "answer": "1"}\n')
    with pytest.raises(ValueError, match=r"no usable problem: 1 rows of .*: column 'question': empty question"):
        evaluate(config(str(tmp_path / "d.jsonl")), tmp_path / "run", FakeGenerator(right_when_even))
    generator = FakeGenerator(right_when_even, refuse=lambda _: "no pictures")
    with pytest.raises(ValueError, match=r"can take none of the 2 problems of .*, e.g. 'p0': no pictures"):
        evaluate(config(data(tmp_path, 2)), tmp_path / "other", generator)


def test_config_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    path = data(tmp_path)
    with pytest.raises(ValueError, match="num_samples 4 at temperature 0"):
        config(path, num_samples=4)
    with pytest.raises(ValueError, match="a vote needs num_samples"):
        config(path, majority=True)


def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    path = data(tmp_path, 3, {"id": "p9", "question": "word " * 300, "answer": "1"})
    result = evaluate(config(path, max_prompt_tokens=299), tmp_path / "run", FakeGenerator(right_when_even))
    assert (result.answered, result.rejected["prompt"]) == (3, {"longer than max_prompt_tokens": 1})
    (row,) = read_rejected(tmp_path / "run")
    assert (row.id, row.detail) == ("p9", "300 tokens with its pictures, at most 299")


def test_the_prompt_and_system_turn_of_the_checkpoint_are_used_unless_others_are_named(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    saved = {"name": "mine", "version": "1", "template": "Look. {problem}", "system": "Be brief."}
    (model / PROMPT_FILE).write_text(json.dumps(saved))
    path = data(tmp_path, 1)
    for settings, expected in (
        ({"prompt": None}, [("system", "Be brief."), ("user", "Look. 0+1?")]),
        ({"prompt": "bare"}, [("user", "0+1?")]),
        ({"prompt": None, "system": "Be exact."}, [("system", "Be exact."), ("user", "Look. 0+1?")]),
    ):
        generator = FakeGenerator(right_when_even)
        cfg = config(path, model=str(model), **settings)
        evaluate(cfg, tmp_path / str(len(list(tmp_path.iterdir()))), generator)
        (request,) = generator.requests
        assert [(message.role, message.text) for message in request.messages] == expected
