import io
import json
from pathlib import Path

import pytest

from srpo.cli.main import run_command


def _write(tmp_path: Path, *rows: object) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_json_rows_come_out_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(
        tmp_path,
        {"id": "a", "gold": "12 cm", "prediction": "120 mm"},
        {"id": 2, "gold": "B", "prediction": "A or B", "choices": ["1", "2"]},
        "",
        {"id": "c", "gold": "", "prediction": "5"},
        {"id": "d", "gold": 7, "prediction": None, "kind": None, "choices": None, "extra": 1},
        '{"id": "e", "gold": "5", "prediction": "\\ud800"}',
    )
    assert run_command(["grade", path, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["correct", "incorrect", "ungradable", "incorrect", "incorrect"]
    assert [row["id"] for row in rows] == ["a", "2", "c", "d", "e"]
    assert set(rows[0]) == {"id", "verdict", "extracted", "reason"}


def test_table_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, {"id": "a", "gold": "5", "prediction": "5"}, {"id": "b", "gold": "5", "prediction": "6"})
    assert run_command(["grade", path, "--no_symbolic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["a", "correct"]
    assert lines[-1] == "2 rows: 1 correct, 1 incorrect, 0 ungradable; accuracy on gradable rows 50.0%"


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = '\ufeff{"id": "a", "gold": "5", "prediction": "5"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run_command(["grade", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "correct"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "rows.jsonl:2:2: not valid JSON"),
        ("[1]", "rows.jsonl:2: a row is a JSON object with id, gold, .*, not a list"),
        ({"id": "b", "gold": "5"}, "rows.jsonl:2: field 'prediction' is missing"),
        ({"id": "a", "gold": "5", "prediction": "5"}, "rows.jsonl:2: id 'a' is already used at .*rows.jsonl:1"),
        ({"id": "b", "gold": ["5"], "prediction": "5"}, "rows.jsonl:2: gold should be a text or a number"),
        ({"id": "b", "gold": "5", "prediction": "5", "choices": "AB"}, "rows.jsonl:2: choices should be a list"),
        ("[" * 100_000, "rows.jsonl:2: not valid JSON: nested"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, row: object, message: str) -> None:
    path = _write(tmp_path, {"id": "a", "gold": "5", "prediction": "5"}, row)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        run_command(["grade", path])


def test_missing_file_and_wrong_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        run_command(["grade", str(tmp_path / "absent.jsonl")])
    with pytest.raises(ValueError, match="--symbolik: unknown field; did you mean 'symbolic'"):
        run_command(["grade", "rows.jsonl", "--symbolik"])
    with pytest.raises(ValueError, match=r"FILE\.jsonl: is missing"):
        run_command(["grade"])
    assert run_command(["grade", "--help"]) == 0
    assert "FILE.jsonl" in capsys.readouterr().out
