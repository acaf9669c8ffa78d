"""Ranks and the results table."""

import pytest

from srpo.core.statistics import wilson
from srpo.report.leaderboard.rank import Board, Leaderboard, lead
from tests.support.board_rows import benchmark_result, published


def board(found: Leaderboard, benchmark: str, metric: str = "accuracy", split: str = "") -> Board:
    return next(one for one in found.boards if (one.benchmark, one.metric, one.split) == (benchmark, metric, split))


def ranks(found: Leaderboard, benchmark: str, metric: str = "accuracy") -> dict[str, int | None]:
    return {entry.model: entry.rank for entry in board(found, benchmark, metric).entries}


def test_ties_to_a_tenth_of_a_point_share_a_rank() -> None:
    rows = [published("a", "mmstar", 0.758), published("b", "mmstar", 0.7), published("c", "mmstar", 0.9)]
    found = lead([benchmark_result("mmstar", "ours", 75804, 100_000)], rows)
    assert ranks(found, "mmstar") == {"c": 1, "ours": 2, "a": 2, "b": 4}
    (standing,) = found.standings
    assert (standing.entry.rank, standing.board.num_ranked) == (2, 4)
    assert standing.entry.interval == wilson(75804, 100_000)
    assert board(found, "mmstar").entries[0].interval is None


def test_only_the_same_benchmark_metric_and_part_is_ranked_together() -> None:
    rows = [
        published("a", "wemath", 0.9, metric="score", split="as in a paper"),
        published("b", "wemath", 0.5, metric="strict_score"),
        published("c", "mathverse", 0.9),
        published("d", "wemath", 0.8),
    ]
    scores = {"strict_score": 0.4, "loose_score": 0.6}
    found = lead([benchmark_result("wemath", "ours", 70, 100, metrics=scores, headline="strict_score")], rows)
    assert ranks(found, "wemath", "strict_score") == {"b": 1, "ours": 2}
    assert ranks(found, "wemath") == {"d": 1, "ours": 2}, "accuracy, because someone published it"
    assert [entry.model for entry in board(found, "wemath", "score", "as in a paper").entries] == ["a"]
    assert {one.benchmark for one in found.boards} == {"wemath"}, "no run is on mathverse"
    everything = lead([benchmark_result("wemath", "ours", 70, 100)], rows, everything=True)
    assert "mathverse" in {one.benchmark for one in everything.boards}
    assert not any(one.metric == "loose_score" for one in everything.boards), (
        "nobody else has it, and it is no headline"
    )


def test_a_run_on_a_part_of_the_items_has_no_rank() -> None:
    rows = [published("a", "mmmu", 0.5)]
    found = lead(
        [benchmark_result("mmmu", "ours", 180, 200, size=900), benchmark_result("mmmu", "whole", 400, 900)], rows
    )
    assert ranks(found, "mmmu") == {"a": 1, "whole": 2, "ours": None}
    entry = board(found, "mmmu").entries[-1]
    assert entry.note == "200 of 900 items: not ranked"
    assert found.partial
    assert not any(cell.is_best for row in found.rows if row.is_run for cell in row.cells if cell)


def test_items_without_a_response_count_as_wrong() -> None:
    found = lead([benchmark_result("mmmu", "ours", 450, 500, size=900, missing=400, accuracy_over_all=0.5)])
    (entry,) = board(found, "mmmu").entries
    assert (entry.value, entry.interval, entry.rank) == (0.5, None, 1)
    assert entry.note == "400 items without a response, counted as wrong"


def test_judge_is_named() -> None:
    (entry,) = board(lead([benchmark_result("charxiv", "ours", 4, 10, judge="gpt-x")]), "charxiv").entries
    assert entry.harness == "srpo, rules and judge gpt-x"


def test_mmmu_pro_is_the_mean_of_both_settings() -> None:
    runs = [
        benchmark_result("mmmu-pro-standard", "ours", 50, 100),
        benchmark_result("mmmu-pro-vision", "ours", 30, 100),
    ]
    found = lead(runs, [published("a", "mmmu-pro", 0.41)])
    assert ranks(found, "mmmu-pro") == {"a": 1, "ours": 2}
    assert board(found, "mmmu-pro").entries[1].value == pytest.approx(0.4)
    assert "mmmu-pro" not in {one.benchmark for one in lead(runs[:1], [published("a", "mmmu-pro", 0.4)]).boards}


def test_two_runs_of_one_model_keep_apart() -> None:
    found = lead(
        [
            benchmark_result("mmstar", "ours", 5, 10),
            benchmark_result("mmstar", "ours", 6, 10),
            benchmark_result("mmmu", "ours", 1, 10),
        ]
    )
    assert ranks(found, "mmstar") == {"ours (2)": 1, "ours": 2}
    assert ranks(found, "mmmu") == {"ours": 1}


def test_table_has_runs_first_then_sources_and_marks_the_best() -> None:
    rows = [
        published("x", "mmstar", 0.9, source="Q"),
        published("x", "mmstar", 0.8, source="P"),
        published("y", "mmmu", 0.3, source="Q"),
    ]
    found = lead([benchmark_result("mmstar", "ours", 9, 10), benchmark_result("mmmu", "ours", 2, 10)], rows)
    assert [(row.model, row.source) for row in found.rows] == [("ours", None), ("y", 1), ("x", 1), ("x", 2)]
    assert [one.benchmark for one in found.boards] == ["mmmu", "mmstar"]
    best = {(row.model, row.source): [bool(cell and cell.is_best) for cell in row.cells] for row in found.rows}
    assert best == {
        ("ours", None): [False, True],
        ("y", 1): [True, False],
        ("x", 1): [False, True],
        ("x", 2): [False] * 2,
    }
    assert [(one.number, one.source) for one in found.sources] == [(1, "Q"), (2, "P")]


def test_own_data_has_a_board_too() -> None:
    found = lead([benchmark_result("custom", "ours", 5, 10, title="Our exam", size=0)])
    (one,) = found.boards
    assert (one.task, one.title, one.entries[0].rank) == ("Own benchmark", "Our exam", 1)
