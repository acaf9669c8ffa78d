"""Panels of a report: alluvial plot, signs of a hacked reward, calibration, flips."""

from collections.abc import Iterable, Sequence

import pytest

from srpo.core.records import Reward, Term, Trace
from srpo.report.calibration import Calibration
from srpo.report.flow import HEIGHT, WIDTH, Flow, flow_of, lay_out
from srpo.report.model import Card, Panels, ReportData
from srpo.report.observe import NUM_FLIPS, Observer, findings_of, window_of
from srpo.report.panels import Watcher
from srpo.report.signs import TrainingSigns, training_signs
from srpo.report.summary import tell
from tests.support.report_runs import trace, traces


def reflected(made: Trace, reflection: str) -> Trace:
    return made.model_copy(update={"parsed": made.parsed.model_copy(update={"reflection": reflection})})


def seen_of(made: Iterable[Trace], *, stage: str = "eval", last_step: int = 0) -> Observer:
    seen = Observer("run", stage, last_step=last_step, seed=0)
    for one in made:
        seen.add(one)
    return seen


def test_a_flow_counts_only_problems_that_every_stage_answered() -> None:
    flow = flow_of(
        {
            "base": {"a": "right→right", "b": "wrong→wrong", "c": "wrong→wrong", "only here": "wrong→wrong"},
            "srpo": {"c": "wrong→right", "b": "wrong→wrong", "a": None},
        }
    )
    assert flow is not None
    assert flow.num == 3
    assert flow.columns == (
        {"right→right": 1, "wrong→wrong": 2},
        {"wrong→right": 1, "wrong→wrong": 1, "ungradable": 1},
    )
    assert [(one.source, one.target, one.num) for one in flow.ribbons] == [
        ("right→right", "ungradable", 1),
        ("wrong→wrong", "wrong→right", 1),
        ("wrong→wrong", "wrong→wrong", 1),
    ]


def test_one_stage_or_no_shared_problem_is_no_flow() -> None:
    assert flow_of({"base": {"a": "right→right"}}) is None
    assert flow_of({"base": {"a": "right→right"}, "srpo": {"b": "right→right"}}) is None


def test_ribbons_fill_their_bars_and_stay_in_the_picture() -> None:
    runs = {
        name: seen_of(traces(40, share, 0.4, 0.2, seed)) for seed, (name, share) in enumerate((("a", 0.3), ("b", 0.6)))
    }
    flow = flow_of({name: seen.outcomes for name, seen in runs.items()})
    assert flow is not None
    drawing = lay_out(flow)
    for outcome, num in flow.columns[0].items():
        assert sum(one.num for one in flow.ribbons if one.source == outcome) == num
    for outcome, num in flow.columns[1].items():
        assert sum(one.num for one in flow.ribbons if one.target == outcome) == num
    assert all(0 <= bar.x <= WIDTH and bar.y >= 0 and bar.y + bar.height <= HEIGHT + 1e-6 for bar in drawing.bars)
    assert len(drawing.bands) == len(flow.ribbons)


def test_long_names_are_cut_in_the_middle_and_kept_whole_beside() -> None:
    names = [f"eval-{way}-with-a-very-long-name-{way}" for way in ("sft", "srpo")]
    flow = flow_of({name: {"p": "right→right"} for name in names})
    assert flow is not None
    last = lay_out(flow).heads[-1]
    assert last.stage == names[-1]
    assert last.text.startswith("eval-srp")
    assert last.text.endswith("-srpo")
    assert len(last.text) < 20


def test_steps_fall_into_thirds() -> None:
    assert [window_of(step, 6) for step in range(1, 7)] == ["early"] * 2 + ["middle"] * 2 + ["late"] * 2


def test_what_is_found_in_a_response() -> None:
    blind = reflected(trace(0, first=False, final=True), "3: so right")
    assert findings_of(blind) == findings_of(blind)._replace(
        reflections=1, calls_right=1, rightly=0, changed=1, unreasoned=1, against=1
    )
    looked = findings_of(reflected(trace(0, first=False, final=True), "the blue bar ends at 4: so wrong"))
    assert (looked.calls_wrong, looked.wrongly, looked.unreasoned, looked.against) == (1, 0, 0, 0)
    assert findings_of(reflected(trace(0, first=True, final=True), "red=5 blue=4 5+4=9")).copied
    assert findings_of(trace(0, first=True, final=True, broken=True)).reflections == 0
    assert findings_of(trace(0, first=True, final=True, style="single")).reflections == 0


@pytest.mark.parametrize(("score", "at_target"), [(1.0, True), (0.97, True), (0.95, False)])
def test_a_length_is_at_its_target_within_a_twentieth(score: float, at_target: bool) -> None:
    paid = trace(0, first=True, final=True, stage="rl", step=1)
    paid = paid.model_copy(update={"reward": Reward(terms=(Term(name="length", score=score, weight=0.1),))})
    assert findings_of(paid).paid_length == 1
    assert bool(findings_of(paid).at_target) is at_target


def test_calibration_sets_verdicts_against_the_truth() -> None:
    says = {True: "the bar is 5: so right", False: "the bar is 4: so wrong"}
    knows = [reflected(trace(at, first=at % 2 == 0, final=True), says[at % 2 == 0]) for at in range(40)]
    found = Calibration.of(seen_of(knows))
    assert found is not None
    assert (found.calls_right.part, found.calls_right.whole, found.noticed.part, found.doubted.part) == (20, 20, 20, 0)
    assert found.tell().startswith("The verdicts tell right from wrong")
    always = [reflected(one, says[True]) for one in knows]
    blind = Calibration.of(seen_of(always))
    assert blind is not None
    assert blind.calls_right.value == blind.first_right.value == 0.5
    assert blind.tell() == "The intervals overlap: that the verdicts tell right from wrong is not shown."
    assert Calibration.of(seen_of([trace(0, first=True, final=True, style="single")])) is None


def training(rows: Sequence[dict[str, float]], late: str) -> TrainingSigns:
    """The signs of a training of 30 steps, with a reflection of its own in the last third."""
    made = [trace(at, first=False, final=True, stage="rl", step=at % 30 + 1) for at in range(90)]
    made = [one if (one.origin.step or 0) <= 20 else reflected(one, late) for one in made]
    found = training_signs(seen_of(made, stage="rl", last_step=30), rows)
    assert found is not None
    return found


def rows_of(
    first: tuple[float, float], final: tuple[float, float], reward: tuple[float, float]
) -> list[dict[str, float]]:
    """Thirty steps, each metric going from one value to another."""

    def at(ends: tuple[float, float], step: int) -> float:
        return ends[0] + (ends[1] - ends[0]) * (step - 1) / 29

    named = {"rl/first_accuracy": first, "rl/final_accuracy": final, "rl/reward/mean": reward, "rl/format/mean": reward}
    return [{"step": step} | {key: at(ends, step) for key, ends in named.items()} for step in range(1, 31)]


def test_first_answers_that_get_worse_are_a_sign() -> None:
    found = training(rows_of((0.6, 0.3), (0.6, 0.7), (1, 1.2)), "the blue bar ends at 4, so the sum is wrong")
    assert found.alarms == ("first_accuracy",)


def test_a_reward_that_rises_alone_is_a_sign_and_says_what_rose() -> None:
    found = training(rows_of((0.5, 0.5), (0.5, 0.5), (0.8, 1.2)), "the blue bar ends at 4, so the sum is wrong")
    assert found.alarms == ("reward",)
    assert found.gains["format"] == pytest.approx(0.5 * 0.4 * 20 / 29)


def test_the_story_tells_signs_where_there_are_any() -> None:
    hacked = training(rows_of((0.5, 0.5), (0.5, 0.5), (0.8, 1.2)), "the blue bar ends at 4, so the sum is wrong")
    honest = training(rows_of((0.5, 0.6), (0.5, 0.6), (0.8, 0.8)), "the blue bar ends at 4, so the sum is wrong")
    told, untold = (
        tell(ReportData(title="t", panels=Panels(training_signs=(found,)))).paragraph for found in (hacked, honest)
    )
    assert "run shows signs of a hacked reward (the reward rises and the accuracy of final answers does not)." in told
    assert "hacked" not in untold


def test_reflections_that_begin_to_copy_are_a_sign() -> None:
    found = training(rows_of((0.5, 0.5), (0.5, 0.5), (1, 1)), "red=5 blue=4 5+4=9")
    assert "copied" in found.alarms
    assert {sign.name: sign.trend for sign in found.signs}["first_accuracy"] == "undecided"


def test_a_verdict_alone_before_a_changed_answer_is_a_sign() -> None:
    found = training(rows_of((0.5, 0.5), (0.5, 0.5), (1, 1)), "right")
    assert set(found.alarms) == {"unreasoned", "against"}


def test_few_traces_tell_no_trend() -> None:
    made = [trace(at, first=False, final=True, stage="rl", step=at + 1) for at in range(3)]
    found = training_signs(seen_of(made, stage="rl", last_step=3), [{"step": step} for step in (1, 2, 3)])
    assert found is not None
    assert {sign.trend for sign in found.signs} == {"too few"}
    assert found.alarms == ()


def panels_of(made: Sequence[Trace], seed: int) -> Panels:
    watcher = Watcher(seed=seed)
    assert list(watcher.watch("eval srpo", "eval", [], made)) == list(made)
    return watcher.panels((), (), lambda pairs: tuple(Card(run=run, trace=one) for run, one in pairs))


def test_flips_are_drawn_at_random_by_the_seed() -> None:
    made = traces(200, 0.5, 0.5, 0.3, 1)
    repaired, spoiled = panels_of(made, 0).flips
    assert [repaired.outcome, spoiled.outcome] == ["wrong→right", "right→wrong"]
    assert repaired.num == sum(one.outcome == "wrong→right" for one in made)
    assert len(repaired.cards) == len(spoiled.cards) == NUM_FLIPS
    assert panels_of(made, 0).flips == (repaired, spoiled)
    assert panels_of(made, 1).flips != (repaired, spoiled)


def test_a_plain_run_has_no_panels() -> None:
    assert panels_of(traces(20, 0.5, 0, 0, 1, style="single"), 0) == Panels()


def test_the_first_sample_of_a_problem_stands_for_it() -> None:
    first, second = trace(0, first=True, final=True), trace(0, first=False, final=False)
    assert seen_of([first, second]).outcomes == {first.problem.id: "right→right"}


def test_a_flow_survives_json() -> None:
    flow = flow_of({"a": {"p": "right→right"}, "b": {"p": None}})
    assert flow is not None
    assert Flow.model_validate_json(flow.model_dump_json()) == flow
