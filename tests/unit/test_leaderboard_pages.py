"""The pages, tables and commands that show ranks."""

import json
import re
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.core.summary import results_of, summarise
from srpo.eval.result import BenchmarkResult
from srpo.report.leaderboard.board import as_markdown, leaderboard_json, render_leaderboard
from srpo.report.leaderboard.published import read_published
from srpo.report.leaderboard.rank import Leaderboard, lead
from srpo.runs.directory import RunDir
from tests.support.board_rows import OWN, benchmark_result, published
from tests.support.html import Page
from tests.support.report_runs import HOSTILE, FakeConfig, traces


def some() -> Leaderboard:
    return lead(
        [benchmark_result("mathvista", "ours-7B", 758, 1000), benchmark_result("mathvista", "part", 10, 20, size=1000)],
        read_published(),
    )


def test_page_shows_task_dataset_result_and_rank() -> None:
    page = Page(render_leaderboard(some()))
    text = " ".join(page.text.split())
    assert "Visual mathematical reasoning MathVista testmini" in text
    assert "75.8 73.0 – 78.4" in text
    assert re.search(r"\b\d+ of 56\b", text)
    assert "not ranked" in text
    assert "SRPO-7B" in text
    assert "Table 1" in text
    assert "charxiv" not in text.lower(), "no run is on it"
    assert text.count("your run") >= 2


def test_page_runs_nothing_and_asks_nobody() -> None:
    html = render_leaderboard(some())
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag in ("script", "img", "link", "iframe")]
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    links = [link["href"] or "" for link in page.of("a")]
    assert {link.split("/abs/")[0] for link in links if not link.startswith("#")} == {"https://arxiv.org"}
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= targets


def test_page_does_not_speak_by_colour_alone() -> None:
    html = render_leaderboard(some())
    assert '<span class="star" role="img" aria-label="best">★</span>' in html
    assert html.count('<span class="mark">your run</span>') >= 4


def test_hostile_names_are_text_everywhere() -> None:
    row = published(HOSTILE, "mmstar", 0.5, source=HOSTILE).model_copy(
        update={"url": "javascript:alert(1)", "note": HOSTILE, "place": HOSTILE, "harness": HOSTILE}
    )
    found = lead(
        [benchmark_result("mmstar", HOSTILE, 1, 2), benchmark_result("custom", HOSTILE, 1, 2, title=HOSTILE)], [row]
    )
    page = Page(render_leaderboard(found, title=HOSTILE))
    assert page.text.count(HOSTILE) >= 8
    assert not [tag for tag, _ in page.elements if tag in ("script", "img")]
    assert all((link["href"] or "").startswith("#") for link in page.of("a"))
    markdown = as_markdown(found)
    assert "<script" not in re.sub(r"\\.", "", markdown)
    assert "(javascript" not in markdown
    assert "<javascript" not in markdown


def test_markdown_is_a_table_for_a_readme() -> None:
    rows = [published("pipe|name", "mmstar", 0.5), published("under_score", "mmstar", 0.4)]
    lines = as_markdown(lead([benchmark_result("mmstar", "ours", 1, 2)], rows)).splitlines()
    assert lines[0] == "| Task | Dataset | Model | Metric | Result, % | Rank |"
    assert lines[2] == "| Multimodal reasoning | MMStar val | ours | accuracy | 50.0 (9.5 – 90.5) | 1 of 3 |"
    assert r"| pipe\|name \[1\] | **50.0** |" in lines
    assert r"| under\_score \[1\] | 40.0 |" in lines
    assert lines[-1] == "1. A et al. (2026-01-01). Table 1. <https://example.org/paper>"


def test_json_has_the_standings_and_everything_else() -> None:
    found = leaderboard_json(some())
    first = found["standings"][0]
    assert (first["benchmark"], first["model"], first["num_ranked"]) == ("mathvista", "ours-7B", 56)
    assert first["value"] == 0.758
    assert found["boards"][0]["entries"][0]["model"] == "Qwen3-VL-32B-Thinking"
    assert json.loads(json.dumps(found)) == found


def write_run(path: Path, made: BenchmarkResult | None) -> Path:
    rows = traces(4, 0.5, 0.5, 0, 1)
    with RunDir.open(path, FakeConfig(), "eval") as run:
        run.append_traces(rows)
        run.finish({"stages": [summarise(results_of(rows), "x")]} | ({"benchmark": made} if made else {}))
    return path


def test_command_writes_a_page_and_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", benchmark_result("mmstar", "ours", 900, 1500))
    plain = write_run(tmp_path / "plain", None)
    assert run_command(["leaderboard", str(run), str(plain)]) == 0
    said = capsys.readouterr()
    page = Path(said.out.strip())
    assert page == (run / "leaderboard.html").resolve()
    assert "'" + str(plain) + "' has no benchmark result and is left out" in said.err
    assert "MMStar" in page.read_text()
    assert run_command(["leaderboard", str(run), "--markdown", "--no_published"]) == 0
    assert "| 60.0 (57.5 – 62.5) | 1 of 1 |" in capsys.readouterr().out
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    assert run_command(["leaderboard", str(run), "--json", "--no_published", "--published", str(own)]) == 0
    (standing,) = json.loads(capsys.readouterr().out)["standings"]
    assert (standing["rank"], standing["num_ranked"]) == (1, 3)


def test_command_refuses_what_has_nothing_to_show(tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain", None)
    with pytest.raises(
        ValueError, match=r"plain' has no benchmark result; `srpo eval` with a benchmark and `srpo score"
    ):
        run_command(["leaderboard", str(plain)])
    with pytest.raises(ValueError, match="nothing to show"):
        run_command(["leaderboard", "--no_published"])
    with pytest.raises(ValueError, match="is a directory; name the file"):
        run_command(["leaderboard", "--out", str(tmp_path)])


def test_damaged_result_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", benchmark_result("mmstar", "ours", 1, 2))
    summary = json.loads((run / "summary.json").read_text())
    summary["benchmark"]["accuracy"] = "most"
    (run / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=r"summary\.json' has no benchmark result: benchmark\.accuracy: .*number"):
        run_command(["leaderboard", str(run)])


def test_report_holds_the_tables_of_runs_with_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", benchmark_result("mmstar", "ours", 900, 1500))
    assert run_command(["report", str(run), "--out", str(tmp_path / "r.html")]) == 0
    capsys.readouterr()
    html = (tmp_path / "r.html").read_text()
    assert html.index('id="stages"') < html.index('id="standings"') < html.index('id="results"')
    assert "Qwen3-VL-8B-Instruct" in html
    assert run_command(["report", str(run), "--json", "--no_published"]) == 0
    (standing,) = json.loads(capsys.readouterr().out)["leaderboard"]["standings"]
    assert standing["rank"] == 1
    plain = write_run(tmp_path / "plain", None)
    assert run_command(["report", str(plain), "--json"]) == 0
    assert "leaderboard" not in json.loads(capsys.readouterr().out)
