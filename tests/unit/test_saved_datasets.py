"""Folders of `datasets.save_to_disk`, the hub out of reach, and JSON arrays of any size."""

import json
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from srpo.data.config import SourceConfig
from srpo.data.json_array import iter_json_array
from srpo.data.sources import load_problems


def save(folder: Path, *shards: list[dict[str, object]]) -> Path:
    """What `save_to_disk` writes, as far as a reader needs it."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def rows(*names: str) -> list[dict[str, object]]:
    return [{"problem": name, "answer": "1"} for name in names]


def test_a_saved_dataset_with_shards(tmp_path: Path) -> None:
    folder = save(tmp_path / "train", rows("a", "b"), rows("c"))
    found = load_problems(SourceConfig(path=str(folder)))
    assert [problem.question for problem in found.problems] == ["a", "b", "c"]
    assert found.problems[2].source == f"{folder}:2"


def test_splits_are_named(tmp_path: Path) -> None:
    save(tmp_path / "train", rows("a"))
    save(tmp_path / "test", rows("b"))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert load_problems(SourceConfig(path=str(tmp_path), split="test")).problems[0].question == "b"
    with pytest.raises(ValueError, match="has the splits train, test; name one with split"):
        load_problems(SourceConfig(path=str(tmp_path)))
    with pytest.raises(ValueError, match="has no split 'dev'; it has train, test"):
        load_problems(SourceConfig(path=str(tmp_path), split="dev"))
    with pytest.raises(ValueError, match="is one split by itself"):
        load_problems(SourceConfig(path=str(tmp_path / "train"), split="train"))


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "train", rows("a"), rows("b"))
    (folder / "data-00001-of-00002.arrow").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"data-00001-of-00002.arrow: not a readable Arrow file"):
        load_problems(SourceConfig(path=str(folder)))


def test_the_hub_without_datasets_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"needs the package datasets .*save_to_disk\(FOLDER\).*give `path: FOLDER`"):
        load_problems(SourceConfig(hub="owner/name"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_json_arrays_come_in_parts(tmp_path: Path, chunk: int) -> None:
    path = tmp_path / "x.json"
    value = [{"a": 1, "b": [1.50, {"c": '] , [ \\ " é 😀'}]}, {"a": "x" * 50}, 12345, "text", None, []]
    path.write_text(json.dumps(value, indent=2))
    expected = json.loads(path.read_text(), parse_int=str, parse_float=str)
    assert list(iter_json_array(path, chunk=chunk)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"a": }]', ":2:7: not valid JSON: Expecting value"),
        ('[{"a": 1}\n {"b": 2}]', ":2:2: not valid JSON: Expecting ',' delimiter"),
        ('[{"a": 1}, {"b": "x', ":1:18: not valid JSON: Unterminated string"),
        ("[{}]\n{}", ":2:1: not valid JSON: Extra data"),
        ("[1,", ":1:4: not valid JSON: Expecting value"),
        ("", "begins with ''"),
        ("[" + "[" * 100_000, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("chunk", [3, 1 << 20])
def test_damaged_arrays_say_where(tmp_path: Path, text: str, message: str, chunk: int) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json") as caught:
        list(iter_json_array(path, chunk=chunk))
    assert message in str(caught.value)


def test_a_large_array_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" + ",\n".join([json.dumps({"question": "q" * 500})] * 1000) + "]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in iter_json_array(path, chunk=4096)) == 1000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 4
