"""The report as Markdown and as JSON, beside the page."""

import json
import re
from pathlib import Path

import pytest

from srpo.core.records import Response
from srpo.report import write_report
from srpo.report.build import read_report
from srpo.report.markdown import report_markdown
from srpo.report.model import ReportData
from srpo.report.summary import report_json
from tests.support.report_runs import HOSTILE, trace, write_demo, write_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return read_report([write_demo(tmp_path_factory.mktemp("markdown") / "demo", num=40)])


@pytest.fixture(scope="module")
def text(data: ReportData) -> str:
    return report_markdown(data)


def test_every_table_of_the_page_is_there(text: str) -> None:
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert heads[:5] == [
        "Stages",
        "Final answers right by family",
        "Where the problems went",
        "Do the reflections know?",
        "Was the reward hacked?",
    ]
    assert heads[5] == "Answers that flipped from eval grpo to eval srpo"
    assert [head.split(":")[0] for head in heads[6:8]] == ["wrong→right in eval srpo", "right→wrong in eval srpo"]


def test_tables_are_rectangular(text: str) -> None:
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 6
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, lines[0]


def test_numbers_are_those_of_the_page(data: ReportData, text: str) -> None:
    for stage in data.stages:
        assert f"{100 * stage.final_accuracy:.1f}%" in text
    (flow,) = data.panels.flows
    assert f"Of {flow.num} problems" in text
    assert "no run says which was trained from which" in text


def test_json_tells_trends_and_which_flips_were_shown(data: ReportData) -> None:
    panels = json.loads(json.dumps(report_json(data)))["panels"]
    (signs,) = panels["trends"]
    assert signs["run"] == "srpo"
    assert signs["trends"]["first_accuracy"] == "rises"
    assert signs["trends"]["reward"] == "rises"
    assert signs["alarms"] == []
    assert [(one["outcome"], len(one["shown"])) for one in panels["flips"]] == [
        (one.outcome, len(one.cards)) for one in data.panels.flips
    ]
    assert "data:image" not in json.dumps(panels)


def test_texts_of_models_are_no_markup(tmp_path: Path) -> None:
    question = f"{HOSTILE}\n\n# a heading\n<b>x</b> [l](http://x) \ud800"
    write_run(tmp_path / "run", "eval", [trace(1, first=False, final=True, question=question)])
    page = write_report([tmp_path / "run"], tmp_path / "r.html")
    text = page.with_suffix(".md").read_text(encoding="utf-8")
    assert "a heading" in text
    assert not re.search(r"^# a heading", text, flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)<(?:script|img|b)\b", text)
    assert "[l](http" not in text.replace("\\[", "")
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["title"] == "run"


def test_a_megabyte_of_answer_stays_small(tmp_path: Path) -> None:
    made = trace(1, first=False, final=True)
    assert isinstance(made.parsed, Response)
    long = made.parsed.model_copy(update={"reflection": "so wrong " * 120_000})
    write_run(tmp_path / "run", "eval", [made.model_copy(update={"parsed": long})])
    page = write_report([tmp_path / "run"], tmp_path / "r.html")
    html = page.read_text(encoding="utf-8")
    assert "more characters)" in html
    assert 'class="think" tabindex="0"' in html, "a text that scrolls can be scrolled by keyboard"
    assert page.with_suffix(".md").stat().st_size < 10_000
    assert page.with_suffix(".json").stat().st_size < 20_000


def test_another_ending_keeps_its_own_neighbours(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", [trace(0, first=True, final=True)])
    write_report([tmp_path / "run"], tmp_path / "page.md")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "page.md", "page.md.md", "page.md.json"}
    assert (tmp_path / "page.md").read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")
