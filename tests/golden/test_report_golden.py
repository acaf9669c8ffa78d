"""The words and numbers of a report, read as a reader without pictures reads them."""

import re
from html.parser import HTMLParser
from textwrap import wrap

from inline_snapshot import snapshot

from srpo.core.statistics import FamilySummary, StageSummary
from srpo.report.model import Comparison, Curve, ReportData, RunInfo
from srpo.report.page import render


class Words(HTMLParser):
    """Visible text, one line per block element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self._skipped = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._skipped = tag in ("script", "style", "title")
        blocks = ("p", "h1", "h2", "h3", "h4", "tr", "li", "dt", "pre", "caption")
        self.text += "\n" if tag in blocks else "" if tag == "wbr" else " "

    def handle_endtag(self, tag):
        self._skipped = False

    def handle_data(self, data):
        if not self._skipped:
            self.text += data

    @property
    def lines(self) -> list[str]:
        tidy = (re.sub(r"\s+", " ", line).strip() for line in self.text.split("\n"))
        return [part for line in tidy for part in wrap(line, 100)]


def stage(name: str, first: float, repaired: float, spoiled: float, **fields) -> StageSummary:
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
        **fields,
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
        Comparison(ours="srpo", theirs="sft", mean=0.15, low=0.1, high=0.2, n=400),
        Comparison(ours="srpo", theirs="grpo", mean=0.1, low=-0.01, high=0.21, n=400),
    ),
    curves=(
        Curve(run="srpo training", key="rl/effect/mean", steps=(1, 2, 3), values=(0.1, 0.15, 0.2)),
        Curve(run="srpo training", key="rl/loss", steps=(1, 2, 3), values=(0.01, 0.0, -0.01)),
    ),
    term_names=("effect",),
)


def test_report_reads_like_this() -> None:
    assert Words(render(DATA)).lines == snapshot(
        [
            "srpo report · 2026-11-22",
            "SRPO in ten minutes",
            "Reflection-aware reinforcement learning raised the accuracy of the final answer: 56.0% right after",
            "sft, 71.0% after srpo.",
            "The base model answered 400 held-out problems about pictures and got 44.0% right at the first",
            "attempt (95% interval 40.0% to 48.0%); guessing blindly would get 18.0%. It then tried training",
            "problems, its attempts were graded, and a teacher wrote to each a reflection and a second attempt:",
            "1,200 samples, 70.0% of them from a wrong first attempt. Supervised fine-tuning on such samples",
            "taught it to answer, reflect and answer again (97.0% of its responses keep the format): 46.0% right",
            "at the first attempt, 56.0% after the reflection. Reinforcement learning that pays for good",
            "reflections brought the final answer to 71.0%, +15.0 points against sft (paired 95% interval +10.0",
            "to +20.0); the second attempt repaired 15.0% of all answers and spoiled 2.0%. Beside it, plain GRPO",
            "without reflection reached 61.0% with 1.2M tokens in all against 1.2M: srpo ends 10.0 points above",
            "it (paired 95% interval −1.0 to +21.0, so this run alone does not decide it). All accuracies are on",
            "held-out problems. This is one run with one seed (0).",
            "Stages",
            "Accuracy on held-out problems. first answer final answer, after the reflection blind guess. Whiskers",
            "and brackets are 95% intervals; the bar runs from 0 to 100%.",
            "Stage 0 to 100% First answer Final answer Chance n Format wrong→right right→wrong Tokens All tokens",
            "Time",
            "base temperature 1",
            "44.0% 40.0% – 48.0%",
            "41.0% 37.0% – 45.0%",
            "18.0%",
            "400",
            "97.0%",
            "2.0%",
            "5.0%",
            "61.2",
            "–",
            "–",
            "sft temperature 1",
            "46.0% 42.0% – 50.0%",
            "56.0% 52.0% – 60.0%",
            "18.0%",
            "400",
            "97.0%",
            "16.0%",
            "6.0%",
            "61.2",
            "400k",
            "1 min 35 s",
            "grpo temperature 1",
            "61.0% 57.0% – 65.0%",
            "61.0% 57.0% – 65.0%",
            "18.0%",
            "400",
            "97.0%",
            "0.0%",
            "0.0%",
            "61.2",
            "1.2M",
            "2 min 20 s",
            "srpo temperature 1",
            "58.0% 54.0% – 62.0%",
            "71.0% 67.0% – 75.0%",
            "18.0%",
            "400",
            "97.0%",
            "15.0%",
            "2.0%",
            "61.2",
            "1.2M",
            "2 min 30 s",
            "Accuracy by family of problems",
            "Final answers. base sft grpo srpo blind guess",
            "First → final answers right, in percent",
            "Family n Chance base sft grpo srpo",
            "pairs 400 18.0% 44.0 → 41.0 46.0 → 56.0 61.0 → 61.0 58.0 → 71.0",
            "Curves",
            "Every metric that was logged, over training steps: the faint line is the raw value, the strong one",
            "its centred moving average. Numbers are the means of the first and the last tenth of the steps.",
            "Reinforcement learning: reward terms",
            "rl/effect/mean",
            "what the second attempt made of the first",
            "srpo training 0.1 → 0.2",
            "Reinforcement learning: training internals 1 metric",
            "rl/loss",
            "srpo training 0.01 → −0.01",
            "From first to final answer",
            "What the reflection did to the answers of each stage, as shares of all gradable responses. A repair",
            "is the point of the method, a spoiled answer its price.",
            "base net −3.0 points · 400 responses",
            "then right then wrong",
            "first right",
            "✓✓ 39.0% stayed right 156",
            "✓✗ 5.0% spoiled 20",
            "first wrong",
            "✗✓ 2.0% repaired 8",
            "✗✗ 54.0% stayed wrong 216",
            "sft net +10.0 points · 400 responses",
            "then right then wrong",
            "first right",
            "✓✓ 40.0% stayed right 160",
            "✓✗ 6.0% spoiled 24",
            "first wrong",
            "✗✓ 16.0% repaired 64",
            "✗✗ 38.0% stayed wrong 152",
            "grpo one attempt only · 400 responses",
            "then right then wrong",
            "first right",
            "✓✓ 61.0% stayed right 244",
            "✓✗ 0.0% spoiled 0",
            "first wrong",
            "✗✓ 0.0% repaired 0",
            "✗✗ 39.0% stayed wrong 156",
            "srpo net +13.0 points · 400 responses",
            "then right then wrong",
            "first right",
            "✓✓ 56.0% stayed right 224",
            "✓✗ 2.0% spoiled 8",
            "first wrong",
            "✗✓ 15.0% repaired 60",
            "✗✗ 27.0% stayed wrong 108",
            "Make it again",
            "srpo demo --seed 0",
            "Seed 0",
            "Hardware 2 CPU cores",
            "Versions srpo 0.1.0, torch 2.13.0",
            "reflect demo/reflect 1,200 traces, 0 logged steps",
            "grpo demo/grpo 400 traces, 40 logged steps",
            "srpo training demo/srpo 160 traces, 3 logged steps",
            "This file is complete in itself: it loads nothing from anywhere. Plots by plotly.js (MIT licence).",
        ]
    )
