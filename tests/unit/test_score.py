"""`srpo score`: recorded responses of any model, graded, counted and written; wrong input is named by file and line."""

import gzip
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from srpo.cli.main import main
from srpo.core.records import Trace
from srpo.data.config import SourceConfig
from srpo.eval.config import EvalJudgeConfig, ScoreConfig
from srpo.eval.result import BenchmarkResult, EvalResult
from srpo.eval.score import score
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Generator, Request
from srpo.runs.directory import RunDir
from srpo.runs.record_file import RecordFile
from srpo.runs.rejects import read_rejected
from tests.support.responses import reflective

ITEMS = [
    {"id": "a", "question": "3+4?", "answer": "7", "family": "sum", "level": 1},
    {"id": "b", "question": "Which?", "answer": "B", "choices": ["red", "blue"], "family": "colour", "level": 1},
    {"id": 3, "question": "5+5?", "answer": "10", "family": "sum", "level": 2},
    {"id": "d", "question": "Who?", "answer": "a grey cat", "kind": "text", "family": "who", "level": 2},
]


def write(path: Path, rows: Sequence[object]) -> str:
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def data(folder: Path, *more: object) -> str:
    return write(folder / "data.jsonl", [*ITEMS, *more])


def answers(**given: object) -> list[dict[str, object]]:
    return [{"id": key, "response": text} for key, text in given.items()]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["score", "custom", "--no_symbolic", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def scored(
    folder: Path, given: Sequence[object], *, judge: Generator | None = None, rows: Path | None = None
) -> BenchmarkResult:
    responses = write(folder / "responses.jsonl", given)
    source = SourceConfig(path=data(folder))
    config = ScoreConfig(benchmark="custom", data=source, responses=responses, name="m", symbolic=False)
    if judge is not None:
        config = config.model_copy(update={"judge": EvalJudgeConfig(model="local:x", reflections=True)})
    return score(config, judge=judge, rows=rows)


def test_a_mixed_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses = write(
        tmp_path / "gpt.jsonl.gz",
        [
            {"id": 3, "response": "The sum is \\boxed{10}.", "time": 0.5},
            "",
            {"id": "a", "response": reflective("5", "7")},
            {"id": "b", "response": None},
        ],
    )
    rows = tmp_path / "rows.jsonl"
    words = ("--data", data(tmp_path), "--responses", responses, "--rows", str(rows))
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    found = BenchmarkResult.model_validate_json(out)
    assert (found.benchmark, found.model, found.n, found.missing) == ("custom", "gpt", 3, 1)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.accuracy_over_all == 0.5
    assert found.interval[0] < 2 / 3 < found.interval[1]
    assert (found.headline.name, found.headline.value) == ("accuracy", found.accuracy)
    assert (found.reflective, found.first_accuracy) == (1, 0.0)
    assert found.correction is not None
    assert found.correction.delta.value == 1.0
    assert found.decided_by == {"rule": 3}
    table = found.breakdown.tables["family"]
    assert {name: (cell.correct, cell.n) for name, cell in table.items()} == {"sum": (2, 2), "colour": (0, 1)}
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "3"]
    assert lines[0]["first_verdict"] == "incorrect"
    assert lines[1] == {
        "id": "b",
        "verdict": "incorrect",
        "correct": False,
        "extracted": None,
        "reason": lines[1]["reason"],
        "decided_by": "rule",
        "groups": {"family": "colour", "level": "1"},
    }
    code, out, _ = run(capsys, *words)
    assert code == 0
    for part in ("own data: gpt", "0.6667", "missing ones as wrong", "Acc@t2", "colour", "decided: 3 by the rule"):
        assert part in out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "response": "7"}, {"id": "aa", "response": "7"}], ":2: unknown id 'aa'"),
        ([{"id": "a", "response": "7"}, {"id": "a", "response": "7"}], ":2: id 'a' is already used at "),
        ([{"response": "7"}], ":1: field 'id' is missing; this row has 'response'"),
        ([{"id": "a", "prediction": "7"}], ":1: field 'response' is missing"),
        ([{"id": "a", "response": 7}], ":1: response should be a text, or null for none, not '7'"),
        ([{"id": "a", "response": ["7"]}], ":1: response should be a text, or null for none, not ['7']"),
        ([{"id": None, "response": "7"}], ":1: id should be a text or a number, not None"),
        ([{"id": "a", "response": "7"}, "{'id'}"], ":2:2: not valid JSON: Expecting property name"),
        (["[1]"], ":1: a row is a JSON object with id, response, not a list"),
        (["[" * 100_000], "r.jsonl:1: not valid JSON: nested too deeply"),
        (['{"id": "a", "response": ' + "9" * 10_000 + "}"], ":1: response should be a text"),
        ([], "holds no responses"),
    ],
)
def test_wrong_rows_are_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[object], message: str
) -> None:
    responses = write(tmp_path / "r.jsonl", rows)
    written = tmp_path / "rows.jsonl"
    code, out, err = run(capsys, "--data", data(tmp_path), "--responses", responses, "--rows", str(written))
    assert (code, out) == (2, "")
    assert message in err
    assert not written.exists()


def test_what_is_read_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses, source = write(tmp_path / "r.jsonl", answers(a="7")), data(tmp_path)
    traces = tmp_path / "run" / "traces.jsonl"
    traces.parent.mkdir()
    (traces.parent / "config.json").write_text("{}")
    write(traces, answers(a="7"))
    for path, message in ((responses, "is what is read"), (source, "is what is read"), (traces, "is a file of a run")):
        before = Path(path).read_bytes()
        code, out, err = run(capsys, "--data", source, "--responses", responses, "--rows", str(path))
        assert (code, out) == (2, "")
        assert f"--rows {str(path)!r} {message}" in err
        assert Path(path).read_bytes() == before


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = data(tmp_path)
    whole = Path(write(tmp_path / "cut.jsonl.gz", answers(a="7" * 10_000)))
    whole.write_bytes(whole.read_bytes()[:-20])
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"id": "a", "response": "\xff"}\n')
    for path, message in (
        (tmp_path / "none.jsonl", "No such file"),
        (whole, ":1: the compressed file is damaged"),
        (bad, ":1: not UTF-8"),
        (tmp_path, "Is a directory"),
    ):
        code, _, err = run(capsys, "--data", source, "--responses", str(path))
        assert code == 2, path
        assert message in err
    twice = data(tmp_path, {"id": "a", "question": "again?", "answer": "1"})
    code, _, err = run(capsys, "--data", twice, "--responses", write(tmp_path / "r.jsonl", answers(a="7")))
    assert code == 2
    assert "data.jsonl:5: id 'a' is already used at" in err


def test_command_lines_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "mathvisoin", "--data", "x", "--responses", "y"]) == 2
    assert "did you mean 'mathvision'" in capsys.readouterr().err
    assert main(["score", "custom", "--data", "x"]) == 2
    assert "--responses" in capsys.readouterr().err
    responses = write(tmp_path / "r.jsonl", answers(a="7"))
    words = ("--data", data(tmp_path), "--responses", responses)
    code, _, err = run(capsys, *words, "--rows", str(tmp_path / "no" / "rows.jsonl"))
    assert (code, "there is no folder" in err) == (2, True)
    code, _, err = run(capsys, *words, "--max_usd", "1")
    assert (code, "give --judge" in err) == (2, True)


def test_standard_input_and_styles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"id": "a", "response": reflective("5", "7")}).encode()
    for style, count in (("auto", 1), ("reflective", 1), ("single", 0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
        words = ("--data", data(tmp_path), "--responses", "-", "--style", style, "--json")
        code, out, _ = run(capsys, *words)
        found = BenchmarkResult.model_validate_json(out)
        assert (code, found.model, found.reflective, found.accuracy) == (0, "stdin", count, 1.0)
        assert (found.first_accuracy is None) == (not count)


def test_ungradable_golds_and_lone_surrogates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [{"id": key, "question": "q", "answer": "F", "choices": ["1", "2"], "kind": "letter"} for key in ("x", "y")]
    responses = write(tmp_path / "r.jsonl", ['{"id": "a", "response": "\\ud800 7"}', *answers(x="7", b="", d=" ")])
    rows = tmp_path / "rows.jsonl"
    words = ("--data", data(tmp_path, *more, {"id": "bad", "question": ""}), "--responses", responses)
    code, out, err = run(capsys, *words, "--rows", str(rows), "--json")
    found = BenchmarkResult.model_validate_json(out)
    assert code == 0
    assert (found.n, found.missing, found.ungradable, found.unusable) == (3, 1, 2, 1)
    assert found.n + found.missing + found.ungradable + found.unusable == len(ITEMS) + 3
    assert "1 rows of" in err
    verdicts = {line["id"]: line["verdict"] for line in map(json.loads, rows.read_text().splitlines())}
    assert verdicts["x"] == "ungradable"
    assert verdicts["b"] == verdicts["d"] == "incorrect"


def test_a_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses = write(tmp_path / "r.jsonl", answers(a=reflective("7", "7"), b="(A)"))
    out_dir = tmp_path / "run"
    words = ("--data", data(tmp_path), "--responses", responses, "--out", str(out_dir))
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    result = EvalResult.model_validate(RunDir.read(out_dir).summary())
    assert result.benchmark == BenchmarkResult.model_validate_json(out)
    assert (result.rows, result.answered, result.missing) == (4, 2, 2)
    assert (result.summary.n, result.summary.final_accuracy) == (2, 0.5)
    traces = list(RunDir.read(out_dir).traces())
    assert [(trace.problem.id, trace.style) for trace in traces] == [("a", "reflective"), ("b", "single")]
    assert traces[0].text == reflective("7", "7")
    assert [(row.where, row.id) for row in read_rejected(out_dir)] == [("response", "3"), ("response", "d")]
    assert len((out_dir / "rows.jsonl").read_text().splitlines()) == 2
    code, again, err = run(capsys, *words, "--json")
    assert (code, again, "is finished already" in err) == (0, out, True)
    write(tmp_path / "r.jsonl", answers(a="8"))
    code, _, err = run(capsys, *words)
    assert (code, "responses_sha256 is" in err) == (2, True)
    assert main(["show", str(out_dir), "--limit", "1"]) == 0


def judge_of(verdicts: dict[str, str]) -> FakeGenerator:
    def reply(request: Request, _: int) -> str:
        text = request.messages[-1].text
        if "score>" in text:
            return "Sound. <score>4</score>"
        return next((verdict for part, verdict in verdicts.items() if part in text), "I would rather not say")

    return FakeGenerator(reply)


def test_a_judge_decides_what_the_rule_is_not_sure_of(tmp_path: Path) -> None:
    judge = judge_of({"a silver tomcat": '```json\n{"why": "same animal", "verdict": "correct",}\n```'})
    given = answers(
        **{"a": reflective("5", "7"), "b": "A", "3": "11", "d": reflective("a dog with spots", "a silver tomcat")}
    )
    found = scored(tmp_path, given, judge=judge, rows=tmp_path / "rows.jsonl")
    assert found.accuracy == 0.5
    assert found.decided_by == {"rule": 3, "judge": 1}
    assert (found.judge, found.judge_failures) == ("fake", {"no verdict in the reply": 1})
    assert found.quality is not None
    assert (found.quality.n, found.quality.mean, found.quality.failed) == (2, 4.0, 0)
    rows = {row["id"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert (rows["d"]["decided_by"], rows["d"]["reason"]) == ("judge", "judge: correct, same animal")
    assert (rows["d"]["first_verdict"], rows["d"]["score"]) == ("incorrect", 4)
    # Another letter and another number are plainly wrong: nobody is asked about them.
    asked = [request.messages[0].text for request in judge.requests if len(request.messages) == 1]
    assert len(asked) == 2
    assert not any("misread" in text or "<think>" in text for text in asked)


def test_the_authors_own_code_stands_beside_our_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [("choice", "multiple-choice", "['5 cm', '6 cm']", "B"), ("box", "multiple-choice", "['1', '2']", "B")]
    golds = [("open", "open", "[]", "['0.5', '1/2']"), ("tags", "multiple-choice", "['1', '2']", "B")]
    names = ("id", "question_type", "options", "answer")
    questions = [{"question": "?", **dict(zip(names, row, strict=True))} for row in options + golds]
    given = answers(
        choice="The answer is (B). It is longer than (A).",  # the last bracket wins there
        box=r"It is \boxed{B}",  # a box is nothing there
        open="the result is 0.5.",
        tags=reflective("A", "(B)"),  # the final answer alone is handed over
    )
    out = tmp_path / "rows.jsonl"
    files = ["--data", write(tmp_path / "mmmu.jsonl", questions), "--responses", write(tmp_path / "r.jsonl", given)]
    assert main(["score", "mmmu", "--no_symbolic", *files, "--rows", str(out), "--json"]) == 0
    found = BenchmarkResult.model_validate_json(capsys.readouterr().out)
    assert found.accuracy == 1.0
    assert found.official is not None
    assert (found.official.code, found.official.accuracy, found.official.n) == ("eval_utils.py", 0.5, 4)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["id"]: row["official_correct"] for row in rows} == {
        "choice": False, "box": False, "open": True, "tags": True,
    }  # fmt: skip
    assert main(["score", "mmmu", "--no_symbolic", *files]) == 0
    assert re.search(r"by the authors' eval_utils.py\W+0\.5000", capsys.readouterr().out)


def test_own_data_has_no_official_code(tmp_path: Path) -> None:
    assert scored(tmp_path, answers(a="7")).official is None


def test_records_in_a_file(tmp_path: Path) -> None:
    traces = [
        Trace.model_validate(
            {
                "origin": {"stage": "eval", "model": "m"},
                "problem": {"id": str(number), "question": "q", "answer": "1"},
                "text": "x\n" * number,
                "parsed": {"where": 0, "what": "expected <think>"},
                "first_grade": {"verdict": "correct", "extracted": "1", "reason": ""},
                "final_grade": {"verdict": "correct", "extracted": "1", "reason": ""},
            }
        )
        for number in range(5)
    ]
    with RecordFile(tmp_path / "x", Trace) as file:
        assert [file.append(trace) for trace in traces[:3]] == [0, 1, 2]
        assert file[1] == traces[1]
        first = iter(file)
        assert [next(first), *file] == [traces[0], *traces[:3]]
        assert [file.append(trace) for trace in traces[3:]] == [3, 4]
        assert list(file) == traces
        assert file[-2:] == traces[-2:]
        assert len(file) == 5
