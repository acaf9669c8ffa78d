"""Published results: those that are shipped, and a user's own."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from srpo.config.nodes import ConfigError
from srpo.eval.benchmarks.named import BENCHMARK_NAMES, benchmark_named
from srpo.report.leaderboard.datasets import DATASETS
from srpo.report.leaderboard.published import Published, read_published
from tests.support.board_rows import OWN

LISTED = "SRPO (as an index lists it)"
SEVEN = ("mathvista", "mmmu", "mathverse", "wemath", "mmstar", "charxiv", "hallusionbench")


@pytest.fixture(scope="module")
def shipped() -> tuple[Published, ...]:
    return read_published()


def value(rows: Sequence[Published], model: str, benchmark: str, source: str) -> float:
    (found,) = [row.value for row in rows if (row.model, row.benchmark) == (model, benchmark) and source in row.place]
    return found


def test_shipped_numbers_are_those_of_the_sources(shipped: tuple[Published, ...]) -> None:
    assert value(shipped, "SRPO-7B", "mathvista", "2506.01713v3, Table 1") == 0.758
    assert value(shipped, "SRPO-32B", "emma", "2506.01713v3, Table 1") == 0.382
    assert value(shipped, "Qwen3-VL-8B-Instruct", "hallusionbench", "2511.21631, Table 4") == 0.611
    assert value(shipped, "Qwen3-VL-235B-A22B-Thinking", "wemath", "2511.21631, Table 2") == 0.748
    assert value(shipped, "Qwen2.5-VL-7B", "charxiv", "2502.13923") == 0.425
    assert value(shipped, "InternVL3.5-38B", "mmmu", "2508.18265") == 0.769


def test_every_shipped_number_has_a_source_and_a_known_benchmark(shipped: tuple[Published, ...]) -> None:
    assert len(shipped) > 350
    for row in shipped:
        if row.model == LISTED:
            continue
        assert re.search(r"arXiv \d{4}\.\d{5}(v\d)?, Tables? \d", row.place), row
        assert row.url.startswith("https://arxiv.org/abs/")
        assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", row.date)
        assert row.benchmark in DATASETS
        assert 0 < row.value < 1
    keys = [(row.model, row.benchmark, row.metric, row.split, row.place) for row in shipped]
    assert len(keys) == len(set(keys))


def test_the_rows_of_an_index_say_that_it_names_no_table_and_keep_their_ranks(shipped: tuple[Published, ...]) -> None:
    rows = {row.benchmark: row for row in shipped if row.model == LISTED}
    assert set(rows) == set(SEVEN)
    ranks = {name: int(row.note.split()[1]) for name, row in rows.items()}
    assert (ranks["mathvista"], ranks["mmmu"], ranks["hallusionbench"]) == (189, 167, 15)
    assert all("names no table" in row.place and "Octopus" in row.harness for row in rows.values())


def test_seven_benchmark_table_is_whole(shipped: tuple[Published, ...]) -> None:
    of_qwen = [row for row in shipped if "2511.21631, Table 2" in row.place]
    models = {row.model for row in of_qwen}
    assert len(models) == 8
    assert {(row.model, row.benchmark) for row in of_qwen} == {(m, b) for m in models for b in SEVEN}


def test_mmk12_rows_are_means_of_the_four_subjects_of_the_source(shipped: tuple[Published, ...]) -> None:
    subjects = {"SRPO-7B": (75.3, 60.6, 70.3, 69.5), "OpenVLThinker-7B": (63.0, 53.8, 60.6, 65.0)}
    subjects |= {"InternVL2.5-38B-MPO": (41.4, 42.8, 55.8, 53.2), "GPT-4o": (55.8, 41.2, 47.0, 55.4)}
    for model, of_four in subjects.items():
        assert value(shipped, model, "mmk12", "Table 2") == pytest.approx(sum(of_four) / 400, abs=1e-9)


def test_what_a_source_leaves_open_is_no_board_of_ours(shipped: tuple[Published, ...]) -> None:
    assert {row.split for row in shipped if row.benchmark in ("wemath", "emma", "olympiadbench")}.isdisjoint({""})
    assert {row.metric for row in shipped if row.benchmark == "hallusionbench"} == {"mean"}


def test_datasets_know_every_benchmark_but_the_users_own() -> None:
    assert set(BENCHMARK_NAMES) - set(DATASETS) == {"custom"}
    assert {name: DATASETS[name].title for name in BENCHMARK_NAMES if name != "custom"} == {
        name: benchmark_named(name).title for name in BENCHMARK_NAMES if name != "custom"
    }


def test_users_add_rows_of_the_same_form(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    rows = read_published([tmp_path / "own.yaml"], shipped=False)
    assert [(row.model, row.benchmark, row.metric, row.value, row.note) for row in rows] == [
        ("big", "mmstar", "accuracy", 0.5, ""),
        ("small", "mmstar", "accuracy", 0.25, ""),
        ("small", "wemath", "strict_score", 0.125, "greedy"),
    ]
    assert len(read_published([tmp_path / "own.yaml"])) == len(rows) + len(read_published())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mmstar", "mmsatr", ":5:15: tables.0.columns.0: no benchmark 'mmsatr'; did you mean 'mmstar'?"),
        ("mmstar", "imagenet", ":5:15: tables.0.columns.0: no benchmark 'imagenet'; it is one of mathvista, mmmu,"),
        ("[0.5, null]", "[0.5]", ":2:5: tables.0: model 'big' has 1 values for 2 columns"),
        ("0.125", "12.5", ":2:5: tables.0: model 'small', wemath: 12.5 is not between 0 and 1, as unit 'share' has it"),
        ("[0.5,", "[half,", ":7:13: tables.0.models.big.0: 'half' is not allowed: should be a valid number"),
        ("    place:", "    plcae:", ":3:5: tables.0.plcae: unknown field; did you mean 'place'?"),
        ("share", "ratio", ":4:11: tables.0.unit: 'ratio' is not allowed: should be 'percent' or 'share'"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        read_published([file], shipped=False)
    assert f"{file}{message}" in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml' cannot be read"):
        read_published([tmp_path / "nowhere.yaml"])
