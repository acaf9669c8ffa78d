"""The numbers of a report, each in its place; in which words they are told is free."""

import re

import pytest
from inline_snapshot import snapshot

from srpo.core.summary import FamilySummary, StageSummary
from srpo.report.model import Curve, ReportData, RunInfo, StageComparison
from srpo.report.page import render_page
from tests.support.html import Page


def stage(
    name: str, first: float, repaired: float, spoiled: float, tokens: int | None = None, seconds: float | None = None
) -> StageSummary:
    final = first + repaired - spoiled
    shares = {
        "right→right": first - spoiled,
        "wrong→right": repaired,
        "right→wrong": spoiled,
        "wrong→wrong": 1 - first - repaired,
    }
    return StageSummary(
        name=name,
        n=400,
        num_samples=1,
        first_accuracy=first,
        final_accuracy=final,
        first_interval=(first - 0.04, first + 0.04),
        final_interval=(final - 0.04, final + 0.04),
        transitions=shares,
        counts={outcome: round(400 * share) for outcome, share in shares.items()},
        format_rate=0.97,
        ungradable=0,
        mean_tokens=61.25,
        chance=0.18,
        temperature=1.0,
        by_family={"pairs": FamilySummary(n=400, first_accuracy=first, final_accuracy=final, chance=0.18)},
        tokens=tokens,
        seconds=seconds,
    )


DATA = ReportData(
    title="SRPO in ten minutes",
    created="2026-11-22",
    command="srpo demo --seed 0",
    seed=0,
    hardware="2 CPU cores",
    versions={"srpo": "0.1.0", "torch": "2.13.0"},
    stages=(
        stage("base", 0.44, 0.02, 0.05),
        stage("sft", 0.46, 0.16, 0.06, tokens=400_000, seconds=95.0),
        stage("grpo", 0.61, 0, 0, tokens=1_200_000, seconds=140.0),
        stage("srpo", 0.58, 0.15, 0.02, tokens=1_200_000, seconds=150.0),
    ),
    runs=(
        RunInfo(label="reflect", path="demo/reflect", num_traces=1200, counts={"wrong→right": 840, "right→right": 360}),
        RunInfo(label="grpo", path="demo/grpo", num_traces=400, num_steps=40, counts={}, single=True),
        RunInfo(label="srpo training", path="demo/srpo", num_traces=160, num_steps=3, counts={}),
    ),
    comparisons=(
        StageComparison(ours="srpo", theirs="sft", mean=0.15, low=0.1, high=0.2, n=400),
        StageComparison(ours="srpo", theirs="grpo", mean=0.1, low=-0.01, high=0.21, n=400),
    ),
    curves=(
        Curve(run="srpo training", key="rl/effect/mean", steps=(1, 2, 3), values=(0.1, 0.15, 0.2)),
        Curve(run="srpo training", key="rl/loss", steps=(1, 2, 3), values=(0.01, 0.0, -0.01)),
    ),
    term_names=("effect",),
)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(DATA))


def numbers(text: str) -> list[str]:
    return re.findall(r"[+−]?\d+(?:[.,]\d+)*[%Mk]?", text)


def test_the_headline_tells_what_reinforcement_learning_did(page: Page) -> None:
    headline = page.lines[page.lines.index(DATA.title) + 1]
    assert numbers(headline) == ["56.0%", "71.0%"]


def test_the_story_tells_every_number_of_the_run_with_its_interval(page: Page) -> None:
    story = max(page.lines, key=len)
    attempts = ["400", "44.0%", "95%", "40.0%", "48.0%", "18.0%", "1,200", "70.0%"]
    tuned = ["97.0%", "46.0%", "56.0%"]
    reinforced = ["71.0%", "+15.0", "95%", "+10.0", "+20.0", "15.0%", "2.0%"]
    beside = ["61.0%", "1.2M", "1.2M", "10.0", "95%", "−1.0", "+21.0"]
    assert sorted(numbers(story)) == sorted([*attempts, *tuned, *reinforced, *beside, "0"])


def test_the_table_of_stages(page: Page) -> None:
    assert [[row[0], *row[2:6]] for row in page.tables[0]] == snapshot(
        [
            ["Stage", "First answer", "Final answer", "Chance", "n"],
            ["base temperature 1", "44.0% 40.0% – 48.0%", "41.0% 37.0% – 45.0%", "18.0%", "400"],
            ["sft temperature 1", "46.0% 42.0% – 50.0%", "56.0% 52.0% – 60.0%", "18.0%", "400"],
            ["grpo temperature 1", "61.0% 57.0% – 65.0%", "61.0% 57.0% – 65.0%", "18.0%", "400"],
            ["srpo temperature 1", "58.0% 54.0% – 62.0%", "71.0% 67.0% – 75.0%", "18.0%", "400"],
        ]
    )
    assert [row[6:] for row in page.tables[0]] == snapshot(
        [
            ["Format", "wrong→right", "right→wrong", "Tokens", "All tokens", "Time"],
            ["97.0%", "2.0%", "5.0%", "61.2", "–", "–"],
            ["97.0%", "16.0%", "6.0%", "61.2", "400k", "1 min 35 s"],
            ["97.0%", "0.0%", "0.0%", "61.2", "1.2M", "2 min 20 s"],
            ["97.0%", "15.0%", "2.0%", "61.2", "1.2M", "2 min 30 s"],
        ]
    )


def test_the_table_of_families(page: Page) -> None:
    assert page.tables[1] == snapshot(
        [
            ["Family", "n", "Chance", "base", "sft", "grpo", "srpo"],
            ["pairs", "400", "18.0%", "44.0 → 41.0", "46.0 → 56.0", "61.0 → 61.0", "58.0 → 71.0"],
        ]
    )


def test_transitions_have_their_shares_and_counts(page: Page) -> None:
    cells = [[cell.split() for row in table[1:] for cell in row[1:]] for table in page.tables[2:]]
    assert [{mark: (share, count) for mark, share, *_, count in matrix} for matrix in cells] == snapshot(
        [
            {"✓✓": ("39.0%", "156"), "✓✗": ("5.0%", "20"), "✗✓": ("2.0%", "8"), "✗✗": ("54.0%", "216")},
            {"✓✓": ("40.0%", "160"), "✓✗": ("6.0%", "24"), "✗✓": ("16.0%", "64"), "✗✗": ("38.0%", "152")},
            {"✓✓": ("61.0%", "244"), "✓✗": ("0.0%", "0"), "✗✓": ("0.0%", "0"), "✗✗": ("39.0%", "156")},
            {"✓✓": ("56.0%", "224"), "✓✗": ("2.0%", "8"), "✗✓": ("15.0%", "60"), "✗✗": ("27.0%", "108")},
        ]
    )
    captions = [line for line in page.lines if line.endswith(" responses")]
    assert [numbers(caption) for caption in captions] == [["−3.0", "400"], ["+10.0", "400"], ["400"], ["+13.0", "400"]]


def test_curves_begin_and_end_with_their_means(page: Page) -> None:
    assert "srpo training 0.1 → 0.2" in page.lines[page.lines.index("rl/effect/mean") :][:3]
    assert "srpo training 0.01 → −0.01" in page.lines[page.lines.index("rl/loss") :][:2]


def test_the_run_can_be_made_again(page: Page) -> None:
    again = page.lines[page.lines.index("srpo demo --seed 0") :]
    assert {"Seed 0", "Hardware 2 CPU cores", "Versions srpo 0.1.0, torch 2.13.0"} <= set(again)
    runs = [line for line in again if "demo/" in line]
    assert [(line.split(" demo/")[0], numbers(line)) for line in runs] == [
        ("reflect", ["1,200", "0"]),
        ("grpo", ["400", "40"]),
        ("srpo training", ["160", "3"]),
    ]
