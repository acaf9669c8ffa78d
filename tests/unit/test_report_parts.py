"""Metrics, sentences and console cards of the report."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from srpo.cli.main import run_command
from srpo.core.summary import StageSummary, results_of, summarise
from srpo.report import metrics
from srpo.report.console import parse_outcome, print_card
from srpo.report.model import Curve, ReportData, StageComparison
from srpo.report.palette import OUTCOME_MARKS, PAGE, SERIES, css_variables, dark_of_light
from srpo.report.summary import tell
from srpo.report.text import compact, number, signed
from tests.support.report_runs import HOSTILE, trace, traces, write_run

values = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=900)


@given(values)
def test_smoothing_stays_within_the_values_and_keeps_their_number(raw: list[float]) -> None:
    smoothed = metrics.smooth(raw)
    assert len(smoothed) == len(raw)
    assert min(raw) - 1e-9 <= min(smoothed)
    assert max(smoothed) <= max(raw) + 1e-9


@given(values)
def test_thinning_keeps_the_last_step_and_the_bounds(raw: list[float]) -> None:
    curve = Curve(run="r", key="k", steps=tuple(range(1, len(raw) + 1)), values=tuple(raw))
    thinned = metrics.thin(curve)
    assert len(thinned.steps) == len(thinned.values) <= metrics.MAX_POINTS
    assert thinned.steps[-1] == len(raw)
    assert max(thinned.values) <= max(raw) + 1e-9


def test_curves_leave_out_what_is_not_finite() -> None:
    rows = [
        {"step": 1, "time_s": 0.1, "rl/loss": 1.0, "rl/kl": math.nan},
        {"step": 3, "time_s": 1, "rl/loss": math.inf},
    ]
    (curve,) = metrics.curves_of("run", rows)
    assert (curve.key, curve.steps, curve.values) == ("rl/loss", (1,), (1.0,))


def test_panels_are_grouped_by_stage_and_topic() -> None:
    keys = ["sft/loss", "rl/lr", "rl/first_accuracy", "rl/format/mean", "rl/my_term/mean", "rl/format/last", "odd"]
    keys.append("rl/eval/final_accuracy")
    curves = tuple(Curve(run="r", key=key, steps=(1,), values=(1.0,)) for key in keys)
    data = ReportData(title="t", curves=curves, term_names=("format", "my_term"))
    groups = metrics.panel_groups(data)
    assert [(group.title, [panel.key for panel in group.panels], group.folded) for group in groups] == [
        ("Reinforcement learning: accuracy and transitions", ["rl/first_accuracy"], False),
        ("Reinforcement learning: reward terms", ["rl/format/mean", "rl/my_term/mean"], False),
        ("Reinforcement learning: training internals", ["rl/lr", "rl/format/last"], True),
        ("Held-out evaluation during RL: accuracy and transitions", ["rl/eval/final_accuracy"], False),
        ("Supervised fine-tuning: training internals", ["sft/loss"], False),
        ("other: training internals", ["odd"], False),
    ]


def test_runs_with_the_same_metric_share_a_panel() -> None:
    curves = tuple(Curve(run=run, key="rl/loss", steps=(1,), values=(1.0,)) for run in ("a", "b"))
    ((_, (panel,), _),) = metrics.panel_groups(ReportData(title="t", curves=curves))
    assert [curve.run for curve in panel.curves] == ["a", "b"]


def stage(name: str, final: float, half: float, **fields: float) -> StageSummary:
    base = summarise(results_of(traces(40, 0.5, 0.5, 0.1, 1)), name)
    return base.model_copy(
        update={"final_accuracy": final, "final_interval": (final - half, final + half), "n": 500} | fields
    )


def test_story_claims_a_gain_only_when_the_interval_leaves_out_zero() -> None:
    sft, srpo = stage("sft", 0.5, 0.1), stage("srpo", 0.6, 0.1)
    undecided = tell(ReportData(title="t", stages=(sft, srpo)))
    assert "may be chance" in undecided.headline
    assert "+10.0 points against sft (the 95% intervals overlap, so this run alone" in undecided.paragraph
    paired = StageComparison(ours="srpo", theirs="sft", mean=0.1, low=0.04, high=0.16, n=500)
    decided = tell(ReportData(title="t", stages=(sft, srpo), comparisons=(paired,)))
    assert decided.headline.startswith("Reflection-aware reinforcement learning raised the accuracy")
    assert "(paired 95% interval +4.0 to +16.0)" in decided.paragraph


def test_story_says_so_when_accuracy_fell_and_grpo_was_better() -> None:
    stages = (
        stage("sft", 0.6, 0.02),
        stage("grpo", 0.7, 0.02, tokens=1_000_000),
        stage("srpo", 0.5, 0.02, tokens=999_000),
    )
    told = tell(ReportData(title="t", stages=stages, seed=3))
    assert "lowered the accuracy of the final answer: 60.0% right after sft, 50.0% after srpo" in told.headline
    assert "srpo ends 20.0 points below it (the 95% intervals do not overlap)" in told.paragraph
    assert "with 1.0M tokens in all against 999k" in told.paragraph
    assert told.paragraph.endswith("This is one run with one seed (3).")


def test_story_turns_a_comparison_round_when_grpo_came_after_srpo() -> None:
    known = StageComparison(ours="grpo", theirs="srpo", mean=-0.1, low=-0.15, high=-0.05, n=500)
    stages = (stage("srpo", 0.7, 0.1), stage("grpo", 0.6, 0.1))
    told = tell(ReportData(title="t", stages=stages, comparisons=(known,)))
    assert "srpo ends 10.0 points above it (paired 95% interval +5.0 to +15.0)" in told.paragraph


def test_story_prefers_the_exact_name() -> None:
    stages = (
        stage("majority vote of the base", 0.9, 0.1, first_accuracy=0.9),
        stage("base", 0.4, 0.1, first_accuracy=0.4),
    )
    assert "got 40.0% right" in tell(ReportData(title="t", stages=stages)).paragraph


def test_numbers_in_words() -> None:
    assert [signed(points) for points in (3.21, -1, 0.01, -0.04)] == ["+3.2", "−1.0", "0.0", "0.0"]
    assert [compact(n) for n in (12, 1500, 999_000, 1_310_000, 2.5e9)] == ["12", "1.5k", "999k", "1.3M", "2.5G"]
    assert [number(v) for v in (0.12345, 1e-4, 24.0, 123456.7)] == ["0.123", "0.0001", "24", "123,457"]


def test_no_two_tones_share_a_light_colour() -> None:
    tones = len(PAGE) + len(OUTCOME_MARKS) + len(SERIES)
    assert len(dark_of_light()) == tones
    assert css_variables(dark=True).count("#") == tones


def luminance(code: str) -> float:
    parts = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return sum(
        w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
        for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_colours_have_the_contrast_that_readers_need(dark: bool) -> None:
    texts = [PAGE["ink"], PAGE["muted"], PAGE["accent"], *(mark.tone for mark in OUTCOME_MARKS.values())]
    for ground in (PAGE["paper"], PAGE["raised"]):
        for text in texts:
            low, high = sorted(luminance(tone.dark if dark else tone.light) for tone in (text, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


@pytest.mark.parametrize(
    "text", ["wrong→right", "wrong->right", "wrong-right", "Wrong_Right", "w2r", "wr", "wrong to right"]
)
def test_outcome_aliases(text: str) -> None:
    assert parse_outcome(text) == "wrong→right"


def test_ungradable_is_an_outcome_to_ask_for_and_nonsense_is_refused() -> None:
    assert parse_outcome("ungradable") == "ungradable"
    for text in ("none", "wright", "", "u"):
        with pytest.raises(ValueError, match=r"--outcome '.*' is not an outcome; choose from right→right"):
            parse_outcome(text)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = [trace(index, first=index % 2 == 0, final=True, stage="rl", step=7) for index in range(12)]
    write_run(tmp_path / "run", "rl", made)
    return tmp_path / "run"


def test_show_prints_plain_cards(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["show", str(run), "--outcome", "w2r", "--family", "clock", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("✗✓ wrong→right (repaired)  run · clock · level") == 2
    assert "\x1b[" not in out
    assert "│" not in out
    for words in (
        "First attempt",
        "Reflection",
        "Second attempt",
        "gold: 11",
        "reward 1.3",
        "format +0.50",
        "advantage",
    ):
        assert words in out


def test_show_as_json_gives_traces_back(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["show", str(run), "--outcome", "wrong-right", "--limit", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["problem"]["id"] for row in rows] == ["clock-1", "weights-3", "clock-5"]


def test_show_says_when_nothing_matches(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["show", str(run), "--family", "mazes"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no trace matches" in captured.err
    assert "there are 6 right→right, 6 wrong→right; families bars, clock, pairs, weights" in captured.err
    with pytest.raises(ValueError, match="--limit: 0 is not allowed"):
        run_command(["show", str(run), "--limit", "0"])
    with pytest.raises(ValueError, match="is not a directory"):
        run_command(["show", str(run / "nowhere")])


def test_console_card_neither_reads_markup_nor_obeys_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    wicked = trace(0, first=True, final=False, question=HOSTILE + "\x1b[31mred\x07", broken=True)
    print_card("run", wicked)
    out = capsys.readouterr().out
    assert "[bold]b[/bold]" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "format: <reflection> is never closed" in out


def test_console_card_has_a_box_on_a_terminal() -> None:
    console = Console(force_terminal=True, width=100, record=True, highlight=False)
    with console.capture() as capture:
        print_card("run", trace(3, first=False, final=False), console)
    assert "╭" in capture.get()
    assert "stayed wrong" in capture.get()
