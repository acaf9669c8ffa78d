"""`srpo eval` on a benchmark: its prompt, rule and tables, several samples, failures, a judge, and going on."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from srpo.cli.main import main
from srpo.config.load import load_config
from srpo.core.records import Sampling
from srpo.eval.config import EvalConfig
from srpo.eval.result import BenchmarkResult, EvalResult
from srpo.eval.run import run
from srpo.eval.table import render_eval
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Completion, Request
from srpo.runs.directory import RunDir
from srpo.runs.rejects import read_rejected
from tests.support.interrupted import DiesAfter
from tests.support.responses import reflective

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = ("traces.jsonl", "rejected.jsonl", "rows.jsonl")


def data(folder: Path, count: int = 8) -> str:
    rows = [
        {"id": f"p{i}", "question": f"{i}+1?", "answer": str(i + 1), "family": ("odd" if i % 2 else "even")}
        for i in range(count)
    ]
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(path: str, **settings: object) -> EvalConfig:
    values = {
        "model": "dir/m",
        "benchmark": "custom",
        "data": path,
        "batch_size": 3,
        "symbolic": False,
        "style": "auto",
    }
    return EvalConfig.model_validate(values | settings)


def evaluate(cfg: EvalConfig, out: Path, generator: FakeGenerator, judge: FakeGenerator | None = None) -> EvalResult:
    with RunDir.open(out, cfg, "eval") as run_dir:
        return run(cfg, run_dir, generator=generator, judge=judge)


def answer(request: Request, sample: int) -> str:
    number = int(request.problem.id[1:])
    gold = request.problem.answer
    if number % 4 == 3:
        return f"So it is \\boxed{{{gold}}}."
    return reflective("0", gold if (number + sample) % 2 == 0 else "0")


class Fails(FakeGenerator):
    """Stands for a server that refuses some problems for good."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        groups = super().generate(requests, sampling)
        failed = Completion("", 0, truncated=False, error="HTTP 400: no")
        return [
            [failed] * len(group) if request.problem.id in {"p1", "p4"} else group
            for request, group in zip(requests, groups, strict=True)
        ]


def test_result_rows_and_table(tmp_path: Path) -> None:
    generator = FakeGenerator(answer)
    cfg = config(data(tmp_path))
    result = evaluate(cfg, tmp_path / "run", generator)
    found = result.benchmark
    assert found is not None
    assert (found.model, found.n, found.missing, found.unusable, found.reflective) == ("m", 8, 0, 0, 6)
    assert found.accuracy == result.summary.final_accuracy == 6 / 8
    assert found.first_accuracy == 0.0
    assert found.breakdown.tables["family"]["odd"].accuracy == 0.5
    assert found.correction is not None
    assert found.correction.i_to_c.value == pytest.approx(4 / 6)
    assert found.mean_tokens == result.summary.mean_tokens
    assert generator.requests[0].messages[0].text.startswith("0+1?\n\nWork in two rounds.")
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"p{i}" for i in range(8)]
    assert "sample" not in rows[0]
    text = render_eval(result, "x")
    for part in ("own data: m", "self-correction, 6 reflective responses", "decided: 8 by the rule", "even"):
        assert part in text
    assert BenchmarkResult.model_validate_json(found.model_dump_json()) == found


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    cfg = config(data(tmp_path), num_samples=2, temperature=1.0)
    whole = evaluate(cfg, tmp_path / "whole", FakeGenerator(answer))
    for batches in (0, 1, 1):
        with pytest.raises(KeyboardInterrupt):
            evaluate(cfg, tmp_path / "killed", DiesAfter(answer, batches))
    result = evaluate(cfg, tmp_path / "killed", FakeGenerator(answer))
    assert result.benchmark == whole.benchmark
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_several_samples(tmp_path: Path) -> None:
    cfg = config(data(tmp_path), num_samples=3, temperature=1.0)
    result = evaluate(cfg, tmp_path / "run", FakeGenerator(answer))
    found = result.benchmark
    assert found is not None
    assert found.sampled is not None
    # Of three samples, p0 p2 p4 p6 have two right, p1 p5 one, p3 p7 all.
    assert found.accuracy == pytest.approx((4 * 2 / 3 + 2 * 1 / 3 + 2) / 8)
    assert found.sampled.pass_at == {
        1: pytest.approx(found.accuracy),
        2: pytest.approx((4 + 2 * 2 / 3 + 2) / 8),
        3: 1.0,
    }
    # Two wrong ones of three are a majority; of two different ones either wins as often.
    assert found.sampled.maj_at == {1: pytest.approx(found.accuracy), 2: pytest.approx(found.accuracy), 3: 6 / 8}
    assert found.sampled.tokens_per_sample == pytest.approx(found.mean_tokens)
    assert "maj@3" in render_eval(result, "x")
    assert found.n == 8
    assert sum(cell.n for cell in found.breakdown.tables["family"].values()) == 8
    assert found.decided_by == {"rule": 24}


def test_failed_requests_are_counted_and_are_no_wrong_answers(tmp_path: Path) -> None:
    generator = Fails(answer, refuse=lambda request: "too long" if request.problem.id == "p7" else None)
    result = evaluate(config(data(tmp_path)), tmp_path / "run", generator)
    found = result.benchmark
    assert found is not None
    assert (result.rows, result.answered, result.refused, result.failed) == (8, 5, 1, 2)
    assert (found.n, found.missing, found.failed, found.unusable) == (5, 2, 2, 1)
    assert found.accuracy == 4 / 5
    assert found.accuracy_over_all == pytest.approx(4 / 7)
    assert result.rejected["response"] == {"request failed": 2}
    assert [(row.id, row.detail) for row in read_rejected(tmp_path / "run") if row.where == "response"] == [
        ("p1", "HTTP 400: no"),
        ("p4", "HTTP 400: no"),
    ]
    assert "failed 2" in render_eval(result, "x")


def test_a_judge(tmp_path: Path) -> None:
    def ruling(request: Request, _: int) -> str:
        text = request.messages[-1].text
        return "A bit short. <score>2</score>" if "<score>" in text else '{"why": "", "verdict": "correct"}'

    def wordy(request: Request, _: int) -> str:
        return reflective("0", "zero") if request.problem.id == "p1" else answer(request, 0)

    judge = FakeGenerator(ruling, name="judge")
    cfg = config(data(tmp_path), judge={"model": "local:j", "reflections": True})
    found = evaluate(cfg, tmp_path / "run", FakeGenerator(wordy), judge).benchmark
    assert found is not None
    assert (found.judge, found.decided_by, found.judge_failures) == ("judge", {"rule": 7, "judge": 1}, {})
    assert found.quality is not None
    assert (found.quality.n, found.quality.mean) == (6, 2.0)
    assert found.accuracy == 7 / 8
    assert sum("zero" in request.messages[0].text for request in judge.requests) == 1


def test_a_dry_run_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--benchmark", "custom", "--data", data(tmp_path), "--dry_run"]
    assert main([*words, "--model", "nowhere"]) == 0
    out = capsys.readouterr().out
    for part in ("problems: 8 (of 8 rows read)", "  0+1?", "<reflection>", "no server is asked, so it costs nothing"):
        assert part in out
    server = '{"model": "m", "base_url": "http://127.0.0.1:9/v1", "usd_per_million_in": 1, "usd_per_million_out": 10}'
    path = tmp_path / "eval.yaml"
    path.write_text(f"model: {server}\nbenchmark: custom\ndata: {data(tmp_path)}\njudge: {{model: {server}}}\n")
    assert main(["eval", str(path), "--dry_run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert [(share["role"], share["requests"]) for share in plan["shares"]] == [("model", 8), ("judge of answers", 16)]
    assert plan["estimate"]["usd"] > 8 * 2048 * 10 / 1e6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"benchmark": None, "data": None}, "no problems named"),
        ({"data": None}, "no problems named"),
        ({"benchmark": None, "judge": {"model": "local:x"}}, "set benchmark"),
        ({"judge": {"model": "gpt"}}, "unknown judge 'gpt'"),
        ({"judge": {"model": "local:x", "answers": False}}, "has nothing to do"),
    ],
)
def test_configs_that_make_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config("x.jsonl", **settings)


@pytest.mark.parametrize(
    "path", sorted(RECIPES.glob("*/eval*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_recipes_are_configs(path: Path) -> None:
    cfg = load_config(EvalConfig, path, [])
    assert cfg.max_tokens >= (128 if path.parent.name == "tiny" else 2048)


def test_a_part_of_wemath_is_evaluated_and_says_what_it_cannot_tell(tmp_path: Path) -> None:
    rows = [
        {
            "ID": f"2steps_{group}",
            "key": key,
            "question": f"q{group}",
            "option": "A. 1; B. 2",
            "answer": "B",
            "image_path": "1.png",
        }
        for group in (1, 2)
        for key in ("2steps_1", "2steps_2", "2steps_multi")
    ]
    (tmp_path / "testmini.json").write_text(json.dumps(rows))
    Image.new("RGB", (32, 32)).save(tmp_path / "1.png")
    found = {}
    for limit in (2, 3):
        cfg = config(str(tmp_path), benchmark="wemath", limit=limit, style="single")
        result = evaluate(cfg, tmp_path / f"run{limit}", FakeGenerator(lambda request, sample: "<answer>B</answer>"))
        assert result.benchmark is not None
        found[limit] = result.benchmark
    assert (found[2].headline.name, found[2].breakdown.counts["incomplete_groups"]) == ("accuracy", 1)
    assert "strict_score" in found[2].breakdown.unknown
    assert (found[3].headline.name, found[3].headline.value) == ("strict_score", 1.0)


def test_a_limit_on_hallusionbench_leaves_out_the_groups_that_it_cuts(tmp_path: Path) -> None:
    rows = [
        {"category": "VD", "subcategory": "chart", "visual_input": "0", "set_id": "0", "figure_id": figure,
         "question_id": question, "question": f"q{question}", "gt_answer": "1"}
        for figure in ("0", "1")
        for question in ("0", "1")
    ]  # fmt: skip
    (tmp_path / "HallusionBench.json").write_text(json.dumps(rows))
    cfg = config(str(tmp_path), benchmark="hallusionbench", limit=3, style="single")
    result = evaluate(cfg, tmp_path / "run", FakeGenerator(lambda request, sample: "Yes."))
    assert result.benchmark is not None
    counts = result.benchmark.breakdown.counts
    assert (counts["figures"], counts["incomplete_figures"]) == (1, 1)
    assert (counts["questions"], counts["incomplete_questions"]) == (1, 1)
