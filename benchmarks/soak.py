"""Does anything grow? Many gradings, evaluations and RL steps in one process each, and hundreds of workers that hang.

    .venv/bin/python -m benchmarks.soak [--share 1.0] [--only gradings,hangs] [--results benchmarks/results/soak.json]

At share 1: 200,000 gradings of texts that are all different, 2,000 evaluations (whole runs of `eval.run`, each with a
run directory of its own), 300 RL steps of the tiny model, 1,000 questions on which the symbolic worker hangs until its
CPU time is spent. Resident memory is read all along and averaged by tenths of the work: from the eighth to the last
tenth it may grow by less than 2%. Hangs may leave no process and no file descriptor. Exit code 1 if something grows.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.kept import keep
from srpo.core.records import Problem

GRADINGS, EVALUATIONS, RL_STEPS, HANGS = 200_000, 2_000, 300, 1_000
_MOST_GROWTH = 0.02
_TENTHS = 10
_POLL_S = 0.2


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Memory:
    """Readings of resident memory, each with how far the work was."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._readings: list[tuple[float, float]] = []

    def read(self, done: float) -> None:
        """After `done` of the work."""
        self._readings.append((done / self._total, rss_mib()))

    @contextmanager
    def watching(self, done: Callable[[], float]) -> Iterator[None]:
        """Read all along, in a thread."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_POLL_S):
                self.read(done())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def found(self) -> dict[str, Any]:
        """Means by tenths, and how much the last three grow."""
        tenths: list[list[float]] = [[] for _ in range(_TENTHS)]
        for share, mib in self._readings:
            tenths[min(_TENTHS - 1, int(share * _TENTHS))].append(mib)
        means = [round(fmean(tenth), 1) if tenth else None for tenth in tenths]
        before, last = means[-3], means[-1]
        assert before is not None, "too little work to tell"
        assert last is not None, "too little work to tell"
        return {"mib_by_tenths": means, "growth_of_the_last_tenths": round(last / before - 1, 4)}


def gradings(count: int) -> dict[str, Any]:
    """Answers of all shapes; one in a hundred may go to the symbolic worker."""
    from srpo.grading import RULES_ONLY, Grader

    memory = Memory(count)
    verdicts: dict[str, int] = {}
    with Grader() as grader:
        for number in range(count):
            verdict = _grade(RULES_ONLY if number % 100 else grader, number)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            if number % max(1, count // 500) == 0:
                memory.read(number)
    return {"gradings": count, "verdicts": verdicts, **memory.found()}


def _grade(grader: Any, number: int) -> str:
    shapes = (
        (f"{number}", f"<think>{number}</think><answer>{number} cm</answer>"),
        (f"\\frac{{{number}}}{{7}}", f"So it is $\\frac{{{2 * number}}}{{14}}$."),
        (f"{number}.5", f"First I got {number}, the right value is {number + 1}. Answer: {number}.50"),
        (f"({number}, {number + 1})", f"\\boxed{{({number},{number + 1})}}"),
        (f"option text {number}", f"**Final answer:** option text {number + number % 2}"),
        (f"{number}%", f"about {number} percent, I think; not {number + 1}"),
        (f"x = {number}", f"x={number}\n\n因此答案是 {number}"),
    )
    if number % 1000 == 0:
        gold, text = rf"\sum_{{k=1}}^{{{2 + number % 97}}} k", rf"\boxed{{\sum_{{j=1}}^{{{2 + number % 97}}} j}}"
    else:
        gold, text = shapes[number % len(shapes)]
    return str(grader.grade(Problem(id=f"p{number}", question=f"What is it in {number}?", answer=gold), text).verdict)


def evaluations(count: int) -> dict[str, Any]:
    """Whole evaluations of a few problems each."""
    from srpo.eval.config import EvalConfig
    from srpo.eval.run import run
    from srpo.models.fake import FakeGenerator
    from srpo.runs.directory import RunDir

    memory = Memory(count)
    with tempfile.TemporaryDirectory(prefix="srpo-soak-") as name:
        folder = Path(name)
        for number in range(count):
            rows = [{"id": f"p{number}-{i}", "question": f"{number}+{i}?", "answer": str(number + i)} for i in range(6)]
            data = folder / "data.jsonl"
            data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            settings = {"model": "dir/fake", "data": str(data), "prompt": "bare", "style": "single", "batch_size": 3}
            config = EvalConfig.model_validate({**settings, "symbolic": False})
            generator = FakeGenerator(lambda request, _: f"<think>é</think><answer>{request.problem.answer}</answer>")
            out = folder / "run"
            with RunDir.open(out, config, "eval") as run_dir:
                result = run(config, run_dir, generator=generator)
            assert result.answered == len(rows)
            shutil.rmtree(out)
            memory.read(number)
    return {"evaluations": count, **memory.found()}


def rl_steps(count: int) -> dict[str, Any]:
    """Plain GRPO of the tiny model."""
    from srpo.data.config import SourceConfig
    from srpo.policy.load import TINY_BASE
    from srpo.policy.threads import configure_threads

    configure_threads(1)
    from srpo.rl.config import RlConfig
    from srpo.rl.run import run
    from srpo.runs.directory import RunDir

    drawn = {"split": "train", "count": 400, "seed": 2, "families": ["bars", "count"], "levels": [1]}
    config = RlConfig(
        model=TINY_BASE,
        data=SourceConfig.model_validate({"drawn": drawn}),
        style="single",
        prompt="bare",
        preset="answer",
        num_prompts=2,
        group_size=4,
        steps=count,
        max_tokens=32,
        max_refills=0,
        checkpoint_every=20,
    )
    memory = Memory(count)
    with tempfile.TemporaryDirectory(prefix="srpo-soak-") as name:
        metrics = Path(name, "run", "metrics.jsonl")

        def done() -> float:
            return float(metrics.read_bytes().count(b"\n")) if metrics.exists() else 0.0

        with RunDir.open(Path(name, "run"), config, "rl") as run_dir, memory.watching(done):
            run(config, run_dir)
    return {"rl_steps": count, **memory.found()}


def hangs(count: int) -> dict[str, Any]:
    """Questions that take longer than the worker has."""
    from srpo.grading.rules.route import OutOfTime
    from srpo.grading.symbolic import SymbolicPool

    memory = Memory(count)
    before = _open_files(), threading.active_count()
    num_out = 0
    with SymbolicPool(num_workers=2, cpu_s=0.05) as pool:
        for number in range(count):
            try:
                pool.verify(f"(x+y+z)^{{{300 + number % 100}}}", "(x+y+z)^{299}")
            except OutOfTime:
                num_out += 1
            memory.read(number)
    left = {
        "processes": _children(),
        "descriptors": _open_files() - before[0],
        "threads": threading.active_count() - before[1],
    }
    return {"hangs": count, "out_of_time": num_out, "left": left, **memory.found()}


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> int:
    deadline_s = time.monotonic() + 5
    while (number := len(_child_pids())) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return number


def _child_pids() -> list[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return list(itertools.chain.from_iterable(task.read_text(encoding="ascii").split() for task in tasks))


PARTS: Mapping[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "gradings": (gradings, GRADINGS),
    "evaluations": (evaluations, EVALUATIONS),
    "rl": (rl_steps, RL_STEPS),
    "hangs": (hangs, HANGS),
}


def complaints_of(result: Mapping[str, Any]) -> list[str]:
    """What grew, or was left."""
    found = []
    if result["growth_of_the_last_tenths"] >= _MOST_GROWTH:
        found.append(f"memory grows by {result['growth_of_the_last_tenths']:.1%} in the last tenths")
    found += [f"{number} {what} are left" for what, number in result.get("left", {}).items() if number]
    if "hangs" in result and result["out_of_time"] != result["hangs"]:
        found.append(f"{result['hangs'] - result['out_of_time']} questions did not hang")
    return found


def main() -> int:
    """Run each part in a process of its own; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--only", default="", help="names of parts, joined by commas")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        work, count = PARTS[arguments.part]
        print(json.dumps(work(max(_TENTHS, round(count * arguments.share)))))
        return 0
    failed = False
    for part in filter(None, arguments.only.split(",")) if arguments.only else PARTS:
        command = [sys.executable, "-m", "benchmarks.soak", "--part", part, "--share", str(arguments.share)]
        started_s = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(done.stdout.splitlines()[-1])
        result |= {"seconds": round(time.monotonic() - started_s, 1), "complaints": complaints_of(result)}
        failed |= bool(result["complaints"])
        print(json.dumps({part: result}, ensure_ascii=False), flush=True)
        keep(arguments.results, part, result)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
