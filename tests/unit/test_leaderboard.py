"""Published results, ranks, the results table, and the pages that show them."""

import json
import re
from pathlib import Path

import pytest

from srpo.cli import leaderboard as leaderboard_command
from srpo.cli import report as report_command
from srpo.config.nodes import ConfigError
from srpo.core.statistics import summarise, wilson
from srpo.eval.benchmarks.benchmark import Breakdown
from srpo.eval.benchmarks.named import NAMES, benchmark_named
from srpo.eval.result import BenchmarkResult, Headline
from srpo.report.leaderboard.board import as_json, as_markdown, render
from srpo.report.leaderboard.datasets import DATASETS
from srpo.report.leaderboard.published import Published, read_published
from srpo.report.leaderboard.rank import Leaderboard, lead
from srpo.runs.directory import RunDir
from tests.support.html import Page
from tests.support.report_runs import HOSTILE, FakeConfig, traces

SEVEN = ("mathvista", "mmmu", "mathverse", "wemath", "mmstar", "charxiv", "hallusionbench")


def result(benchmark: str, model: str, correct: int, n: int, *, metrics=None, headline="accuracy", **fields):
    metrics = metrics or {}
    made = {
        "benchmark": benchmark,
        "title": benchmark.title(),
        "model": model,
        "data": "rows.jsonl",
        "style": "auto",
        "size": n,
        "n": n,
        "missing": 0,
        "ungradable": 0,
        "unusable": 0,
        "accuracy": correct / n,
        "interval": tuple(wilson(correct, n)),
        "accuracy_over_all": correct / n,
        "headline": Headline(name=headline, value=metrics.get(headline, correct / n)),
        "breakdown": Breakdown(metrics=metrics),
        "decided_by": {"rule": n},
    }
    return BenchmarkResult.model_validate(made | fields)


def published(model: str, benchmark: str, value: float, *, metric="accuracy", split="", source="A et al.") -> Published:
    return Published(
        model=model,
        benchmark=benchmark,
        metric=metric,
        value=value,
        split=split,
        note="",
        harness="the authors",
        source=source,
        place="Table 1",
        url="https://example.org/paper",
        date="2026-01-01",
    )


def board(found: Leaderboard, benchmark: str, metric: str = "accuracy", split: str = ""):
    return next(one for one in found.boards if (one.benchmark, one.metric, one.split) == (benchmark, metric, split))


def ranks(found: Leaderboard, benchmark: str, metric: str = "accuracy") -> dict[str, int | None]:
    return {entry.model: entry.rank for entry in board(found, benchmark, metric).entries}


@pytest.fixture(scope="module")
def shipped() -> tuple[Published, ...]:
    return read_published()


# -- published numbers


def value(rows, model: str, benchmark: str, source: str) -> float:
    (found,) = [row.value for row in rows if (row.model, row.benchmark) == (model, benchmark) and source in row.place]
    return found


def test_shipped_numbers_are_those_of_the_sources(shipped) -> None:
    assert value(shipped, "SRPO-7B", "mathvista", "2506.01713v3, Table 1") == 0.758
    assert value(shipped, "SRPO-32B", "emma", "2506.01713v3, Table 1") == 0.382
    assert value(shipped, "Qwen3-VL-8B-Instruct", "hallusionbench", "2511.21631, Table 4") == 0.611
    assert value(shipped, "Qwen3-VL-235B-A22B-Thinking", "wemath", "2511.21631, Table 2") == 0.748
    assert value(shipped, "Qwen2.5-VL-7B", "charxiv", "2502.13923") == 0.425
    assert value(shipped, "InternVL3.5-38B", "mmmu", "2508.18265") == 0.769


def test_every_shipped_number_has_a_source_and_a_known_benchmark(shipped) -> None:
    assert len(shipped) > 350
    for row in shipped:
        assert re.search(r"arXiv \d{4}\.\d{5}(v\d)?, Tables? \d", row.place), row
        assert row.url.startswith("https://arxiv.org/abs/")
        assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", row.date)
        assert row.benchmark in DATASETS
        assert 0 < row.value < 1
    keys = [(row.model, row.benchmark, row.metric, row.split, row.place) for row in shipped]
    assert len(keys) == len(set(keys))


def test_seven_benchmark_table_is_whole(shipped) -> None:
    of_qwen = [row for row in shipped if "2511.21631, Table 2" in row.place]
    models = {row.model for row in of_qwen}
    assert len(models) == 8
    assert {(row.model, row.benchmark) for row in of_qwen} == {(m, b) for m in models for b in SEVEN}


def test_mmk12_rows_are_means_of_the_four_subjects_of_the_source(shipped) -> None:
    subjects = {"SRPO-7B": (75.3, 60.6, 70.3, 69.5), "OpenVLThinker-7B": (63.0, 53.8, 60.6, 65.0)}
    subjects |= {"InternVL2.5-38B-MPO": (41.4, 42.8, 55.8, 53.2), "GPT-4o": (55.8, 41.2, 47.0, 55.4)}
    for model, of_four in subjects.items():
        assert value(shipped, model, "mmk12", "Table 2") == pytest.approx(sum(of_four) / 400, abs=1e-9)


def test_what_a_source_leaves_open_is_no_board_of_ours(shipped) -> None:
    assert {row.split for row in shipped if row.benchmark in ("wemath", "emma", "olympiadbench")}.isdisjoint({""})
    assert {row.metric for row in shipped if row.benchmark == "hallusionbench"} == {"mean"}


def test_datasets_know_every_benchmark_but_the_users_own() -> None:
    assert set(NAMES) - set(DATASETS) == {"custom"}
    assert {name: DATASETS[name].title for name in NAMES if name != "custom"} == {
        name: benchmark_named(name).title for name in NAMES if name != "custom"
    }


OWN = """\
tables:
  - source: "B et al., A paper"
    place: "Table 3"
    unit: share
    columns: [{benchmark: mmstar}, {benchmark: wemath, metric: strict_score}]
    models:
      big: [0.5, null]
      small: [0.25, {value: 0.125, note: greedy}]
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_users_add_rows_of_the_same_form(tmp_path: Path) -> None:
    rows = read_published([write(tmp_path / "own.yaml", OWN)], shipped=False)
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
    file = write(tmp_path / "own.yaml", OWN.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        read_published([file], shipped=False)
    assert f"{file}{message}" in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml' cannot be read"):
        read_published([tmp_path / "nowhere.yaml"])


# -- ranks


def test_ties_to_a_tenth_of_a_point_share_a_rank() -> None:
    rows = [published("a", "mmstar", 0.758), published("b", "mmstar", 0.7), published("c", "mmstar", 0.9)]
    found = lead([result("mmstar", "ours", 75804, 100_000)], rows)
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
    found = lead([result("wemath", "ours", 70, 100, metrics=scores, headline="strict_score")], rows)
    assert ranks(found, "wemath", "strict_score") == {"b": 1, "ours": 2}
    assert ranks(found, "wemath") == {"d": 1, "ours": 2}, "accuracy, because someone published it"
    assert [entry.model for entry in board(found, "wemath", "score", "as in a paper").entries] == ["a"]
    assert {one.benchmark for one in found.boards} == {"wemath"}, "no run is on mathverse"
    everything = lead([result("wemath", "ours", 70, 100)], rows, everything=True)
    assert "mathverse" in {one.benchmark for one in everything.boards}
    assert not any(one.metric == "loose_score" for one in everything.boards), (
        "nobody else has it, and it is no headline"
    )


def test_a_run_on_a_part_of_the_items_has_no_rank() -> None:
    rows = [published("a", "mmmu", 0.5)]
    found = lead([result("mmmu", "ours", 180, 200, size=900), result("mmmu", "whole", 400, 900)], rows)
    assert ranks(found, "mmmu") == {"a": 1, "whole": 2, "ours": None}
    entry = board(found, "mmmu").entries[-1]
    assert entry.note == "200 of 900 items: not ranked"
    assert found.partial
    assert not any(cell.is_best for row in found.rows if row.is_run for cell in row.cells if cell)


def test_items_without_a_response_count_as_wrong() -> None:
    found = lead([result("mmmu", "ours", 450, 500, size=900, missing=400, accuracy_over_all=0.5)])
    (entry,) = board(found, "mmmu").entries
    assert (entry.value, entry.interval, entry.rank) == (0.5, None, 1)
    assert entry.note == "400 items without a response, counted as wrong"


def test_judge_is_named() -> None:
    (entry,) = board(lead([result("charxiv", "ours", 4, 10, judge="gpt-x")]), "charxiv").entries
    assert entry.harness == "srpo, rules and judge gpt-x"


def test_mmmu_pro_is_the_mean_of_both_settings() -> None:
    runs = [result("mmmu-pro-standard", "ours", 50, 100), result("mmmu-pro-vision", "ours", 30, 100)]
    found = lead(runs, [published("a", "mmmu-pro", 0.41)])
    assert ranks(found, "mmmu-pro") == {"a": 1, "ours": 2}
    assert board(found, "mmmu-pro").entries[1].value == pytest.approx(0.4)
    assert "mmmu-pro" not in {one.benchmark for one in lead(runs[:1], [published("a", "mmmu-pro", 0.4)]).boards}


def test_two_runs_of_one_model_keep_apart() -> None:
    found = lead([result("mmstar", "ours", 5, 10), result("mmstar", "ours", 6, 10), result("mmmu", "ours", 1, 10)])
    assert ranks(found, "mmstar") == {"ours (2)": 1, "ours": 2}
    assert ranks(found, "mmmu") == {"ours": 1}


def test_table_has_runs_first_then_sources_and_marks_the_best() -> None:
    rows = [
        published("x", "mmstar", 0.9, source="Q"),
        published("x", "mmstar", 0.8, source="P"),
        published("y", "mmmu", 0.3, source="Q"),
    ]
    found = lead([result("mmstar", "ours", 9, 10), result("mmmu", "ours", 2, 10)], rows)
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
    found = lead([result("custom", "ours", 5, 10, title="Our exam", size=0)])
    (one,) = found.boards
    assert (one.task, one.title, one.entries[0].rank) == ("Own benchmark", "Our exam", 1)


# -- pages


def some() -> Leaderboard:
    return lead(
        [result("mathvista", "ours-7B", 758, 1000), result("mathvista", "part", 10, 20, size=1000)], read_published()
    )


def test_page_shows_task_dataset_result_and_rank() -> None:
    page = Page(render(some()))
    text = " ".join(page.text.split())
    assert "Visual mathematical reasoning MathVista testmini" in text
    assert "75.8 73.0 – 78.4" in text
    assert re.search(r"\b\d+ of 55\b", text)
    assert "not ranked" in text
    assert "SRPO-7B" in text
    assert "Table 1" in text
    assert "charxiv" not in text.lower(), "no run is on it"
    assert text.count("your run") >= 2


def test_page_runs_nothing_and_asks_nobody() -> None:
    html = render(some())
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag in ("script", "img", "link", "iframe")]
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    links = [link["href"] or "" for link in page.of("a")]
    assert {link.split("/abs/")[0] for link in links if not link.startswith("#")} == {"https://arxiv.org"}
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= targets


def test_page_does_not_speak_by_colour_alone() -> None:
    html = render(some())
    assert '<span class="star" role="img" aria-label="best">★</span>' in html
    assert html.count('<span class="mark">your run</span>') >= 4


def test_hostile_names_are_text_everywhere() -> None:
    row = published(HOSTILE, "mmstar", 0.5, source=HOSTILE).model_copy(
        update={"url": "javascript:alert(1)", "note": HOSTILE, "place": HOSTILE, "harness": HOSTILE}
    )
    found = lead([result("mmstar", HOSTILE, 1, 2), result("custom", HOSTILE, 1, 2, title=HOSTILE)], [row])
    page = Page(render(found, title=HOSTILE))
    assert page.text.count(HOSTILE) >= 8
    assert not [tag for tag, _ in page.elements if tag in ("script", "img")]
    assert all((link["href"] or "").startswith("#") for link in page.of("a"))
    markdown = as_markdown(found)
    assert "<script" not in re.sub(r"\\.", "", markdown)
    assert "(javascript" not in markdown
    assert "<javascript" not in markdown


def test_markdown_is_a_table_for_a_readme() -> None:
    rows = [published("pipe|name", "mmstar", 0.5), published("under_score", "mmstar", 0.4)]
    lines = as_markdown(lead([result("mmstar", "ours", 1, 2)], rows)).splitlines()
    assert lines[0] == "| Task | Dataset | Model | Metric | Result, % | Rank |"
    assert lines[2] == "| Multimodal reasoning | MMStar val | ours | accuracy | 50.0 (9.5 – 90.5) | 1 of 3 |"
    assert r"| pipe\|name \[1\] | **50.0** |" in lines
    assert r"| under\_score \[1\] | 40.0 |" in lines
    assert lines[-1] == "1. A et al. (2026-01-01). Table 1. <https://example.org/paper>"


def test_json_has_the_standings_and_everything_else() -> None:
    found = as_json(some())
    first = found["standings"][0]
    assert (first["benchmark"], first["model"], first["num_ranked"]) == ("mathvista", "ours-7B", 55)
    assert first["value"] == 0.758
    assert found["boards"][0]["entries"][0]["model"] == "Qwen3-VL-32B-Thinking"
    assert json.loads(json.dumps(found)) == found


# -- commands


def write_run(path: Path, made: BenchmarkResult | None) -> Path:
    rows = traces(4, 0.5, 0.5, 0, 1)
    with RunDir.open(path, FakeConfig(), "eval") as run:
        run.append_traces(rows)
        run.finish({"stages": [summarise(rows, "x")]} | ({"benchmark": made} if made else {}))
    return path


def test_command_writes_a_page_and_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", result("mmstar", "ours", 900, 1500))
    plain = write_run(tmp_path / "plain", None)
    assert leaderboard_command.run([str(run), str(plain)]) == 0
    said = capsys.readouterr()
    page = Path(said.out.strip())
    assert page == (run / "leaderboard.html").resolve()
    assert "'" + str(plain) + "' has no benchmark result and is left out" in said.err
    assert "MMStar" in page.read_text()
    assert leaderboard_command.run([str(run), "--markdown", "--no-published"]) == 0
    assert "| 60.0 (57.5 – 62.5) | 1 of 1 |" in capsys.readouterr().out
    own = write(tmp_path / "own.yaml", OWN)
    assert leaderboard_command.run([str(run), "--json", "--no-published", "--published", str(own)]) == 0
    (standing,) = json.loads(capsys.readouterr().out)["standings"]
    assert (standing["rank"], standing["num_ranked"]) == (1, 3)


def test_command_refuses_what_has_nothing_to_show(tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain", None)
    with pytest.raises(
        ValueError, match=r"plain' has no benchmark result; `srpo eval` with a benchmark and `srpo score"
    ):
        leaderboard_command.run([str(plain)])
    with pytest.raises(ValueError, match="nothing to show"):
        leaderboard_command.run(["--no-published"])
    with pytest.raises(ValueError, match="is a directory; name the file"):
        leaderboard_command.run(["--out", str(tmp_path)])


def test_damaged_result_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", result("mmstar", "ours", 1, 2))
    summary = json.loads((run / "summary.json").read_text())
    summary["benchmark"]["accuracy"] = "most"
    (run / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=r"summary\.json' has no benchmark result: benchmark\.accuracy: .*number"):
        leaderboard_command.run([str(run)])


def test_report_holds_the_tables_of_runs_with_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", result("mmstar", "ours", 900, 1500))
    assert report_command.run([str(run), "--out", str(tmp_path / "r.html")]) == 0
    capsys.readouterr()
    html = (tmp_path / "r.html").read_text()
    assert html.index('id="stages"') < html.index('id="standings"') < html.index('id="results"')
    assert "Qwen3-VL-8B-Instruct" in html
    assert report_command.run([str(run), "--json", "--no-published"]) == 0
    (standing,) = json.loads(capsys.readouterr().out)["leaderboard"]["standings"]
    assert standing["rank"] == 1
    plain = write_run(tmp_path / "plain", None)
    assert report_command.run([str(plain), "--json"]) == 0
    assert "leaderboard" not in json.loads(capsys.readouterr().out)
