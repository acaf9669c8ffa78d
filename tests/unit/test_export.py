"""Exports hold what was put in, in the published schemas; consumers' own code loads them in `recipes`."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from srpo.cli.main import run_command
from srpo.core.records import FormatError, Response
from srpo.core.response import parse
from srpo.data.images import load_image
from srpo.data.sources import SourceConfig, load_problems
from srpo.export.pictures import read_picture
from srpo.export.run import export
from tests.support.export_run import RIGHT, WRONG, make_problems, make_run, make_trace, write_traces


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    export([str(make_run(folder))], folder / "out")
    return folder / "out"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_llamafactory(out: Path) -> None:
    entry = json.loads((out / "llamafactory" / "dataset_info.json").read_text())["srpo"]
    rows = lines(out / "llamafactory" / entry["file_name"])
    assert len(rows) == 12
    for row in rows:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == (entry["tags"]["user_tag"], entry["tags"]["assistant_tag"])
        assert user["content"].count("<image>") == len(row["images"])
        assert "<video>" not in user["content"]
        assert isinstance(parse(assistant["content"]), Response)
        for name in row["images"]:
            Image.open(out / "llamafactory" / name).verify()


def test_trl_and_its_types(out: Path) -> None:
    table = pq.read_table(out / "trl" / "train.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == [{"_type": "Image"}]
    rows = table.to_pylist()
    assert [len(row["images"]) for row in rows[::2]] == [1, 1, 1, 2, 1, 0]
    assert rows[0]["prompt"][0]["role"] == "user"
    assert "<image>" not in rows[0]["prompt"][0]["content"]
    assert rows[0]["completion"][0]["content"].startswith("<think>3+2=5</think>")


def test_verl(out: Path) -> None:
    sft = pq.read_table(out / "verl" / "sft.parquet").to_pylist()
    rl = pq.read_table(out / "verl" / "rl.parquet").to_pylist()
    assert (len(sft), len(rl)) == (12, 6)
    assert [turn["role"] for turn in sft[0]["messages"]] == ["user", "assistant"]
    two = rl[3]
    assert two["prompt"][0]["content"].startswith("<image><image>How many in two?")
    assert two["reward_model"] == {"style": "rule", "ground_truth": "7"}
    assert (two["extra_info"]["index"], two["extra_info"]["choices"]) == (3, ["7", "8"])
    assert {row["extra_info"]["share_right"] for row in rl} == {0.25}


def test_the_rl_file_can_be_read_back_as_problems(out: Path, tmp_path: Path) -> None:
    source = SourceConfig(path=str(out / "verl" / "rl.parquet"), image_store=str(tmp_path))
    found = load_problems(source)
    assert found.rejected == ()
    assert [problem.answer for problem in found.problems] == ["7"] * 6
    assert found.problems[3].choices == ("7", "8")


def test_hf_has_a_column_for_each_part(out: Path) -> None:
    row = pq.read_table(out / "data").to_pylist()[0]
    assert (row["first_answer"], row["second_answer"], row["outcome"]) == ("5", "7", "wrong→right")
    assert (row["source"], row["teacher"], row["level"]) == ("bars.jsonl:1", "teacher-72b revise/v1", None)


def test_pictures_look_as_srpo_saw_them(tmp_path: Path) -> None:
    for problem in make_problems(tmp_path):
        for ref in problem.images:
            picture = read_picture(ref)
            path = tmp_path / f"out.{picture.suffix}"
            path.write_bytes(picture.data)
            with Image.open(path) as image:
                assert image.convert("RGB").tobytes() == load_image(ref).tobytes()
    assert read_picture(str(tmp_path / "plain.png")).data == (tmp_path / "plain.png").read_bytes()


def test_manifest_has_each_picture_once(out: Path) -> None:
    rows = lines(out / "manifest.jsonl")
    stored = {path.stem for path in (out / "llamafactory" / "images").rglob("*.*")}
    assert {row["sha256"] for row in rows} == stored
    assert len(rows) == len(stored) == 4
    assert rows[1]["original_sha256"] != rows[1]["sha256"]


def test_card_has_counts_rejects_models_and_money(out: Path) -> None:
    text = (out / "README.md").read_text()
    for part in (
        "path: data/train-00000-of-00001.parquet",
        "| wrong→right | 12 |",
        "| bars.jsonl | 12 |",
        "| policy-7b | 12 |",
        "| teacher-72b revise/v1 | 12 |",
        "| spend.t.usd | 1.25 |",
        "| format \\| not five blocks | 2 |",
    ):
        assert part in text, part


def test_what_is_no_sample_is_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem, missing = make_problems(tmp_path)[:2]
    Path(missing.images[0]).unlink()
    good = make_trace(problem)
    broken = good.model_copy(update={"parsed": FormatError(where=0, what="no think")})
    traces = [good, broken, make_trace(problem, first=RIGHT, final=WRONG), make_trace(missing)]
    path = write_traces(tmp_path / "t.jsonl", traces)
    with path.open("a", encoding="utf-8") as file:
        file.write(good.model_dump_json()[:100])
    assert run_command(["export", str(path), "--out", str(tmp_path / "out"), "--format", "trl", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.count("t.jsonl:5: the last line is cut off; it is left out") == 1
    result = json.loads(said.out)
    assert (result["num_traces"], result["num_samples"], result["formats"]) == (5, 1, ["trl"])
    assert result["left_out"] == {
        "the format does not parse": 1,
        "the final answer is incorrect": 1,
        "a picture cannot be read": 1,
        "the last line is cut off": 1,
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "manifest.jsonl", "trl"]
    assert "configs:" not in (tmp_path / "out" / "README.md").read_text()


def test_refusals_name_the_cure(tmp_path: Path) -> None:
    problem = make_problems(tmp_path)[0]
    path = write_traces(tmp_path / "t.jsonl", [make_trace(problem, final=WRONG)])
    with pytest.raises(ValueError, match="can be exported: 1 the final answer is incorrect"):
        export([str(path)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"is neither a run directory with a traces.jsonl nor a file"):
        export([str(tmp_path / "none")], tmp_path / "out")
    with pytest.raises(ValueError, match="is not an empty directory; choose another --out"):
        export([str(path)], tmp_path)
    with pytest.raises(ValueError, match="'csv' is not allowed: should be 'llamafactory', 'trl', 'verl', 'hf'"):
        run_command(["export", str(path), "--out", str(tmp_path / "out"), "--format", "csv"])
    good = write_traces(tmp_path / "g.jsonl", [make_trace(problem)])
    with pytest.raises(ValueError, match="unknown prompt 'x'"):
        export([str(good)], tmp_path / "out", prompt="x")


def test_a_prompt_may_be_chosen(tmp_path: Path) -> None:
    path = write_traces(tmp_path / "t.jsonl", [make_trace(make_problems(tmp_path)[0])])
    export([str(path)], tmp_path / "out", formats=("trl",), prompt="bare")
    (row,) = pq.read_table(tmp_path / "out" / "trl").to_pylist()
    assert row["prompt"][0]["content"] == "How many in plain? [image] [video]"
