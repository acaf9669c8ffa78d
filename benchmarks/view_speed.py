"""Speed and memory of `srpo view` over many traces.

    .venv/bin/python benchmarks/view_speed.py [--num 100000] [--out benchmarks/results/view_speed.json]

Made traces with responses of 1.5 kB in three runs: one of training, with rewards and groups of eight, and two
evaluations of the same problems. A process of its own reads them (imports included: the cold start), then answers each
page five times; the slowest answer counts. Seconds are CPU seconds of the process, because wall time says what else
the machine is doing, and stands beside them. Memory is the peak of the resident set, mapped texts included. Exit code 1
if the start takes 10 s, a page 200 ms, or the memory 500 MiB.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from srpo.core.records import (
    Attempt,
    Grade,
    Origin,
    Problem,
    Record,
    Response,
    Reward,
    Stage,
    Term,
    TokenCounts,
    Trace,
)
from srpo.core.response import render
from srpo.runs.directory import RunDir

START_S, PAGE_S, MEMORY_MIB = 10.0, 0.2, 500.0
REPEATS = 5
GROUP = 8
WORDS = tuple(
    "the bar is at line so we take from left and right sum angle equals degree therefore two three circle".split()  # noqa: SIM905
)
PAGES = {
    "all": "",
    "last page": "page=100000",
    "outcome": "outcome=w2r&outcome=r2w",
    "family and steps": "family=family+3&step_from=100&step_to=900",
    "reward term, sorted": "term=effect&term_from=0.4&sort=reward&desc=1",
    "changed its answer": "changed=1",
    "copied its reflection": "copied=1",
    "flipped between runs": "a=eval-a&b=eval-b&flip=up",
    "text, in few": "q=needle+77+",
    "text, in all": "q=THEREFORE",
}


class Nothing(Record):
    """Runs need a configuration."""

    group_size: int = GROUP
    credit: str = "total"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder), arguments.num)
        size = sum(file.stat().st_size for file in Path(folder).rglob("traces.jsonl"))
        done = subprocess.run(
            [sys.executable, __file__, "--child", folder], stdout=subprocess.PIPE, text=True, check=True
        )
    found = {"python": sys.version.split()[0], "file_mib": round(size / 2**20, 1), **json.loads(done.stdout)}
    text = json.dumps(found, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    pages = found["pages"].values()
    good = found["start_cpu_s"] < START_S and found["peak_mib"] < MEMORY_MIB
    return 0 if good and all(page["cpu_s"] < PAGE_S for page in pages) else 1


def child(folder: Path) -> dict[str, Any]:
    """Read the runs and answer the pages."""
    from srpo.report.open import labelled_runs
    from srpo.view.index import Index
    from srpo.view.site import Site

    started_s = time.perf_counter()
    index = Index(labelled_runs([folder / name for name in ("rl", "eval-a", "eval-b")]))
    index.read_all()
    found: dict[str, Any] = {
        "traces": len(index.columns),
        "start_cpu_s": round(time.process_time(), 2),
        "start_wall_s": round(time.perf_counter() - started_s, 2),
    }
    site = Site(index)
    site.answer("/", "")  # templates are compiled once
    found["pages"] = {name: slowest(site, query) for name, query in PAGES.items()}
    return found | {"peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}


def slowest(site: Any, query: str) -> dict[str, Any]:
    cpu_s, wall_s = 0.0, 0.0
    for turn in range(REPEATS):
        # Another word each time: results of a search are remembered.
        words = query.replace("needle+77+", f"needle+7{turn}+").replace("THEREFORE", f"THEREFORE{'+the'[: turn + 1]}")
        cpu, wall = time.process_time(), time.perf_counter()
        reply = site.answer("/", words)
        cpu_s, wall_s = max(cpu_s, time.process_time() - cpu), max(wall_s, time.perf_counter() - wall)
        assert reply.status == 200, reply.body
    num = int(reply.body.split(b'role="status"><b>')[1].split(b"</b>")[0].replace(b",", b""))
    return {"found": num, "cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)}


def make_runs(folder: Path, num: int) -> None:
    """Half of the traces in training, a quarter in each evaluation."""
    shares: dict[str, tuple[Stage, int]] = {
        "rl": ("rl", num - 2 * (num // 4)),
        "eval-a": ("eval", num // 4),
        "eval-b": ("eval", num // 4),
    }
    for name, (stage, count) in shares.items():
        draw = random.Random(name)
        with RunDir.open(folder / name, Nothing(), stage) as run:
            for start in range(0, count, 1000):
                run.append_traces([trace(draw, stage, at) for at in range(start, min(count, start + 1000))])
            run.finish({})


def trace(draw: random.Random, stage: Stage, at: int) -> Trace:
    first, final = draw.random() < 0.5, draw.random() < 0.6
    think = " ".join(draw.choices(WORDS, k=110)) + f" needle {at % 1000} therefore"
    second = " ".join(draw.choices(WORDS, k=90))
    reflection = think if draw.random() < 0.1 else " ".join(draw.choices(WORDS, k=60))
    one, two = ("7" if right else str(draw.randrange(8, 30)) for right in (first, final))
    response = Response(
        first=Attempt(think=think, answer=one), reflection=reflection, second=Attempt(think=second, answer=two)
    )
    number = at // GROUP if stage == "rl" else at
    effect = {(True, True): 0.25, (False, True): 0.5, (True, False): -0.25, (False, False): 0.0}[first, final]
    terms = (
        Term(name="format", score=1, weight=0.5),
        Term(name="accuracy", score=first, weight=0.5),
        Term(name="effect", score=effect, weight=1),
    )
    return Trace(
        origin=Origin(stage=stage, model="made", step=at // 64 if stage == "rl" else None),
        problem=Problem(
            id=f"problem-{number}",
            question=f"What is the angle between line {number} and the bar? " + " ".join(draw.choices(WORDS, k=20)),
            answer="7",
            source=f"made.jsonl:{number + 1}",
            family=f"family {number % 20}",
        ),
        sample=at % GROUP if stage == "rl" else 0,
        text=render(response),
        parsed=response,
        first_grade=Grade(verdict="correct" if first else "incorrect", extracted=one, reason="number"),
        final_grade=Grade(verdict="correct" if final else "incorrect", extracted=two, reason="number"),
        reward=Reward(terms=terms) if stage == "rl" else None,
        advantage=draw.gauss(0, 1) if stage == "rl" else None,
        tokens=TokenCounts(prompt=300, total=420, first=170),
    )


if __name__ == "__main__":
    sys.exit(main())
