"""A small run whose traces have every kind of picture that an export meets."""

import json
from pathlib import Path

from PIL import Image

from srpo.core.records import Attempt, Grade, Origin, Problem, Response, Trace
from srpo.core.response import render

RIGHT = Grade(verdict="correct", extracted="7", reason="number: equal")
WRONG = Grade(verdict="incorrect", extracted="5", reason="number: 5 is not 7")


def make_trace(problem: Problem, *, first: Grade = WRONG, final: Grade = RIGHT, sample: int = 0) -> Trace:
    response = Response(
        first=Attempt(think="3+2=5", answer=first.extracted or ""),
        reflection="The second bar is 4 high, not 2, so the sum is larger.",
        second=Attempt(think="3+4=7", answer=final.extracted or ""),
    )
    return Trace(
        origin=Origin(stage="reflect", model="policy-7b", prompt="single/v1", teacher="teacher-72b revise/v1"),
        problem=problem,
        sample=sample,
        text=render(response),
        parsed=response,
        first_grade=first,
        final_grade=final,
        share_right=0.25,
    )


def make_problems(folder: Path) -> list[Problem]:
    """One problem per kind of picture: plain PNG, rotated JPEG, 16-bit grey, two pictures, drawn, none."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, rotated, grey = (folder / name for name in ("plain.png", "rotated.jpg", "grey.png"))
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(plain)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((80, 40)).convert("RGB").save(rotated, exif=exif)
    Image.new("I;16", (40, 40), 30000).save(grey)
    images = {
        "plain": (str(plain),),
        "rotated": (str(rotated),),
        "grey": (str(grey),),
        "two": (str(plain), str(grey)),
        "drawn": ("drawn:pairs/1/7",),
        "text": (),
    }
    return [
        Problem(
            id=name,
            question=f"How many in {name}? <image> <video>",
            answer="7",
            images=refs,
            choices=("7", "8") if name == "two" else (),
            source=f"{folder}/bars.jsonl:{number}",
            family="bars",
        )
        for number, (name, refs) in enumerate(images.items(), start=1)
    ]


def write_traces(path: Path, traces: list[Trace]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(trace.model_dump_json() + "\n" for trace in traces), encoding="utf-8")
    return path


def make_run(folder: Path) -> Path:
    """A run directory with two samples of each problem, and a summary with rejects and money."""
    traces = [make_trace(problem, sample=n) for problem in make_problems(folder / "pictures") for n in (0, 1)]
    write_traces(folder / "run" / "traces.jsonl", traces)
    provenance = {
        "srpo_version": "0.1.0",
        "commit": "abc",
        "command": ["srpo"],
        "python": "3.11",
        "system": "Linux",
        "libraries": {},
    }
    config = {"schema_version": 1, "stage": "reflect", "config": {}, "provenance": provenance}
    (folder / "run" / "config.json").write_text(json.dumps(config))
    summary = {
        "requests": 20,
        "spend": [{"model": "t", "usd": 1.25}],
        "rejected": {"teacher": {"leak": 3, "format | not five blocks": 2}},
    }
    (folder / "run" / "summary.json").write_text(json.dumps(summary))
    return folder / "run"
