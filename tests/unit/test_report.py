import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srpo.cli.main import run_command
from srpo.core.records import OUTCOMES, Trace
from srpo.core.summary import results_of, summarise
from srpo.core.visible import clip
from srpo.report import write_report
from srpo.report.build import read_report
from srpo.report.cards import Sampler
from srpo.report.model import ReportData, stage_of
from srpo.report.page import render_page, series_of
from srpo.report.pages import duration
from srpo.report.pictures import embed
from srpo.report.summary import report_json
from tests.support.html import Page
from tests.support.report_runs import HOSTILE, trace, traces, write_demo, write_run


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("report") / "demo", num=40)


@pytest.fixture(scope="module")
def html(demo: Path) -> str:
    return write_report([demo], demo / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_content_stands_in_its_order(html: str) -> None:
    places = [html.index(f'id="{name}"') for name in ("stages", "families", "curves", "transitions", "cards")]
    assert html.index("<h1>SRPO on a laptop</h1>") < places[0]
    assert places == sorted(places)
    assert places[-1] < html.index("srpo demo --out demo --seed 0")


def policy_of(page: Page) -> str:
    metas = [meta for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    return metas[0]["content"] or ""


def test_page_asks_the_network_for_nothing(page: Page) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attrs.get(name) or "data:").startswith("data:"), (tag, attrs)
    assert not page.of("link")
    policy = policy_of(page)
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_policy_allows_our_two_scripts_and_no_other(page: Page) -> None:
    policy = policy_of(page)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    code = [script for script in page.scripts if "plotly.js v" in script[:100] or script.startswith('"use strict"')]
    assert len(code) == 2
    assert allowed == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code]
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_every_stage_is_a_row_with_its_numbers(demo: Path, page: Page) -> None:
    for stage in json.loads((demo / "summary.json").read_text())["stages"].values():
        assert stage["name"] in page.text
        for key in ("first_accuracy", "final_accuracy", "chance", "format_rate"):
            assert f"{100 * stage[key]:.1f}%" in page.text, (stage["name"], key)
        assert f"{100 * stage['final_interval'][0]:.1f}% – {100 * stage['final_interval'][1]:.1f}%" in page.text
    assert "1.3M" in page.text
    assert "1 min 15 s" in page.text


def test_every_metric_has_a_plot(demo: Path, page: Page) -> None:
    rows = (demo / "srpo" / "metrics.jsonl").read_text().splitlines()
    keys = set(json.loads(rows[0])) - {"step", "time_s"}
    drawn = {(plot["aria-label"] or "").split(":")[0] for plot in page.of("div", "plot")}
    assert keys <= drawn
    specs = [json.loads(script) for script in page.scripts if script.startswith('{"data"')]
    assert len(specs) == len(drawn)
    raw, smoothed = specs[1]["data"][:2]
    assert len(raw["x"]) == len(smoothed["y"]) == 60


def test_cards_cover_outcomes_runs_and_families(page: Page) -> None:
    cards = page.of("article", "card")
    assert len(cards) >= 30
    assert {card["data-outcome"] for card in cards} == {"right→right", "wrong→right", "right→wrong", "wrong→wrong"}
    assert len({card["data-run"] for card in cards}) == 7
    assert len({card["data-family"] for card in cards}) == 4
    assert len(page.of("img", "pixels")) == len(cards) + len(page.of("div", "example"))
    assert len(page.of("span", "badge")) >= len(cards)
    for word in ("Reflection", "advantage", "effect", "gold answer", "stayed wrong", "✗✓"):
        assert word in page.text


def test_same_runs_give_the_same_page(demo: Path, html: str) -> None:
    assert render_page(read_report([demo])) == html


@pytest.fixture(scope="module")
def hostile() -> str:
    wicked = trace(1, first=False, final=True, question=HOSTILE, image=HOSTILE)
    data = ReportData.model_validate(
        {"title": HOSTILE, "command": HOSTILE, "versions": {HOSTILE: HOSTILE}, "term_names": [HOSTILE]}
        | {"runs": [{"label": HOSTILE, "path": HOSTILE}]}
        | {"curves": [{"run": HOSTILE, "key": f"rl/{HOSTILE}/mean", "steps": [1, 2], "values": [0.5, 0.6]}]}
        | {"spent": [{"run": HOSTILE, "seconds": 3, "parts": {HOSTILE: 2}}]}
        | {"panels": hostile_panels(reworded(wicked))}
        | {"cards": [{"run": HOSTILE, "trace": reworded(wicked), "pictures": [{"ref": HOSTILE, "reason": HOSTILE}]}]}
    )
    return render_page(data)


def hostile_panels(one: dict[str, Any]) -> dict[str, Any]:
    """Every panel, with the hostile text for a name wherever there is one."""
    share = {"part": 1, "whole": 2, "low": 0.1, "high": 0.9}
    level = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 9}
    sign = {"name": "copied", "words": HOSTILE, "early": level, "late": level, "bad": "rises"}
    verdicts = ("first_right", "calls_right", "calls_wrong", "noticed", "doubted", "silent")
    columns = [{"right→right": 1}, {"wrong→right": 1}]
    ribbon = {"stage": 0, "source": "right→right", "target": "wrong→right", "num": 1}
    cards = [{"run": HOSTILE, "trace": one}]
    return {
        "flows": [{"stages": [HOSTILE, HOSTILE], "num": 1, "columns": columns, "ribbons": [ribbon]}] * 2,
        "flips": [{"run": HOSTILE, "outcome": "wrong→right", "num": 1, "seed": 0, "cards": cards}],
        "training_signs": [{"run": HOSTILE, "signs": [sign], "reward": sign, "gains": {HOSTILE: 0.1}}],
        "evaluation_signs": [{"run": HOSTILE, "shares": {"copied": share}}],
        "calibrations": [{"run": HOSTILE} | dict.fromkeys(verdicts, share)],
        "probes": [{"run": HOSTILE, "result": hostile_probe()}],
        "look_trends": [{"run": HOSTILE, "parts": {"reflection": [level, level]}}],
        "between": {
            "before": HOSTILE,
            "after": HOSTILE,
            **dict.fromkeys(("num", "gained", "lost", "seed"), 1),
            "pairs": [{"gained": True, "before": cards[0], "after": cards[0]}],
        },
    }


def hostile_probe() -> dict[str, Any]:
    found = {"value": 0.5, "n": 3, "low": 0.1, "high": 0.9}
    counts = dict.fromkeys(("problems", "pairs", "without_picture", "lost", "ungradable"), 3)
    answers = dict.fromkeys(("plain", "disturbed", "difference", "changed"), found)
    names = ("changed", "changed_alone", "words", "gain", "gain_disturbed", "gain_difference")
    reflection = {"pairs": 3} | dict.fromkeys(names, found)
    both = {"first": answers, "reflection": reflection, "final": answers}
    return {"probe": "swap", "temperature": 0.0} | counts | both


def reworded(wicked: Trace) -> dict[str, Any]:
    """The trace with the hostile text in every field that a model or a data set fills."""
    attempt = {"think": HOSTILE, "answer": HOSTILE}
    value: dict[str, Any] = json.loads(wicked.model_dump_json())
    value["problem"] |= {"id": HOSTILE, "answer": HOSTILE, "choices": [HOSTILE], "family": HOSTILE}
    value["parsed"] = {"first": attempt, "reflection": HOSTILE, "second": attempt}
    value["first_grade"] = value["final_grade"] = {"verdict": "incorrect", "extracted": HOSTILE, "reason": HOSTILE}
    value["reward"] = {"terms": [{"name": HOSTILE, "score": 1, "weight": 1}]}
    return value


def test_hostile_text_is_shown_and_does_nothing(hostile: str) -> None:
    page = Page(hostile)
    assert page.text.count(HOSTILE) >= 60
    assert not page.of("img")
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert len(page.of("script")) == 4, "two of ours, the palette, one figure"
    assert 'alert("x")' not in "".join(script for script in page.scripts if len(script) < 100_000)


def test_hostile_text_survives_as_data(hostile: str) -> None:
    page = Page(hostile)
    assert page.of("article", "card")[0]["data-family"] == HOSTILE
    assert str(page.of("div", "plot")[0]["aria-label"]).startswith(f"rl/{HOSTILE}/mean")


def test_lone_surrogates_and_long_texts_are_written(tmp_path: Path) -> None:
    odd = trace(0, first=True, final=True, question="half a pair: \ud800 " + "long " * 10_000)
    write_run(tmp_path / "run", "eval", [odd])
    written = write_report([tmp_path / "run"], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "more characters)" in written
    assert len(Page(written).text) < 20_000


def test_run_that_has_just_begun_gives_a_report(tmp_path: Path) -> None:
    write_run(tmp_path / "empty", "rl", [])
    (tmp_path / "empty" / "summary.json").unlink()
    page = Page(write_report([tmp_path / "empty"], tmp_path / "r.html").read_text())
    assert "0 responses and 0 training steps" in page.text


def test_unfinished_evaluation_is_summarised_from_its_traces(tmp_path: Path) -> None:
    write_run(tmp_path / "half", "eval", traces(20, 0.5, 0.5, 0, 1))
    (tmp_path / "half" / "summary.json").unlink()
    (stage,) = read_report([tmp_path / "half"]).stages
    assert (stage.name, stage.n) == ("half", 20)


def test_several_runs_keep_their_names_apart(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        write_run(tmp_path / parent / "eval", "eval", traces(8, 0.5, 0.5, 0, 1))
    data = read_report([tmp_path / "a" / "eval", tmp_path / "b" / "eval"])
    assert [run.label for run in data.runs] == ["eval", "eval (2)"]
    assert [stage.name for stage in data.stages] == ["eval", "eval (2)"]
    (comparison,) = data.comparisons
    assert (comparison.mean, comparison.n) == (0, 8), "the same traces twice"


def test_what_is_not_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'.*/nowhere' is not a directory; give a run directory"):
        write_report([tmp_path / "nowhere"], tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"is not a run directory"):
        write_report([tmp_path], tmp_path / "r.html")
    (tmp_path / "summary.json").write_text('{"title": "x", "runs": {}, "stages": [{"name": "sft"}]}')
    with pytest.raises(ValueError, match=r"summary\.json' is not a demo's summary: stages\.0\.n: Field required"):
        write_report([tmp_path], tmp_path / "r.html")
    (tmp_path / "summary.json").write_text("{\n  oops")
    with pytest.raises(ValueError, match=r"summary\.json', line 2: not JSON"):
        write_report([tmp_path], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_pictures_are_embedded_whole_scaled_or_excused(tmp_path: Path) -> None:
    tiny, large = Image.new("RGB", (84, 84), "red"), Image.new("RGB", (2000, 1000), "blue")
    shown = embed("x", load=lambda ref: tiny)
    assert (shown.width, shown.height, shown.is_tiny) == (84, 84, True)
    assert str(shown.uri).startswith("data:image/png;base64,")
    shown = embed("x", load=lambda ref: large)
    assert (shown.width, shown.height, shown.is_tiny) == (640, 320, False)
    assert str(shown.uri).startswith("data:image/jpeg;base64,")
    missing = embed(str(tmp_path / "gone.png"))
    assert missing.uri is None
    assert "gone.png" in str(missing.reason)


def test_sampler_is_fair_and_repeatable() -> None:
    def choose(seed: int) -> list[str]:
        sampler = Sampler(seed=seed)
        many = traces(600, 0.9, 0.5, 0.05, 3)
        assert list(sampler.add("eval", many)) == many
        return [f"{found.outcome}{found.problem.id}" for _, found in sampler.choose(40)]

    chosen = choose(0)
    assert chosen == choose(0) != choose(1)
    counts = [sum(text.startswith(outcome) for text in chosen) for outcome in OUTCOMES]
    assert counts == [10, 10, 10, 10]
    assert len(set(chosen)) == 40


def test_words_for_durations_and_long_texts() -> None:
    assert [duration(s) for s in (0.21, 37.5, 250, 7500)] == ["0.2 s", "38 s", "4 min 10 s", "2 h 05 min"]
    assert clip(" short ") == "short"
    assert clip("x" * 4100).endswith("… (100 more characters)")


def test_command_writes_beside_the_run_and_prints_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = tmp_path / "run"
    write_run(demo, "eval", traces(3, 0.5, 0.5, 0, 1))
    assert run_command(["report", str(demo)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == demo.resolve() / "report.html"
    assert path.stat().st_size < 6_500_000
    assert run_command(["report", str(demo), "--out", str(demo / "x.html"), "--open_path"]) == 0
    assert capsys.readouterr().out.strip() == (demo.resolve() / "x.html").as_uri()
    with pytest.raises(ValueError, match="is a directory; name the file"):
        run_command(["report", str(demo), "--out", str(demo)])


def test_command_prints_the_summary_as_json(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(demo), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in value["stages"]] == ["base", "sft", "grpo", "srpo"]
    assert value["num_cards"] >= 30
    assert value["runs"][-1]["metrics"]["rl/final_accuracy"]["last"] > 0.7
    assert value == report_json(read_report([demo]))


def test_runs_belong_to_the_stage_that_their_label_names(demo: Path) -> None:
    assert stage_of("eval srpo", ["sft", "srpo"]) == "srpo"
    assert stage_of("srpo (2)", ["grpo", "srpo"]) == "srpo"
    assert stage_of("reflect", ["sft", "srpo"]) is None
    data = read_report([demo])
    series = series_of(data)
    assert series["srpo"] == series["eval srpo"] != series["grpo"] == series["eval grpo"]
    assert ("srpo", "sft") in {(one.ours, one.theirs) for one in data.comparisons}
    assert {curve.run for curve in data.curves} == {"grpo", "srpo"}


def test_evaluation_by_itself_has_the_row_of_its_summary(tmp_path: Path) -> None:
    made = traces(12, 0.5, 0.5, 0, 1)
    row = summarise(results_of(made), "some model", seconds=99.0)
    write_run(tmp_path / "eval", "eval", made, summary={"stages": [row], "rows": 12})
    (stage,) = read_report([tmp_path / "eval"]).stages
    assert stage == row.model_copy(update={"name": "eval"})
