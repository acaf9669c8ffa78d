"""Rows that cannot be used are listed with file and line in one report before anything is sent to a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from srpo.runs.rejects import read_rejected
from tests.support.fault_server import Body, FaultServer, prompt_text

ROOT = Path(__file__).parents[2]

ROWS: dict[str, dict[str, str]] = {
    "": {"id": "a", "question": "How many bars are there?", "answer": "3", "image": "a.png"},
    "picture 'gone.png': no such file": {"id": "b", "question": "How tall is it?", "answer": "12", "image": "gone.png"},
    "empty question": {"id": "c", "question": "  ", "answer": "4", "image": "a.png"},
    "gold 'n/a' is ungradable": {"id": "d", "question": "Which is longest?", "answer": "n/a", "image": "a.png"},
    "column 'question' is missing": {"id": "e", "frage": "How wide is it?", "answer": "5", "image": "a.png"},
}
"""What is wrong -> the row; the key `` is the row that is right. Each is on the line of its position."""


def write(folder: Path, rows: list[dict[str, str]]) -> Path:
    Image.new("RGB", (40, 30), "teal").save(folder / "a.png")
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def srpo(*words: object, errors: Path) -> int:
    with errors.open("w") as stderr:
        return subprocess.run(
            [sys.executable, "-m", "srpo", *map(str, words)],
            cwd=ROOT,
            stdout=stderr,
            stderr=stderr,
            check=False,
            timeout=60,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).returncode


def reflect(server: FaultServer, data: Path, out: Path) -> tuple[object, ...]:
    model = json.dumps({"model": "policy", "base_url": server.base_url})
    words = ("reflect", "recipes/tiny/reflect.yaml", "--model", model, "--teacher.model", "policy", "--data", data)
    return (*words, "--num_samples", "1", "--wrong_share", "null", "--out", out)


def says(body: Body, _: int) -> str:
    if "for your eyes only" in prompt_text(body):
        return "<reflection>There are 3 bars.</reflection><think>I count 3 bars</think><answer>3</answer>"
    return "<think>I see two bars</think><answer>2</answer>"


def check_report(report: str, data: Path) -> None:
    for line, what in enumerate(ROWS, start=1):
        listed = [one for one in report.splitlines() if f"{data}:{line}:" in one]
        assert len(listed) == bool(what), report
        assert all(what in one for one in listed)


@pytest.mark.slow
def test_bad_rows_are_reported_before_the_first_request(tmp_path: Path) -> None:
    data, errors, out = write(tmp_path, list(ROWS.values())), tmp_path / "printed", tmp_path / "run"
    at_first_request: list[str] = []

    def answer(body: Body, sample: int) -> str:
        at_first_request.append(errors.read_text())
        return says(body, sample)

    assert srpo("data", "check", data, errors=errors) == 1
    check_report(errors.read_text(), data)
    with FaultServer(answer) as server:
        assert srpo(*reflect(server, data, out), "--dry_run", errors=errors) == 0
        check_report(errors.read_text(), data)
        assert "problems: 1 (of 5 rows read)" in errors.read_text()
        assert not server.received
        assert srpo(*reflect(server, data, out), errors=errors) == 0
        assert sum(server.received.values()) == 2
    check_report(at_first_request[0], data)
    assert f"4 of 5 rows of {data} are not used" in at_first_request[0]
    assert "nothing was spent on them" in at_first_request[0]
    assert [(row.where, row.place) for row in read_rejected(out)] == [("source", f"{data}:{n}") for n in (2, 3, 4, 5)]
    assert len((out / "traces.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_with_nothing_but_bad_rows_nothing_is_sent(tmp_path: Path) -> None:
    data, errors = write(tmp_path, list(ROWS.values())[1:]), tmp_path / "printed"
    with FaultServer(says) as server:
        assert srpo(*reflect(server, data, tmp_path / "run"), errors=errors) == 2
        assert f"no usable problem in {data}" in errors.read_text()
        # The last --data wins.
        wrong = json.dumps({"path": str(data), "mapping": {"question": "qestion"}})
        assert srpo(*reflect(server, data, tmp_path / "other"), "--data", wrong, errors=errors) == 2
        assert "did you mean 'question'?" in errors.read_text()
        assert not server.received
