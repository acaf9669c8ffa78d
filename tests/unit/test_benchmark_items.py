"""Benchmarks in every layout in which they are published; nothing lost, and files of something else refused."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from srpo.core.records import Rejected
from srpo.data.config import DrawnConfig, FieldMapping, SourceConfig
from srpo.eval.benchmarks.items import ItemSet, PublishedBenchmark, load_items, published
from srpo.eval.benchmarks.named import BENCHMARK_NAMES, benchmark_named


def picture(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "png")
    return buffer.getvalue()


def vista(pid: int, **other: object) -> dict[str, Any]:
    row = {"pid": str(pid), "question": "How long?", "image": f"images/{pid}.jpg", "choices": None, "unit": None,
           "precision": 1, "answer": "1.2", "question_type": "free_form", "answer_type": "float",
           "metadata": {"task": "textbook question answering", "skills": ["scientific reasoning"]},
           "query": "Hint: as published.\nQuestion: How long?"}  # fmt: skip
    return {**row, **other}


def vision(number: int, **other: object) -> dict[str, Any]:
    row = {"id": str(number), "question": "Which?\n<image1>", "options": ["A", "B", "C", "D", "E"], "answer": "B",
           "image": f"images/{number}.jpg", "level": 2, "subject": "algebra", "solution": None}  # fmt: skip
    return {**row, **other}


def write_lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(name: str, path: Path, *, pictures: bool = False, **source: object) -> ItemSet:
    return load_items(benchmark_named(name), SourceConfig(path=str(path), **source), pictures=pictures)


def ids(found: ItemSet) -> list[str]:
    return [item.problem.id for item in found.items]


def test_every_name_has_an_adapter() -> None:
    for name in BENCHMARK_NAMES:
        bench = benchmark_named(name)
        assert bench.name == name
        assert bench.title
        assert isinstance(bench, PublishedBenchmark) == (name != "custom")
        if isinstance(bench, PublishedBenchmark):
            assert bench.hub is not None
            assert all((bench.size, bench.citation, bench.columns, bench.files))


def test_a_file_of_lines_with_its_places(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "test.jsonl", vision(1), vision(2, answer=None), "no object", vision(4))
    found = load("mathvision", path)
    assert ids(found) == ["1", "4"]
    assert found.items[1].problem.source == f"{path}:4"
    assert [(row.place, row.reason) for row in found.rejected] == [
        (f"{path}:2", "column 'answer': no answer"),
        (f"{path}:3", "expected a JSON object, got str"),
    ]


def test_a_row_without_a_column_is_rejected(tmp_path: Path) -> None:
    row = vision(2)
    del row["subject"]
    found = load("mathvision", write_lines(tmp_path / "test.jsonl", vision(1), row))
    assert found.rejected == (Rejected.row(f"{tmp_path}/test.jsonl:2", "no column 'subject'"),)


def test_objects_keyed_by_id(tmp_path: Path) -> None:
    path = tmp_path / "testmini.json"
    path.write_text(json.dumps({"1": vista(1), "2": vista(2), "3": []}))
    found = load("mathvista", path)
    assert ids(found) == ["1", "2"]
    assert found.items[0].problem.source == f"{path}['1']"
    assert found.rejected == (Rejected.row(f"{path}['3']", "expected a JSON object, got list"),)
    path.write_text('{"1": {"pid": "1"}, "1": {"pid": "2"}}')
    with pytest.raises(ValueError, match="the key '1' is there twice"):
        load("mathvista", path)
    path.write_text('{"1": ')
    with pytest.raises(ValueError, match=r"testmini.json: not valid JSON"):
        load("mathvista", path)


def test_a_folder_with_other_files_beside_the_data(tmp_path: Path) -> None:
    write_lines(tmp_path / "testmini.jsonl", vista(7))
    write_lines(tmp_path / "recorded" / "gpt.jsonl", {"id": "7", "response": "1.2"})
    write_lines(tmp_path / "other.jsonl", {"x": 1})
    assert ids(load("mathvista", tmp_path)) == ["7"]
    gold = {"category": "VD", "subcategory": "ocr", "visual_input": "1", "set_id": "2", "figure_id": "0",
            "question_id": "1", "question": "Is it?", "gt_answer": "1", "filename": "./VD/ocr/2_0.png"}  # fmt: skip
    folder = tmp_path / "hallusion"
    folder.mkdir()
    (folder / "HallusionBench.json").write_text(json.dumps([gold]))
    sample = {name: value for name, value in gold.items() if name != "gt_answer"} | {"model_prediction": "Yes"}
    (folder / "HallusionBench_result_sample.json").write_text(json.dumps([sample]))
    assert ids(load("hallusionbench", folder)) == ["VD_ocr_2_0_1"]
    with pytest.raises(ValueError, match=r"not data of HallusionBench: .* gt_answer; found .*model_prediction"):
        load("hallusionbench", folder / "HallusionBench_result_sample.json")


def test_the_hubs_layout_with_pictures_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    columns = {"decoded_image": {"bytes": picture(), "path": None}, "precision": 1.0}
    pq.write_table(
        pa.Table.from_pylist([vista(1, **columns), vista(2, **columns)]),
        tmp_path / "data" / "testmini-00000-of-00001.parquet",
    )
    pq.write_table(pa.Table.from_pylist([vista(9)]), tmp_path / "data" / "test-00000-of-00001.parquet")
    found = load("mathvista", tmp_path, pictures=True, image_store=str(tmp_path / "store"))
    assert ids(found) == ["1", "2"]
    assert found.rejected == ()
    assert found.items[0].facts["precision"] == 1
    (stored,) = found.items[0].problem.images
    assert Path(stored).read_bytes() == picture()


def test_a_folder_per_subject(tmp_path: Path) -> None:
    for subject in ("Math", "Accounting"):
        (tmp_path / subject).mkdir()
        row = {"id": f"validation_{subject}_1", "question": "<image 1> What?", "options": "['a', 'b']", "answer": "A",
               "question_type": "multiple-choice", "image_1": {"bytes": picture(), "path": None}}  # fmt: skip
        for part in ("validation", "test"):
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / subject / f"{part}-00000-of-00001.parquet")
    found = load("mmmu", tmp_path)
    assert ids(found) == ["validation_Accounting_1", "validation_Math_1"]
    assert found.items[0].groups["domain"] == "Business"
    assert len(load("mmmu", tmp_path / "Math").items) == 1


def saved(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return folder


def test_data_sets_saved_to_disk(tmp_path: Path) -> None:
    saved(tmp_path / "all" / "test", vision(1), vision(2))
    saved(tmp_path / "all" / "testmini", vision(2))
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["test", "testmini"]}')
    assert ids(load("mathvision", tmp_path / "all")) == ["1", "2"]
    assert ids(load("mathvision-testmini", tmp_path / "all")) == ["2"]
    assert ids(load("mathvision", tmp_path / "all", split="testmini")) == ["2"]
    assert ids(load("mathvision", tmp_path / "all" / "test")) == ["1", "2"]
    row = {"pid": "Math_1", "question": "q", "answer": "3", "options": [""], "type": "Open-ended", "subject": "Math"}
    saved(tmp_path / "emma" / "Math", row)
    saved(tmp_path / "emma" / "Physics", {**row, "pid": "Physics_1"})
    assert ids(load("emma-mini", tmp_path / "emma")) == ["Math_1", "Physics_1"]


class Hub(ModuleType):
    """Stands for the package datasets: remembers what it was asked for."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        super().__init__("datasets")
        self.rows, self.asked = rows, list[tuple[Any, ...]]()

    def load_dataset(self, name: str, subset: str | None, *, split: str, revision: str | None, streaming: bool) -> Any:
        assert streaming
        self.asked.append((name, subset, split, revision))
        return self

    def decode(self, enable: bool) -> Iterator[dict[str, Any]]:
        assert not enable
        return iter(self.rows)


def test_the_hub_at_the_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(vista(1), vista(2))
    monkeypatch.setitem(sys.modules, "datasets", hub)
    bench = benchmark_named("mathvista")
    found = load_items(bench, published(bench), pictures=False)
    assert bench.hub is not None
    assert len(bench.hub.revision) == 40
    assert hub.asked == [("AI4Math/MathVista", None, "testmini", bench.hub.revision)]
    assert found.items[1].problem.source == "hub:AI4Math/MathVista/testmini:1"
    hub.asked.clear()
    list(bench.items(SourceConfig(hub="someone/mirror", split="mini", subset="x"), pictures=False))
    assert hub.asked == [("someone/mirror", "x", "mini", None)]


def test_subsets_and_splits_of_the_hub_are_chained(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setitem(sys.modules, "datasets", hub)
    with pytest.raises(ValueError, match="hub:lmms-lab/HallusionBench: holds no rows"):
        load_items(benchmark_named("hallusionbench"), published(benchmark_named("hallusionbench")))
    assert [asked[2] for asked in hub.asked] == ["image", "non_image"]
    hub.asked.clear()
    with pytest.raises(ValueError, match="holds no rows"):
        load_items(benchmark_named("emma"), published(benchmark_named("emma")))
    assert [asked[1] for asked in hub.asked] == ["Math", "Physics", "Chemistry", "Coding"]
    with pytest.raises(ValueError, match="custom: is not on the hub"):
        published(benchmark_named("custom"))


def test_rows_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    read: list[int] = []

    def rows(_: bool) -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            read.append(number)
            yield vista(number)

    monkeypatch.setattr(hub, "decode", rows)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    bench = benchmark_named("mathvista")
    stream = bench.items(published(bench), pictures=False)
    for _ in range(100):
        next(stream)
    assert len(read) < 200


def test_ids_that_are_there_twice_name_both_places(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "test.jsonl", vision(1), vision(2), vision(1))
    with pytest.raises(ValueError, match=rf"{path}:3: id '1' is already used at {path}:1"):
        load("mathvision", path)


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", *(vista(number) for number in range(50)))
    with pytest.raises(ValueError, match=r"x.jsonl:1: not data of We-Math testmini: .* ID, key, .*; found pid, quest"):
        load("wemath", path)
    with pytest.raises(ValueError, match="holds no rows"):
        load("wemath", write_lines(tmp_path / "empty.jsonl"))
    with pytest.raises(ValueError, match="no such file or folder"):
        load("wemath", tmp_path / "missing")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none: holds neither .*; We-Math testmini is published as testmini.jsonl"):
        load("wemath", tmp_path / "none")
    with pytest.raises(ValueError, match="drawn problems are not We-Math"):
        load_items(benchmark_named("wemath"), SourceConfig(drawn=DrawnConfig()))


def test_missing_pictures_matter_only_where_pictures_are_wanted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "test.jsonl", vision(1))
    assert len(load("mathvision", path).items) == 1
    (rejected,) = load("mathvision", path, pictures=True).rejected
    assert rejected.detail == f"picture 'images/1.jpg': no such file under {tmp_path}"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(picture())
    assert load("mathvision", path, pictures=True).items[0].problem.images == (str(tmp_path / "images" / "1.jpg"),)


def test_own_data_with_a_mapping(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "mine.jsonl",
        {"name": "a", "text": "How many?", "gold": "3", "topic": "bars", "level": 2, "image": "missing.png"},
        {"name": "b", "text": "", "gold": "3"},
    )
    mapping = FieldMapping(id="name", question="text", answer="gold")
    found = load("custom", path, mapping=mapping)
    assert ids(found) == ["a"]
    assert found.items[0].groups == {"family": "bars", "level": "2"}
    assert len(found.rejected) == 1
    assert "missing.png" in load("custom", path, pictures=True, mapping=mapping).rejected[0].detail
    drawn = load_items(benchmark_named("custom"), SourceConfig(drawn=DrawnConfig(count=4, split="dev")))
    assert len(drawn.items) == 4
    assert drawn.items[0].problem.images
