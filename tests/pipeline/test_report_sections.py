"""What the report says beside its tables: flips, flows, signs of reward hacking, verdicts, time; and its many cards."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.core.looking import stated_verdict
from srpo.core.records import Attempt, Response, Trace
from srpo.report.alluvial import HEIGHT, alluvial
from srpo.report.build import read_report
from srpo.report.hacking import signs_of
from srpo.report.model import Curve, Sign
from srpo.report.notes import Notes
from srpo.report.page import render_page
from srpo.report.pictures import Album
from srpo.runs.directory import RunDir
from tests.support.html import Page
from tests.support.report_runs import HOSTILE, trace, traces, write_demo, write_run


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("sections") / "demo", num=60)


def finals(run: Path) -> dict[str, bool]:
    return {one.problem.id: one.final_grade.is_correct for one in RunDir.read(run).traces()}


def test_flips_are_counted_and_some_are_drawn_by_a_fixed_seed(demo: Path) -> None:
    data = read_report([demo])
    assert data.flips is not None
    before, after = finals(demo / "eval-sft"), finals(demo / "eval-srpo")
    gained = {key for key in before if after[key] and not before[key]}
    lost = {key for key in before if before[key] and not after[key]}
    flips = data.flips
    assert (flips.before, flips.after, flips.n) == ("eval sft", "eval srpo", 60)
    assert (flips.gained, flips.lost) == (len(gained), len(lost))
    shown = [(pair.gained, pair.before.trace.problem.id) for pair in flips.pairs]
    assert [is_gain for is_gain, _ in shown] == [True] * 4 + [False] * 4
    assert all(key in (gained if is_gain else lost) for is_gain, key in shown)
    assert all(pair.before.trace.problem == pair.after.trace.problem for pair in flips.pairs)
    assert all(pair.after.pictures[0].uri for pair in flips.pairs)
    assert read_report([demo]).flips == flips
    page = Page(render_page(data))
    assert f"{len(gained)} went from wrong to right and {len(lost)} from right to wrong" in page.text
    assert "drawn at random with a fixed seed" in page.text


def test_runs_that_share_no_problem_have_no_flips_and_no_flow(tmp_path: Path) -> None:
    write_run(tmp_path / "one", "eval", [trace(1, True, True)])
    write_run(tmp_path / "two", "eval", [trace(2, True, True)])
    data = read_report([tmp_path / "one", tmp_path / "two"])
    assert data.flips is None
    assert alluvial(data.outcomes) is None
    assert 'id="flow"' not in render_page(data)


def test_the_bands_of_the_flow_hold_every_problem_once() -> None:
    outcomes = {
        "base": {
            "a": "right→right",
            "b": "wrong→wrong",
            "c": "wrong→wrong",
            "d": "ungradable",
            "only here": "right→right",
        },
        "srpo": {"a": "right→wrong", "b": "wrong→right", "c": "wrong→right", "d": "ungradable"},
    }
    found = alluvial(outcomes)
    assert found is not None
    assert found.num == 4
    assert [band.words for band in found.bands] == [
        "1 from right→right in base to right→wrong in srpo",
        "2 from wrong→wrong in base to wrong→right in srpo",
        "1 from ungradable in base to ungradable in srpo",
    ]
    for stage in (0.0, found.stages[1][1]):
        bars = [bar for bar in found.bars if bar.x == stage]
        assert sum(bar.num for bar in bars) == 4
        assert sum(bar.height for bar in bars) == pytest.approx(HEIGHT)
        assert all(one.y + one.height < two.y for one, two in pairwise(bars))


# -- signs


def hacked(step: int, number: int, *, copies: bool, changes: bool) -> Trace:
    think = "the red bar ends at five and the blue one at four, so nine it is"
    made = trace(number, False, False, stage="rl", step=step)
    reflection = think if copies else "so wrong"
    response = Response(
        first=Attempt(think=think, answer="3"), reflection=reflection, second=Attempt(think="", answer="4")
    )
    final = made.final_grade.model_copy(update={"extracted": "4" if changes else "3"})
    first = made.first_grade.model_copy(update={"extracted": "3"})
    return made.model_copy(update={"parsed": response, "first_grade": first, "final_grade": final})


def curve(key: str, first: float, last: float) -> Curve:
    values = tuple(first + (last - first) * step / 29 for step in range(30))
    return Curve(run="rl", key=key, steps=tuple(range(30)), values=values)


def signs(made: list[Trace], *curves: Curve) -> dict[str, Sign]:
    notes = Notes("rl")
    for one in made:
        notes.take(one, is_evaluation=False)
    return {sign.name: sign for sign in signs_of(notes, curves)}


def test_a_run_that_holds_back_its_first_answers_is_told() -> None:
    made = [hacked(1, 1, copies=False, changes=True)]
    spoiled = signs(made, curve("rl/first_accuracy", 0.6, 0.3), curve("rl/final_accuracy", 0.6, 0.7))
    assert spoiled["First answers held back"].seen is True
    worse = signs(made, curve("rl/first_accuracy", 0.6, 0.3), curve("rl/final_accuracy", 0.6, 0.3))
    assert worse["First answers held back"].seen is False
    better = signs(made, curve("rl/first_accuracy", 0.6, 0.65), curve("rl/final_accuracy", 0.6, 0.7))
    assert better["First answers held back"].seen is False
    assert signs(made)["First answers held back"].seen is None


def test_reward_that_rose_by_form_is_told() -> None:
    made = [hacked(1, 1, copies=False, changes=True)]
    form = signs(
        made, curve("rl/format/mean", 0.2, 1), curve("rl/accuracy/mean", 0.5, 0.5), curve("rl/effect/mean", 0, 0)
    )
    assert form["Gains by form alone"].seen is True
    answers = signs(made, curve("rl/format/mean", 0.9, 1), curve("rl/accuracy/mean", 0.2, 0.9))
    assert answers["Gains by form alone"].seen is False
    assert signs(made, curve("rl/length/mean", 0.5, 0.99))["Length at its target"].seen is True
    assert signs(made, curve("rl/length/mean", 0.5, 0.6))["Length at its target"].seen is False
    assert signs(made, curve("rl/probe/reflection", 0.8, 0.1))["Reliance on the picture"].seen is True
    assert signs(made, curve("rl/probe/reflection", 0.8, 0.7))["Reliance on the picture"].seen is False


def test_copies_and_changes_without_a_reason_are_told_by_the_traces() -> None:
    made = [hacked(step, step, copies=step > 40, changes=step < 20) for step in range(60)]
    found = signs(made)
    assert (found["Copied reflections"].early, found["Copied reflections"].seen) == ("0.0% of 20", True)
    assert found["Copied reflections"].late == "95.0% of 20"
    assert found["Answers changed without a reason"].seen is None
    found = signs([hacked(step, step, copies=False, changes=True) for step in range(60)])
    assert found["Answers changed without a reason"].late == "100.0% of 20"
    assert found["Answers changed without a reason"].seen is True
    assert found["Copied reflections"].seen is False


def test_a_run_without_reflections_has_no_signs() -> None:
    assert signs(traces(20, 0.5, 0, 0, 1, style="single", stage="rl", step=3)) == {}


@pytest.mark.parametrize(
    ("reflection", "said"),
    [
        ("9 vs 9: yes\nso right", True),
        ("12: so wrong", False),
        ("I was wrong about the blue bar, but the answer is correct.", True),
        ("This is not right", False),
        ("The solution isn't wrong", True),
        ("there is a mistake in step 2", False),
        ("the triangle has a right angle on the right side", None),
        ("", None),
    ],
)
def test_the_last_verdict_of_a_reflection_counts(reflection: str, said: bool | None) -> None:
    assert stated_verdict(reflection) is said


def test_verdicts_are_held_against_the_first_answers(tmp_path: Path) -> None:
    made = []
    for number, (right, words) in enumerate(
        [(True, "so right")] * 3 + [(False, "so right"), (False, "so wrong"), (True, "hm")]
    ):
        one = trace(number, right, right)
        assert isinstance(one.parsed, Response)
        made.append(one.model_copy(update={"parsed": one.parsed.model_copy(update={"reflection": words})}))
    write_run(tmp_path / "run", "eval", made)
    (row,) = read_report([tmp_path / "run"]).verdicts
    assert (row.said_right, row.said_right_is, row.said_wrong, row.said_wrong_is, row.said_nothing) == (4, 3, 1, 1, 1)


# -- many cards


def test_what_is_not_on_the_first_screens_waits_in_templates(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", traces(300, 0.5, 0.5, 0.2, 1))
    few, many = (read_report([tmp_path / "run"], num_cards=number) for number in (48, 200))
    assert (len(few.cards), len(many.cards)) == (48, 200)
    page = Page(render_page(many))
    assert len(page.of("template")) == 200 - 48
    assert len(page.of("article", "card")) == 200
    first = page.of("template")[0]
    assert {"data-outcome", "data-run", "data-family"} <= first.keys()


def test_pictures_beyond_the_bound_are_left_out_and_say_so(tmp_path: Path) -> None:
    album = Album(most_bytes=1)
    first, second = (trace(1, True, True, image=f"drawn:area/1/{seed}") for seed in (1, 2))
    assert album.card("run", first).pictures[0].uri
    left_out = album.card("run", second).pictures[0]
    assert left_out.uri is None
    assert "`srpo view` shows all" in (left_out.reason or "")
    assert album.card("run", first).pictures[0].uri


def test_the_report_is_written_as_a_page_in_markdown_and_as_json(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", str(demo), "--out", str(tmp_path / "r.html"), "--samples", "60"]) == 0
    assert capsys.readouterr().out.strip() == str((tmp_path / "r.html").resolve())
    value = json.loads((tmp_path / "r.json").read_text())
    assert value["flips"]["n"] == 60
    assert {row["run"] for row in value["verdicts"]} <= {row["label"] for row in value["runs"]}
    with pytest.raises(ValueError, match=r"r.md': the page is HTML, and .md is written beside it"):
        run_command(["report", str(demo), "--out", str(tmp_path / "r.md")])
    words = (tmp_path / "r.md").read_text()
    assert words.startswith("# SRPO on a laptop\n")
    for title in ("Stages", "Reward earned without answering better?", "Time and cost"):
        assert f"## {title}" in words
    assert f"| {value['stages'][0]['name']} | 60 |" in words


def test_hostile_names_break_no_table_of_the_markdown(tmp_path: Path) -> None:
    write_run(tmp_path / f"a|b {HOSTILE[9:17]}\n# x", "rl", traces(30, 0.5, 0.5, 0.2, 1, stage="rl", step=1), steps=30)
    out = tmp_path / "r.html"
    assert run_command(["report", *map(str, tmp_path.iterdir()), "--out", str(out)]) == 0
    words = (tmp_path / "r.md").read_text()
    assert "<script" not in words
    assert "\n# x" not in words
    assert (
        len(
            {
                line.replace("\\|", "").count("|")
                for line in words.split("## Time and cost")[1].splitlines()
                if "|" in line
            }
        )
        == 1
    )
