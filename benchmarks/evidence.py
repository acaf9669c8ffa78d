"""What SRPO does in the drawn world, over seeds, beside baselines on equal tokens: `make evidence`.

    python -m benchmarks.evidence --out runs/evidence --seeds 0 1 2 --results benchmarks/results/evidence.json

Every stage is a `srpo` command in a process of its own on one thread, two at a time; what is finished is not run
again, so an interrupted evidence run goes on where it was. Reflection data, SFT and RL are reseeded; the shipped base
model is shared. The `test` split is looked at here and nowhere else; decisions were made on `--split dev`.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmarks.evidence_table import summary_of, write_results
from srpo.config.load import to_yaml
from srpo.data.drawn import drawn_problems
from srpo.policy.load import TINY_BASE, shipped_base
from srpo.runs.directory import RunDir
from srpo.tiny import settings

SIZES = settings.Sizes(num_problems=9000, num_traces=9000, rl_problems=8000, rl_tokens=1_600_000, eval_problems=1000)
REFLECTIVE_ARMS = ("final", "srpo", "srpo-segment")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One `srpo` command and what it needs to be there."""

    name: str
    stage: str
    config: Any
    """The config, or a function that makes it once the jobs in `after` are finished."""
    after: tuple[str, ...] = ()
    command: tuple[str, ...] = field(default=())
    """Instead of a stage: a command of this script."""


def jobs_of(out: Path, seeds: Iterable[int], split: str, sizes: settings.Sizes) -> list[Job]:
    """Everything that the table needs, in an order in which it can run."""
    base = TINY_BASE
    jobs = [*evals("base", base, "single", split, sizes, 0)]
    for seed in seeds:
        s = f"s{seed}"
        jobs.append(Job(name=f"reflect-{s}", stage="reflect", config=settings.reflect_config(sizes, base, seed)))
        sft = settings.sft_config(base, out / f"reflect-{s}", seed)
        jobs.append(Job(name=f"sft-{s}", stage="sft", config=sft, after=(f"reflect-{s}",)))
        jobs += evals(f"sft-{s}", out / f"sft-{s}" / "model", "reflective", split, sizes, seed)
        for name in REFLECTIVE_ARMS:
            jobs.append(_rl(out, sizes, name, f"sft-{s}", seed))
            jobs += evals(f"{name}-{s}", out / f"{name}-{s}" / "model", "reflective", split, sizes, seed)
        grpo = settings.rl_config(sizes, settings.ARMS["grpo"], base, seed)
        jobs.append(Job(name=f"grpo-{s}", stage="rl", config=grpo))
        jobs += evals(f"grpo-{s}", out / f"grpo-{s}" / "model", "single", split, sizes, seed)
        make = (
            sys.executable,
            "-m",
            "benchmarks.evidence",
            "--make-long",
            str(out / f"long-{s}"),
            str(out / f"reflect-{s}"),
            str(seed),
        )
        jobs.append(Job(name=f"long-{s}", stage="", config=None, after=(f"reflect-{s}",), command=make))
        long = settings.sft_config(base, out / f"long-{s}", seed, style="single")
        jobs.append(Job(name=f"sft-long-{s}", stage="sft", config=long, after=(f"long-{s}",)))
        jobs += evals(f"sft-long-{s}", out / f"sft-long-{s}" / "model", "single", split, sizes, seed)
        jobs.append(_rl(out, sizes, "grpo-long", f"sft-long-{s}", seed))
        jobs += evals(f"grpo-long-{s}", out / f"grpo-long-{s}" / "model", "single", split, sizes, seed)
        jobs.append(
            Job(
                name=f"majority-{s}",
                stage="eval",
                config=lambda s=s, seed=seed: _majority(out, base, s, split, sizes, seed),
                after=(f"eval-srpo-{s}-t1", "eval-base-t1"),
            )
        )
    return jobs


def evals(name: str, model: Path | str, style: Any, split: Any, sizes: settings.Sizes, seed: int) -> list[Job]:
    """Temperature 1 and greedy."""
    after = () if name == "base" else (name,)
    return [
        Job(
            name=f"eval-{name}-{label}",
            stage="eval",
            config=settings.eval_config(
                name, model, style, split=split, count=sizes.eval_problems, temperature=temperature, seed=seed
            ),
            after=after,
        )
        for label, temperature in (("t1", 1.0), ("greedy", 0.0))
    ]


def _rl(out: Path, sizes: settings.Sizes, arm: str, start: str, seed: int) -> Job:
    config = settings.rl_config(sizes, settings.ARMS[arm], out / start / "model", seed)
    return Job(name=f"{arm}-s{seed}", stage="rl", config=config, after=(start,))


def _majority(out: Path, base: str, s: str, split: Any, sizes: settings.Sizes, seed: int) -> Any:
    """The base model's vote with as many tokens per problem as SRPO's response has."""
    ours = summary_of(out / f"eval-srpo-{s}-t1")["stages"][0]["mean_tokens"]
    one = summary_of(out / "eval-base-t1")["stages"][0]["mean_tokens"]
    votes = max(2, round(ours / one))
    return settings.eval_config(
        "majority",
        base,
        "single",
        split=split,
        count=sizes.eval_problems,
        temperature=1.0,
        seed=seed,
        num_samples=votes,
        majority=True,
    )


def make_long_traces(out: Path, reflect: Path, seed: int) -> None:
    """Write single attempts with full working, as many as cost the SFT the tokens of the reflection data (some twice).

    Prompt and target tokens both count, because both are computed.
    """
    from srpo.core.prompts import user_text
    from srpo.core.records import Origin, Problem, Response, Trace
    from srpo.core.response import render, render_attempt
    from srpo.grading import grade
    from srpo.models.scripted import long_attempt
    from srpo.policy.processor import load_processor

    tokenizer = load_processor(shipped_base()).tokenizer

    def cost(problem: Problem, text: str) -> int:
        return len(tokenizer(user_text(problem, settings.PROMPT) + text)["input_ids"]) + 9 + 10

    budget = 0
    for reflected in RunDir.read(reflect).traces():
        assert isinstance(reflected.parsed, Response), "reflection data holds nothing else"
        budget += cost(reflected.problem, render(reflected.parsed))
    lines: list[str] = []
    for problem in itertools.cycle(drawn_problems("train", count=9000, seed=5000 + seed)):
        attempt = long_attempt(problem)
        text = render_attempt(attempt)
        budget -= cost(problem, text)
        if budget < 0:
            break
        right = grade(problem, attempt.answer)
        assert right.is_correct, (problem.id, attempt.answer, right)
        trace = Trace(
            origin=Origin(stage="reflect", model="scripted", teacher="scripted/v1", prompt="bare/v1"),
            problem=problem,
            style="single",
            text=text,
            parsed=attempt,
            first_grade=right,
            final_grade=right,
        )
        lines.append(trace.model_dump_json() + "\n")
    out.mkdir(parents=True, exist_ok=True)
    (out / "traces.jsonl").write_text("".join(lines), encoding="utf-8")
    (out / "summary.json").write_text(f'{{"traces": {len(lines)}}}\n', encoding="utf-8")


def run_all(jobs: list[Job], out: Path, workers: int) -> None:
    """Run the jobs whose results are not there yet; stops at the first failure."""
    (out / "configs").mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if not (out / job.name / "summary.json").exists()]
    done = {job.name for job in jobs} - {job.name for job in waiting}
    running: dict[str, subprocess.Popen[bytes]] = {}
    started = time.monotonic()
    total = len(waiting)
    try:
        while waiting or running:
            for name, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                if process.returncode or not (out / name / "summary.json").exists():
                    raise SystemExit(f"{name} failed (exit code {process.returncode}); see {out / name}.log")
                done.add(name)
                finished = total - len(waiting) - len(running)
                print(f"{time.monotonic() - started:6.0f} s  {finished}/{total}  {name}", flush=True)
            ready = [job for job in waiting if set(job.after) <= done]
            for job in ready[: workers - len(running)]:
                waiting.remove(job)
                running[job.name] = start(job, out)
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()


def start(job: Job, out: Path) -> "subprocess.Popen[bytes]":
    """Start one job on one thread."""
    command = list(job.command)
    if not command:
        config: BaseModel = job.config() if callable(job.config) else job.config
        path = out / "configs" / f"{job.name}.yaml"
        path.write_text(to_yaml(config), encoding="utf-8")
        command = [sys.executable, "-m", "srpo", job.stage, str(path), "--out", str(out / job.name)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with (out / f"{job.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def main() -> None:
    """Run what is missing, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/evidence.json"))
    parser.add_argument("--make-long", nargs=3, metavar=("OUT", "REFLECT", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make_long:
        target, reflect, seed = arguments.make_long
        make_long_traces(Path(target), Path(reflect), int(seed))
        return
    jobs = jobs_of(arguments.out, arguments.seeds, arguments.split, SIZES)
    run_all(jobs, arguments.out, arguments.workers)
    write_results(arguments.out, arguments.seeds, arguments.results, arguments.split, SIZES)


if __name__ == "__main__":
    main()
