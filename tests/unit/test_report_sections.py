"""Sections of a report that compare runs: descent, flips between two, reliance on the picture, time and cost."""

import json
from pathlib import Path
from typing import Any

import pytest

from srpo.cli.main import run_command
from srpo.core.records import Record, Stage, Trace
from srpo.eval.result import ProbeResult
from srpo.report import write_report
from srpo.report.build import read_report
from srpo.report.flow import MAX_FLOWS, flows_of
from srpo.report.lineage import parents_of, paths_of
from srpo.report.open import labelled_runs
from srpo.report.reliance import Probed, look_trend
from srpo.report.signs import training_signs
from srpo.report.spent import spent_of, together
from srpo.runs.directory import RunDir
from tests.support.report_runs import traces
from tests.unit.test_report import hostile_probe
from tests.unit.test_report_panels import seen_of


class Started(Record):
    model: str = ""
    prompt: str = "bare"
    seed: int = 0


def write(
    path: Path, stage: Stage, model: str, made: list[Trace], summary: dict[str, Any] | None = None, prompt: str = "bare"
) -> Path:
    with RunDir.open(path, Started(model=model, prompt=prompt), stage) as run:
        run.append_traces(made)
        if summary is not None:
            run.finish(summary)
    return path


def family(place: Path) -> list[Path]:
    """A base, a cold start, and two siblings trained from it; the plain one was evaluated in between."""
    write(place / "sft", "sft", "tiny-base", [], {})
    for name in ("grpo", "srpo"):
        write(place / name, "rl", str(place / "sft" / "model"), [], {})
    starts = {"base": "tiny-base"} | {name: str(place / name / "model") for name in ("sft", "grpo", "srpo")}
    return [
        write(place / f"eval-{name}", "eval", model, traces(40, 0.4 + 0.1 * at, 0.3, 0.1, at), {})
        for at, (name, model) in enumerate(starts.items())
    ]


def test_siblings_have_one_parent_and_none_stands_between_the_other_and_it(tmp_path: Path) -> None:
    evaluations = family(tmp_path)
    parents = parents_of(labelled_runs(evaluations))
    assert parents == {"eval-base": None, "eval-sft": "eval-base", "eval-grpo": "eval-sft", "eval-srpo": "eval-sft"}
    flows = read_report(evaluations).panels.flows
    assert [flow.stages for flow in flows] == [
        ("eval-base", "eval-sft", "eval-grpo"),
        ("eval-base", "eval-sft", "eval-srpo"),
    ]
    assert all(flow.is_descent for flow in flows)
    html = write_report(evaluations, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Each stage was trained from the one to its left." in html
    assert html.count('<svg class="flow"') == 2


def test_a_descent_is_found_where_the_folders_were_moved_together(tmp_path: Path) -> None:
    family(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    runs = [tmp_path / "new" / f"eval-{name}" for name in ("base", "sft", "grpo", "srpo")]
    assert parents_of(labelled_runs(runs))["eval-srpo"] == "eval-sft"


def test_of_two_evaluations_of_one_model_the_one_with_the_same_prompt_is_the_parent(tmp_path: Path) -> None:
    write(tmp_path / "rl", "rl", "tiny-base", [], {})
    model = str(tmp_path / "rl" / "model")
    runs = [
        write(tmp_path / "a", "eval", "tiny-base", []),
        write(tmp_path / "b", "eval", "tiny-base", [], prompt="work"),
        write(tmp_path / "c", "eval", model, [], prompt="work"),
    ]
    assert parents_of(labelled_runs(runs)) == {"a": None, "b": None, "c": "b"}


def test_a_run_that_started_from_itself_ends_the_search(tmp_path: Path) -> None:
    write(tmp_path / "rl", "rl", str(tmp_path / "rl" / "model"), [], {})
    run = write(tmp_path / "e", "eval", str(tmp_path / "rl" / "model"), [])
    assert parents_of(labelled_runs([run])) == {"e": None}


def test_runs_that_name_no_model_stand_in_the_order_given_and_the_page_says_so(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, "eval", "", traces(20, 0.5, 0.3, 0.1, at)) for at, name in enumerate("ab")]
    (flow,) = read_report(runs).panels.flows
    assert (flow.stages, flow.is_descent) == (("a", "b"), False)
    assert "in which the runs were given" in write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")


def test_there_are_no_more_flows_than_a_reader_takes() -> None:
    children = {f"child {at}": "base" for at in range(9)}
    outcomes = {stage: {"p": "right→right"} for stage in ("base", *children)}
    parents: dict[str, str | None] = {"base": None, **children}
    assert len(flows_of(outcomes, paths_of(parents), list(parents))) == MAX_FLOWS


def test_flips_between_two_evaluations_are_counted_drawn_and_shown_with_both_responses(tmp_path: Path) -> None:
    evaluations = family(tmp_path)
    data = read_report(evaluations)
    found = data.panels.between
    assert found is not None
    assert (found.before, found.after, found.num) == ("eval-sft", "eval-srpo", 40)
    assert (found.gained, found.lost) != (0, 0)
    assert found == read_report(evaluations).panels.between
    for pair in found.pairs:
        finals = [one.trace.final_grade.is_correct for one in (pair.before, pair.after)]
        assert finals == [not pair.gained, pair.gained]
        assert pair.before.trace.problem.id == pair.after.trace.problem.id
        assert [pair.before.run, pair.after.run] == ["eval-sft", "eval-srpo"]
    page = write_report(evaluations, tmp_path / "r.html")
    html = page.read_text(encoding="utf-8")
    assert "Answers that flipped from eval-sft to eval-srpo" in html
    assert f"<b>{found.gained}</b> went from wrong to right" in html
    shown = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["panels"]["between"]
    assert (shown["gained"], len(shown["shown"])) == (found.gained, len(found.pairs))
    assert f"{found.gained} went from wrong to right" in page.with_suffix(".md").read_text(encoding="utf-8")


def test_a_probe_is_in_page_markdown_json_and_story(tmp_path: Path) -> None:
    run = write(tmp_path / "e", "eval", "m", traces(10, 0.5, 0.3, 0.1, 1), {"probe": hostile_probe()})
    page = write_report([run], tmp_path / "r.html")
    for file in (page, page.with_suffix(".md")):
        text = file.read_text(encoding="utf-8")
        assert "Do they look at the picture?" in text
        assert "another problem&#39;s picture" in text or "another problem's picture" in text
        assert "reflections after the same first attempt" in text
    (probe,) = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["panels"]["probes"]
    assert (probe["run"], probe["result"]["final"]["plain"]["value"]) == ("e", 0.5)


def test_a_probe_says_what_its_numbers_hold_and_no_more() -> None:
    value = hostile_probe()
    sure = value["reflection"] | {"gain_difference": {"value": -0.2, "n": 3, "low": -0.3, "high": -0.1}}
    unsure = value["reflection"] | {"gain_difference": {"value": -0.2, "n": 3, "low": -0.3, "high": 0.1}}

    def told(**changes: object) -> str:
        return Probed(run="e", result=ProbeResult.model_validate(value | changes)).tell()

    assert "(the difference is more than chance)" in told(reflection=sure)
    assert "(the difference is not shown to be more than chance)" in told(reflection=unsure)
    assert "chance too changes answers" in told(temperature=1.0)
    assert "Reflections" not in told(reflection=None)


def test_reflections_that_look_less_are_a_sign_and_stand_beside_the_other_parts() -> None:
    rows = [
        {
            "step": step,
            "rl/looks_again/first_wrong": 0.5,
            "rl/probe/first": 0.5,
            "rl/probe/reflection": 0.4 - 0.01 * step,
        }
        for step in range(1, 31)
    ]
    seen = seen_of(traces(9, 0.5, 0.5, 0.1, 1, stage="rl", step=3), stage="rl", last_step=30)
    found = training_signs(seen, rows)
    assert found is not None
    sign = next(one for one in found.signs if one.name == "probe/reflection")
    assert (sign.trend, sign.is_alarm, sign.is_share) == ("falls", True, False)
    trend = look_trend("rl", rows)
    assert trend is not None
    assert list(trend.parts) == ["first attempt", "reflection"]
    assert look_trend("rl", [{"step": 1, "rl/reward/mean": 1.0}]) is None


def test_time_and_cost_come_from_state_and_summary_and_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    spend = [{"model": "m", "requests": 5, "usd": 0.25}, {"model": "n", "requests": 2, "usd": 0.5}]
    paid = write(tmp_path / "reflect", "reflect", "", [], {"spend": spend})
    phased = write(tmp_path / "rl", "rl", "", [], {"seconds_by_part": {"sample": 3.0, "learn": 1.0}, "tokens": 7})
    under_way = write(tmp_path / "sft", "sft", "", [])
    rows = [spent_of(one.label, one.run) for one in labelled_runs([paid, phased, under_way])]
    assert [(row.requests, row.usd, row.tokens) for row in rows] == [
        (7, 0.75, None),
        (None, None, 7),
        (None, None, None),
    ]
    assert rows[1].parts == {"sample": 3.0, "learn": 1.0}
    assert [row.is_finished for row in rows] == [True, True, False]
    whole = together(rows)
    assert (whole.requests, whole.usd, whole.tokens, whole.is_finished) == (7, 0.75, 7, False)
    html = write_report([paid, phased, under_way], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "sample 3.0 s" in html
    assert "$0.75" in html
    assert "so far" in html


def test_a_price_that_is_not_known_is_not_called_nothing(tmp_path: Path) -> None:
    free = write(tmp_path / "r", "reflect", "", [], {"spend": [{"model": "m", "requests": 5, "usd": 0}]})
    (run,) = labelled_runs([free])
    assert (spent_of("r", run.run).requests, spent_of("r", run.run).usd) == (5, None)


def test_an_evaluation_under_way_is_reported_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = write(tmp_path / "a", "eval", "m", traces(30, 0.4, 0.3, 0.1, 1), {})
    under_way = write(tmp_path / "b", "eval", "m", traces(20, 0.6, 0.3, 0.1, 2))
    with (under_way / "traces.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"schema_version": 1, "orig')  # a line that is being written
    assert run_command(["report", str(done), str(under_way), "--out", str(tmp_path / "r.html")]) == 0
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [run["num_traces"] for run in report["runs"]] == [30, 20]
    assert [row["is_finished"] for row in report["spent"]] == [True, False]
    assert report["panels"]["between"]["num"] == 20
    capsys.readouterr()
    assert run_command(["compare", str(done), str(under_way), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flips"]["n"] == 20
