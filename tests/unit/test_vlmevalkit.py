"""Prediction files for VLMEvalKit."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.core.records import FormatError, Grade, Origin, Problem, Trace
from srpo.eval.result import BenchmarkResult
from srpo.interop.vlmevalkit import NO_ANSWER, export_predictions, prediction_text
from srpo.runs.directory import RunDir
from tests.support.board_rows import benchmark_result
from tests.support.report_runs import FakeConfig
from tests.support.responses import reflective


def trace(
    key: str,
    text: str,
    *,
    question: str = "How long?",
    answer: str = "12 cm",
    choices: tuple[str, ...] = (),
    sample: int = 0,
    extracted: str | None = None,
) -> Trace:
    grade = Grade(verdict="incorrect", extracted=extracted, reason="")
    return Trace(
        origin=Origin(stage="eval", model="tiny"),
        problem=Problem(id=key, question=question, answer=answer, choices=choices),
        sample=sample,
        text=text,
        parsed=FormatError(where=0, what="no think"),
        first_grade=grade,
        final_grade=grade,
    )


TRACES = [
    trace("1", reflective("A", "12 cm"), choices=("10 cm", "12 cm"), answer="B"),
    trace("2", reflective("7", "1,250 g\r\nof flour"), question="How many grams?", answer="1250"),
    trace("3", '<think>a "quote"\tand a tab</think> <answer>None</answer>', question="Which one?", answer="None"),
    trace("4", "<answer>3</answer> <reflection>Let me look ag", question="How many?", answer="4"),
    trace("1", "another sample", sample=1),
]


def write_run(path: Path, traces: Sequence[Trace] = TRACES, result: BenchmarkResult | None = None) -> Path:
    with RunDir.open(path, FakeConfig(), "eval") as run:
        run.append_traces(traces)
        run.finish({"benchmark": result} if result else {})
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


THEIRS = [
    {"index": "0", "pid": "1", "image": "iVBOR" * 40_000, "question": "Hint: ..\nQuestion: How long?", "answer": "B"},
    {"index": "1", "pid": "2", "image": "x", "question": "How  many grams?", "answer": "1250"},
    {"index": "2", "pid": "3", "image": "x", "question": "<image 1> Which one?", "answer": "None"},
    {"index": "3", "pid": "4", "image": "x", "question": "How many?", "answer": "4"},
    {"index": "4", "pid": "5", "image": "x", "question": "Not asked", "answer": "5"},
]


def write_tsv(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), dialect="excel-tab")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_predictions_stand_in_the_columns_of_their_own_file(tmp_path: Path) -> None:
    tsv = write_tsv(tmp_path / "MathVista_MINI.tsv", THEIRS)
    limit = csv.field_size_limit()
    result = export_predictions(write_run(tmp_path / "run"), tmp_path / "out", tsv=tsv, name="org/my model")
    assert csv.field_size_limit() == limit
    assert Path(result.path) == tmp_path / "out" / "org-my-model_MathVista_MINI.tsv"
    assert (result.num_predictions, result.without_answer, result.further_samples, result.without_prediction) == (
        4,
        1,
        1,
        1,
    )
    assert result.notes == ()
    rows = read(Path(result.path))
    assert list(rows[0]) == ["index", "pid", "question", "answer", "prediction", "raw_prediction"]
    assert [row["prediction"] for row in rows] == ["B", "1,250 g\nof flour", "None.", NO_ANSWER]
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[0]["raw_prediction"] == TRACES[0].text
    assert rows[2]["raw_prediction"] == TRACES[2].text


def test_without_their_file_the_columns_are_ours(tmp_path: Path) -> None:
    made = benchmark_result("mathvista", "ours", 2, 4, title="MathVista testmini")
    result = export_predictions(write_run(tmp_path / "run", result=made), tmp_path / "out")
    assert Path(result.path).name == "ours_MathVista_MINI.tsv"
    assert "without --tsv" in result.notes[0]
    rows = read(Path(result.path))
    assert list(rows[0]) == ["index", "question", "A", "B", "answer", "prediction", "raw_prediction"]
    assert (rows[0]["index"], rows[0]["B"], rows[1]["A"]) == ("1", "12 cm", "")


def test_columns_that_only_look_like_ids_are_not_joined_on(tmp_path: Path) -> None:
    rows = [row | {"index": str(at)} for at, row in enumerate(THEIRS)]
    tsv = write_tsv(tmp_path / "MathVista_MINI.tsv", [{k: v for k, v in row.items() if k != "pid"} for row in rows])
    with pytest.raises(
        ValueError, match=r"MathVista_MINI\.tsv' is not the data of this run: .* 'index' has 4 of the ids"
    ):
        export_predictions(write_run(tmp_path / "run"), tmp_path / "out", tsv=tsv)
    assert not (tmp_path / "out").exists()


def test_wemath_and_hallusionbench_are_joined_by_their_parts(tmp_path: Path) -> None:
    asked = [trace("t-1|2steps_1", "<answer>A</answer>"), trace("t-1|2steps_2", "<answer>B</answer>")]
    theirs = [
        {"index": str(at), "ID": "t-1", "key": f"2steps_{at}", "question": "How long?", "answer": "A"} for at in (1, 2)
    ]
    result = export_predictions(
        write_run(tmp_path / "a", asked), tmp_path / "a out", tsv=write_tsv(tmp_path / "WeMath.tsv", theirs)
    )
    assert [row["prediction"] for row in read(Path(result.path))] == ["A", "B"]
    asked = [trace("VD_chart_0_1_2", "<answer>Yes</answer>"), trace("VS_map_3_0_1", "<answer>No</answer>")]
    theirs = [{"index": "VD_chart_1_0_1_2", "question": "How long?", "answer": "1"}]
    result = export_predictions(
        write_run(tmp_path / "b", asked), tmp_path / "b out", tsv=write_tsv(tmp_path / "HallusionBench.tsv", theirs)
    )
    assert [row["prediction"] for row in read(Path(result.path))] == ["Yes"]
    assert (result.num_predictions, result.unknown_items) == (1, 1)


def test_predictions_survive_what_pandas_makes_of_them() -> None:
    for text in ("None", "nan", "NA", "null"):
        assert prediction_text(trace("1", f"<answer>{text}</answer>")) == f"{text}."
    assert prediction_text(trace("1", "<answer> </answer>")) == NO_ANSWER
    assert prediction_text(trace("1", "long prose " * 100, extracted="7")) == "7", "read by the benchmark's own rule"


def test_numbers_alone_come_with_a_warning(tmp_path: Path) -> None:
    asked = [trace(str(at), f"<answer>{text}</answer>", answer="1") for at, text in enumerate(("7", "2.5"))]
    result = export_predictions(write_run(tmp_path / "run", asked), tmp_path / "out")
    assert any("reads 7 as 7.0" in note for note in result.notes)


def test_bad_places_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match="exists and is not an empty directory"):
        export_predictions(run, run)
    with pytest.raises(ValueError, match=r"is not a run directory"):
        export_predictions(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"x\.tsv' has no column 'index'"):
        export_predictions(run, tmp_path / "out", tsv=write_tsv(tmp_path / "x.tsv", [{"a": "1"}]))
    (tmp_path / "y.tsv").write_bytes(b"index\n\xff\n")
    with pytest.raises(ValueError, match=r"y\.tsv' is not UTF-8 text"):
        export_predictions(run, tmp_path / "out", tsv=tmp_path / "y.tsv")
    with pytest.raises(ValueError, match="holds no responses"):
        export_predictions(write_run(tmp_path / "none", []), tmp_path / "out")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, tsv = write_run(tmp_path / "run"), write_tsv(tmp_path / "MathVista_MINI.tsv", THEIRS)
    common = [str(run), "--format", "vlmevalkit", "--tsv", str(tsv), "--model_name", "m"]
    assert run_command(["export", *common, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'a' / 'm_MathVista_MINI.tsv'}: 4 predictions; 1 without a final answer")
    assert "1 rows of the data file without a prediction left out" in said
    assert run_command(["export", *common, "--out", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_predictions"] == 4
    with pytest.raises(ValueError, match="stands alone, and takes one run"):
        run_command(["export", *common, "--out", str(tmp_path / "c"), "--format", "vlmevalkit", "trl"])
    with pytest.raises(ValueError, match="belong to --format vlmevalkit"):
        run_command(["export", str(run), "--out", str(tmp_path / "c"), "--tsv", str(tsv)])
