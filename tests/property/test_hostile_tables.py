"""Files whose rows would take the memory, or the run, of everybody else."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from srpo.core.records import Rejected
from srpo.data.config import SourceConfig
from srpo.data.jsonl import LONGEST_LINE
from srpo.data.rows import read_rows
from srpo.data.sources import iter_problems, load_problems

MIB = 1 << 20


COUNT = """
import resource, sys
from srpo.data.rows import Row, read_rows
import pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print([row.detail for row in read_rows(sys.argv[1]) if not isinstance(row, Row)])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def read_apart(path: Path) -> tuple[str, int]:
    """What is rejected, and the MiB that a process of its own took at most."""
    done = subprocess.run([sys.executable, "-c", COUNT, str(path)], capture_output=True, text=True, check=True)
    rejected, peak = done.stdout.splitlines()
    return rejected, int(peak)


def test_a_large_cell_in_a_small_file_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"question": ["x" * (96 * MIB)], "answer": ["1"]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    rejected, peak = read_apart(path)
    assert "rows 0 to 0 cannot be read: column 'question' has" in rejected
    assert peak < 80


def test_a_value_that_repeats_is_unpacked_a_few_rows_at_a_time(tmp_path: Path) -> None:
    """64 rows of 24 MiB each."""
    path = tmp_path / "x.parquet"
    table = pa.table({"question": pa.DictionaryArray.from_arrays([0] * 64, ["x" * (24 * MIB)]), "answer": ["1"] * 64})
    pq.write_table(table, path, compression="zstd")
    rejected, peak = read_apart(path)
    assert rejected == "[]"
    assert peak < 400


def test_plain_texts_are_read_many_rows_at_a_time(tmp_path: Path) -> None:
    """One row at a time takes 40 times as long; the share of two readings does not depend on the machine."""
    path = tmp_path / "x.parquet"
    texts = [f"{number} bars of {'a length, ' * 60}" for number in range(20_000)]
    pq.write_table(pa.table({"question": texts, "answer": texts}), path)

    def seconds(read: Callable[[], int]) -> float:
        began = time.process_time()
        assert read() == len(texts)
        return time.process_time() - began

    ours = seconds(lambda: sum(1 for _ in read_rows(str(path))))
    arrows = seconds(lambda: sum(len(batch.to_pylist()) for batch in pq.ParquetFile(path).iter_batches(1)))
    assert ours < 0.6 * arrows


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = [{"question": f"How many of {number} things are there?", "answer": "1"} for number in range(30)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, compression="zstd")
    at = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 40] = bytes(40)
    path.write_bytes(bytes(data))
    found = load_problems(SourceConfig(path=str(path)))
    assert [problem.id for problem in found.problems] == [f"x:{number}" for number in (*range(10), *range(20, 30))]
    assert [(row.place, row.reason) for row in found.rejected] == [(f"{path}:10", "damaged row group")]
    assert found.rejected[0].detail.startswith("rows 10 to 19 cannot be read: ")


def test_a_text_that_is_not_utf8_costs_its_own_row(tmp_path: Path) -> None:
    texts = pa.array([b"How many?", b"\xff\xfe", b"Which?"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"question": texts, "answer": ["1", "2", "3"]}), tmp_path / "x.parquet")
    found = load_problems(SourceConfig(path=str(tmp_path / "x.parquet")))
    assert [problem.id for problem in found.problems] == ["x:0", "x:2"]
    assert [(row.place, row.reason) for row in found.rejected] == [(f"{tmp_path / 'x.parquet'}:1", "cannot be decoded")]


@pytest.mark.parametrize("state", ["[]", "{}", '{"_data_files": 7}', '{"_data_files": [{}]}', "null"])
def test_a_saved_data_set_without_its_list_of_files_is_named(tmp_path: Path, state: str) -> None:
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(ValueError, match=r"state\.json: names no data files"):
        load_problems(str(tmp_path))
    (tmp_path / "state.json").unlink()
    (tmp_path / "dataset_dict.json").write_text(state)
    with pytest.raises(ValueError, match=r"dataset_dict\.json: names no splits"):
        load_problems(str(tmp_path))


def test_an_element_without_end_is_not_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("w") as file:
        file.write('["')
        for _ in range(LONGEST_LINE // MIB + 8):
            file.write("x" * MIB)
    with pytest.raises(ValueError, match=r"x\.json:1:2: an element is longer than"):
        load_problems(str(path))


@pytest.mark.parametrize(
    "row",
    [
        {"level": float("inf")},
        {"level": float("nan")},
        {"choices": "{[]: 1}"},
        {"choices": "{1: 'a', 'b': 'c'}"},
        {"choices": "[" * 10_000},
        {"choices": "(" * 10_000},
        {"choices": {"A": {"B": 1}}},
        {"image": "x" * 300},
        {"image": "\ud800.png"},
        {"image": [[["a"]]]},
        {"image": {"path": {"path": {"path": {"path": {"path": {"path": "x"}}}}}}},
    ],
)
def test_one_row_never_ends_the_run(tmp_path: Path, row: dict[str, object]) -> None:
    path = tmp_path / "x.jsonl"
    sound = {"question": "q", "answer": "A"}
    path.write_text("".join(json.dumps(one) + "\n" for one in (sound, {**sound, **row}, sound)))
    items = list(iter_problems(SourceConfig(path=str(path))))
    places = [item.place if isinstance(item, Rejected) else item.source for item in items]
    assert places == [f"{path}:{number}" for number in (1, 2, 3)]
    assert not isinstance(items[0], Rejected)
    assert not isinstance(items[2], Rejected)
