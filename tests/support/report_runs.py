"""A made-up demo directory: four stages, traces of every outcome, sixty steps of metrics. No model has run for it."""

import json
import math
import random
from pathlib import Path

from PIL import Image

from srpo.core.records import (
    Attempt,
    FormatError,
    Grade,
    Origin,
    Problem,
    Record,
    Response,
    Reward,
    Sampling,
    Stage,
    Style,
    Term,
    TokenCounts,
    Trace,
)
from srpo.core.summary import StageSummary, results_of, summarise
from srpo.runs.directory import RunDir

FAMILIES = ("pairs", "clock", "bars", "weights")
HOSTILE = """</script><script>alert("x")</script><img src=x onerror='alert(1)'> "quoted" & {{ 7 * 7 }} [bold]b[/bold]"""


class FakeConfig(Record):
    seed: int = 0


def grade(right: bool, answer: str, gold: str) -> Grade:
    return Grade(
        verdict="correct" if right else "incorrect",
        extracted=answer,
        reason="number: equal" if right else f"number: {answer} is not {gold}",
    )


def reward(first: bool, final: bool, broken: bool) -> Reward:
    effect = {(True, True): 0.25, (False, True): 0.5, (True, False): -0.25, (False, False): 0.0}[first, final]
    return Reward(
        terms=(
            Term(name="format", score=float(not broken), weight=0.5),
            Term(name="accuracy", score=float(first), weight=0.5),
            Term(name="effect", score=effect, weight=1),
            Term(name="reflection", score=0.25, weight=1),
            Term(name="length", score=0.83, weight=0.1),
        )
    )


def trace(
    index: int,
    first: bool,
    final: bool,
    *,
    style: Style = "reflective",
    stage: Stage = "eval",
    step: int | None = None,
    broken: bool = False,
    question: str | None = None,
    image: str | None = None,
) -> Trace:
    family = FAMILIES[index % len(FAMILIES)]
    gold = str(10 + index % 7)
    one, two = (gold if right else str(3 + index % 5) for right in (first, final))
    problem = Problem(
        id=f"{family}-{index}",
        question=question or f"Which two bars add up to {gold}? Name the taller one first.",
        answer=gold,
        images=(image or f"{family}.png",),
        choices=("red and blue", "green and blue", "red and grey") if family == "pairs" else (),
        family=family,
        level=index % 3 + 1,
        chance=0.1 + 0.05 * (index % 4),
    )
    attempt = Attempt(think=f"red=5\nblue={index % 9}\n5+{index % 9}={two}", answer=two)
    reflection = (
        "I added the red and the blue bar and they fit."
        if first
        else f"I took the blue bar for {index % 9 + 1}, but its top is at the line of {index % 9}. Read it again."
    )
    response = Response(first=Attempt(think="red=5\nblue=4\n5+4=9", answer=one), reflection=reflection, second=attempt)
    text = f"<think>{attempt.think}</think><answer>{one}</answer><reflection>{reflection}"
    parsed: Response | Attempt | FormatError = attempt if style == "single" else response
    if broken:
        parsed = FormatError(where=len(text), what="<reflection> is never closed")
    return Trace(
        origin=Origin(stage=stage, model="tiny", step=step, sampling=Sampling(temperature=1.0)),
        problem=problem,
        style=style,
        text=text,
        parsed=parsed,
        first_grade=grade(final if style == "single" else first, one, gold),
        final_grade=grade(final, two, gold),
        reward=reward(first, final, broken) if stage == "rl" else None,
        advantage=round(math.sin(index), 2) if stage == "rl" else None,
        tokens=TokenCounts(prompt=40, total=40 + index % 30, first=20),
    )


def traces(
    num: int,
    first_share: float,
    repaired: float,
    spoiled: float,
    seed: int,
    *,
    style: Style = "reflective",
    stage: Stage = "eval",
    step: int | None = None,
) -> list[Trace]:
    draw = random.Random(seed)
    made = []
    for index in range(num):
        first = draw.random() < first_share
        final = draw.random() >= spoiled if first else draw.random() < repaired
        made.append(trace(index, first, final, style=style, stage=stage, step=step, broken=draw.random() < 0.04))
    return made


def with_pictures(made: list[Trace], folder: Path) -> list[Trace]:
    """The traces, each with a picture of 84x84 that is drawn into `folder`."""
    folder.mkdir(exist_ok=True)
    for index, family in enumerate(FAMILIES):
        picture = Image.new("RGB", (84, 84), "white")
        for bar in range(4):
            height = 12 + 11 * ((bar * 3 + index) % 6)
            picture.paste(("#d33", "#36c", "#2a5", "#999")[bar], (6 + 20 * bar, 84 - height, 20 + 20 * bar, 84))
        picture.save(folder / f"{family}.png")
    paths = {family: str(folder / f"{family}.png") for family in FAMILIES}
    return [
        one.model_copy(update={"problem": one.problem.model_copy(update={"images": (paths[one.problem.family],)})})
        for one in made
    ]


def write_run(
    path: Path, stage: Stage, made: list[Trace], steps: int = 0, summary: dict[str, object] | None = None
) -> None:
    draw = random.Random(len(made))
    with RunDir.open(path, FakeConfig(), stage) as run:
        run.append_traces(made)
        for step in range(1, steps + 1):
            rise = 1 - math.exp(-step / 20)
            names = {
                "rl/first_accuracy": 0.44 + 0.2 * rise,
                "rl/final_accuracy": 0.55 + 0.2 * rise,
                "rl/format_rate": 0.95 + 0.04 * rise,
                "rl/outcome/r2r": 0.42 + 0.19 * rise,
                "rl/outcome/w2r": 0.14,
                "rl/outcome/r2w": 0.04 - 0.03 * rise,
                "rl/outcome/w2w": 0.4 - 0.2 * rise,
                "rl/reward/mean": 0.9 + 0.4 * rise,
                "rl/format/mean": 0.95 + 0.04 * rise,
                "rl/accuracy/mean": 0.44 + 0.2 * rise,
                "rl/effect/mean": 0.16 + 0.05 * rise,
                "rl/reflection/mean": 0.25,
                "rl/length/mean": 0.7 + 0.2 * rise,
                "rl/loss": -0.01,
                "rl/lr": 1e-4,
                "rl/grad_norm": 0.8,
                "rl/entropy/mean": 0.7 - 0.3 * rise,
            }
            run.log(step, {name: value + draw.gauss(0, 0.02 + 0.02 * abs(value)) for name, value in names.items()})
        run.finish(summary or {})


def write_demo(path: Path, *, num: int = 60) -> Path:
    """Write the demo directory and return it."""
    path.mkdir(parents=True, exist_ok=True)
    pictures = path / "pictures"
    evals = {
        "base": traces(num, 0.42, 0.05, 0.08, 1),
        "sft": traces(num, 0.45, 0.24, 0.1, 2),
        "grpo": traces(num, 0.62, 0, 0, 3, style="single"),
        "srpo": traces(num, 0.6, 0.42, 0.03, 4),
    }
    stages: list[StageSummary] = []
    runs = {}
    for name, made in evals.items():
        write_run(path / f"eval-{name}", "eval", with_pictures(made, pictures))
        tokens = {"sft": 412_000, "grpo": 1_310_000, "srpo": 1_290_000}.get(name)
        stages.append(summarise(results_of(made), name, tokens=tokens, seconds=37.5 * (1 + len(stages))))
        runs[f"eval {name}"] = f"eval-{name}"
    reflections = traces(num, 0.3, 1, 0, 5, stage="reflect")
    grpo = traces(12, 0.5, 0, 0, 6, stage="rl", style="single", step=30)
    srpo = traces(24, 0.5, 0.3, 0.1, 7, stage="rl", step=40)
    write_run(path / "reflect", "reflect", with_pictures(reflections, pictures))
    write_run(path / "grpo", "rl", with_pictures(grpo, pictures), steps=60)
    write_run(path / "srpo", "rl", with_pictures(srpo, pictures), steps=60)
    summary = {
        "title": "SRPO on a laptop",
        "created": "2026-11-22",
        "command": "srpo demo --out demo --seed 0",
        "seed": 0,
        "hardware": "2 CPU cores, no GPU",
        "versions": {"srpo": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "stages": {one.name: one.model_dump(mode="json") | {"interval": one.final_interval} for one in stages},
        "runs": runs | {"reflect": "reflect", "grpo": "grpo", "srpo": "srpo"},
    }
    (path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return path
