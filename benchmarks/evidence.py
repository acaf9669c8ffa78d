"""What SRPO does in the drawn world, over seeds, beside baselines on equal tokens: `make evidence`.

    python -m benchmarks.evidence --out runs/evidence --seeds 0 1 2

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmarks.evidence_table import summary_of, write_results
from srpo.config.load import to_yaml
from srpo.core.records import Problem, Response, Style
from srpo.data.config import Split
from srpo.data.drawn import FAMILIES, drawn_problems
from srpo.eval.config import EvalConfig
from srpo.policy.load import TINY_BASE, shipped_base
from srpo.runs.directory import RunDir
from srpo.tiny import settings
from srpo.tiny.curriculum import PROMPT

SIZES = settings.Sizes(num_problems=3000, family_traces=600, rl_problems=6000, rl_tokens=600_000, eval_problems=1000)
TEACHERS = {"careless": settings.CARELESS, "careful": 0.0}
"""Share of lessons without a look."""
REFLECTIVE_ARMS = ("srpo", "srpo-segment", "final")
VOTES_WORK = 3
"""Equal tokens would pay for one attempt that is worked out; a vote needs three."""


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


class Plan:
    """Everything that the tables need, as jobs in an order in which they can run."""

    def __init__(self, out: Path, split: Split, families: Sequence[str]) -> None:
        self.jobs: list[Job] = []
        self._out = out
        self._split = split
        self._families = families

    def baselines(self) -> None:
        """The untrained base, asked in both ways."""
        self._evals("base", TINY_BASE, "single", 0)
        self._evals("base-work", TINY_BASE, "single", 0, prompt="work")
        votes: dict[str, Any] = {"num_samples": VOTES_WORK, "majority": True}
        self._eval("majority-work", "t1", TINY_BASE, "single", 0, prompt="work", **votes)

    def cold_start(self, teacher: str, seed: int) -> None:
        """Reflection data and SFT from one kind of teacher, and each way of RL from there."""
        name, reflect = f"sft-{teacher}-s{seed}", f"reflect-{teacher}-s{seed}"
        self._reflect(reflect, seed, careless=TEACHERS[teacher])
        self._sft(name, [reflect], seed)
        for arm in REFLECTIVE_ARMS:
            self._rl(f"{arm}-{teacher}-s{seed}", arm, name, seed)

    def long(self, seed: int) -> None:
        """Single attempts with the full working at the cold start's tokens, and GRPO from there."""
        self._traces("long", seed, f"reflect-careless-s{seed}", guesses=False)
        self._sft(f"sft-long-s{seed}", [f"long-s{seed}"], seed, style="single")
        self._rl(f"grpo-long-s{seed}", "grpo-long", f"sft-long-s{seed}", seed)

    def from_base(self, seed: int) -> None:
        """GRPO from the untrained base, asked in both ways, and the majority vote at SRPO's tokens."""
        for arm in ("grpo", "grpo-work"):
            self._rl(f"{arm}-s{seed}", arm, None, seed)
        self.jobs.append(
            Job(
                name=f"eval-majority-s{seed}-t1",
                stage="eval",
                config=lambda: self._majority(seed),
                after=(f"eval-srpo-careless-s{seed}-t1", "eval-base-t1"),
            )
        )

    def two_habits(self, seed: int) -> None:
        """First attempts of which half are worked out, under a careless teacher; its twin has single attempts alone."""
        half = replace(SIZES, num_problems=SIZES.num_problems // 2, family_traces=SIZES.family_traces // 2)
        reflects = [f"reflect-habits-{prompt}-s{seed}" for prompt in ("bare", "work")]
        for name, prompt in zip(reflects, ("bare", "work"), strict=True):
            self._reflect(name, seed + (50 if prompt == "work" else 0), sizes=half, prompt=prompt)
        self._sft(f"sft-habits-s{seed}", reflects, seed)
        self._rl(f"srpo-habits-s{seed}", "srpo", f"sft-habits-s{seed}", seed)
        self._traces("twin", seed, f"reflect-habits-bare-s{seed}", guesses=True)
        self._sft(f"sft-twin-s{seed}", [f"twin-s{seed}"], seed, style="single")
        self._rl(f"grpo-twin-s{seed}", "grpo", f"sft-twin-s{seed}", seed)

    def _reflect(self, name: str, seed: int, *, sizes: settings.Sizes = SIZES, **changes: Any) -> None:
        config = settings.reflect_config(sizes, TINY_BASE, seed, families=self._families, **changes)
        self.jobs.append(Job(name=name, stage="reflect", config=config))

    def _traces(self, name: str, seed: int, like: str, *, guesses: bool) -> None:
        """Single attempts that cost the SFT as many tokens as the traces of `like` do."""
        target = f"{name}-s{seed}"
        make = (
            sys.executable,
            "-m",
            "benchmarks.evidence",
            "--make-single",
            str(self._out / target),
            str(self._out / like),
            str(seed),
        )
        more = (*self._families, *(("guesses",) if guesses else ()))
        self.jobs.append(Job(name=target, stage="", config=None, after=(like,), command=(*make, *more)))

    def _sft(self, name: str, traces: Sequence[str], seed: int, *, style: Style = "reflective") -> None:
        config = settings.sft_config(TINY_BASE, [self._out / one for one in traces], seed, style=style)
        self.jobs.append(Job(name=name, stage="sft", config=config, after=tuple(traces)))
        self._evals(name, self._out / name / "model", style, seed, after=name)

    def _rl(self, name: str, arm: str, start: str | None, seed: int) -> None:
        model = TINY_BASE if start is None else self._out / start / "model"
        config = settings.rl_config(SIZES, settings.ARMS[arm], model, seed, families=self._families)
        self.jobs.append(Job(name=name, stage="rl", config=config, after=() if start is None else (start,)))
        chosen = settings.ARMS[arm]
        self._evals(name, self._out / name / "model", chosen.style, seed, prompt=chosen.prompt, after=name)

    def _evals(self, name: str, model: Path | str, style: Style, seed: int, **changes: Any) -> None:
        """Temperature 1 and greedy."""
        for label in ("t1", "greedy"):
            self._eval(name, label, model, style, seed, **changes)

    def _eval(
        self, name: str, label: str, model: Path | str, style: Style, seed: int, after: str = "", **changes: Any
    ) -> None:
        config = self._eval_config(name, model, style, seed, temperature=1.0 if label == "t1" else 0.0, **changes)
        self.jobs.append(Job(name=f"eval-{name}-{label}", stage="eval", config=config, after=(after,) if after else ()))

    def _eval_config(self, name: str, model: Path | str, style: Style, seed: int, **changes: Any) -> EvalConfig:
        return settings.eval_config(
            name,
            model,
            style,
            split=self._split,
            count=SIZES.eval_problems,
            seed=seed,
            families=self._families,
            **changes,
        )

    def _majority(self, seed: int) -> EvalConfig:
        """The base model's vote with as many tokens per problem as SRPO's response has."""
        ours = self._mean_tokens(f"eval-srpo-careless-s{seed}-t1")
        votes = max(2, round(ours / self._mean_tokens("eval-base-t1")))
        return self._eval_config(
            "majority", TINY_BASE, "single", seed, temperature=1.0, num_samples=votes, majority=True
        )

    def _mean_tokens(self, name: str) -> float:
        return float(summary_of(self._out / name)["stages"][0]["mean_tokens"])


def plan_of(out: Path, seeds: Iterable[int], split: Split, world: str) -> Plan:
    """All jobs of one world: `five` families with every arm, or `ten` with those that say whether it carries over."""
    plan = Plan(out, split, settings.DEMO_FAMILIES if world == "five" else FAMILIES)
    plan.baselines()
    for seed in seeds:
        for teacher in TEACHERS if world == "five" else ("careless",):
            plan.cold_start(teacher, seed)
        plan.from_base(seed)
        plan.long(seed)
        if world == "five":
            plan.two_habits(seed)
    return plan


def make_single_traces(out: Path, like: Path, seed: int, families: Sequence[str], *, guesses: bool) -> None:
    """Write single attempts with full working (every other one a guess, if `guesses`), at the tokens of `like`.

    Prompt and target tokens both count, because both are computed.
    """
    from srpo.core.prompts import user_text
    from srpo.core.records import GradedText, Origin, Trace
    from srpo.core.response import render, render_attempt
    from srpo.grading import grade
    from srpo.models.scripted import first_attempt, long_attempt
    from srpo.policy.processor import load_processor

    tokenizer = load_processor(shipped_base()).tokenizer

    def cost(problem: Problem, text: str) -> int:
        return len(tokenizer(user_text(problem, PROMPT) + text)["input_ids"]) + 9 + 10

    traces = RunDir.read(like).traces()
    budget = sum(cost(one.problem, render(one.parsed)) for one in traces if isinstance(one.parsed, Response))
    lines: list[str] = []
    problems = drawn_problems("train", families=families, count=9000, seed=5000 + seed)
    for number, problem in enumerate(itertools.cycle(problems)):
        guess = guesses and number // len(families) % 2
        attempt = first_attempt(problem, problem.answer) if guess else long_attempt(problem)
        text = render_attempt(attempt)
        budget -= cost(problem, text)
        if budget < 0:
            break
        right = grade(problem, attempt.answer)
        assert right.is_correct, (problem.id, attempt.answer, right)
        origin = Origin(stage="reflect", model="scripted", teacher="scripted/v2", prompt="bare/v1")
        graded = GradedText(attempt, right, right)
        trace = Trace.of(graded, origin=origin, problem=problem, text=text, style="single")
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
    parser.add_argument("--world", choices=["five", "ten"], default="five", help="families of problems")
    parser.add_argument("--results", type=Path, help="default: benchmarks/results/evidence.json (or evidence_ten.json)")
    parser.add_argument("--make-single", nargs="+", metavar="ARG", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make_single:
        target, like, seed, *families = arguments.make_single
        names = [name for name in families if name != "guesses"]
        make_single_traces(Path(target), Path(like), int(seed), names, guesses="guesses" in families)
        return
    name = "evidence.json" if arguments.world == "five" else "evidence_ten.json"
    results = arguments.results or Path("benchmarks/results") / name
    plan = plan_of(arguments.out, arguments.seeds, arguments.split, arguments.world)
    run_all(plan.jobs, arguments.out, arguments.workers)
    write_results(arguments.out, arguments.seeds, results, arguments.split, SIZES)


if __name__ == "__main__":
    main()
