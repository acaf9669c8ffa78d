"""The demo: base -> reflection data -> cold start -> RL -> held-out evaluation, beside plain GRPO on the same tokens.

    report = run_demo(Path("demo"), seed=0, minutes=10)

Every stage has a run directory of its own under the demo's, and its config as YAML under `configs/`, so that it can be
looked at, stopped, gone on with, and repeated with `srpo reflect | sft | rl | eval`. Plain GRPO needs nothing of the
other stages and runs in a second process meanwhile.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from srpo.config.load import to_yaml
from srpo.core.summary import StageSummary, results_of, summarise
from srpo.eval.metrics.voting import voted_traces
from srpo.policy.load import TINY_BASE, shipped_base
from srpo.policy.threads import configure_threads
from srpo.rl.config import RlConfig
from srpo.runs import files
from srpo.runs.directory import RunDir
from srpo.runs.progress import note, progress
from srpo.runs.provenance import provenance
from srpo.runs.reader import SUMMARY, RunReader
from srpo.sft.config import SftConfig
from srpo.tiny import settings
from srpo.tiny.curriculum import PROMPT

_T = TypeVar("_T", bound=BaseModel)
REPORT = "report.html"
_ERROR = "srpo: error: "
"""What the last line of a command begins with that ends with an error."""
_TAIL_BYTES = 64 * 1024
"""Of a log, in which that line is looked for."""


class Cost(NamedTuple):
    """What a row of the stage table took, the stages before it included."""

    tokens: int = 0
    """Tokens generated and learned from, over all stages up to this one."""
    seconds: float = 0.0

    def plus(self, tokens: int, seconds: float) -> "Cost":
        """This and one stage more."""
        return Cost(self.tokens + tokens, self.seconds + seconds)


def run_demo(out: Path, *, seed: int, minutes: float, processes: int = 1) -> Path:
    """Run what is not finished yet in `out`, and return the path of the HTML report.

    Raises:
        ValueError: the sizes make no sense, or `out` holds something else.
        Stopped: the user asked to stop; the same call goes on.
    """
    sizes = settings.sizes_for(minutes)
    shipped_base()
    _check_directory(out)
    (out / "configs").mkdir(parents=True, exist_ok=True)
    # One thread each for the two arms that run side by side; and a demo must not depend on the number of cores.
    configure_threads(1)
    note(f"demo in {out}, seed {seed}: about {minutes:g} minutes on two cores")
    demo = Demo(out, sizes, seed, processes)
    with demo.in_background("grpo") as grpo:
        stages = [demo.evaluate("base", TINY_BASE), demo.evaluate("base-work", TINY_BASE), demo.vote("base-majority")]
        cold_start = demo.cold_start()
        stages.append(demo.evaluate("grpo", out / "grpo" / "model", grpo()))
    with demo.in_background("grpo-work") as grpo:
        srpo = demo.reinforce(cold_start)
        stages.append(demo.evaluate("grpo-work", out / "grpo-work" / "model", grpo()))
    stages += [cold_start, srpo]
    files.write_atomic(out / SUMMARY, _summary_text(out, stages, seed, minutes, processes))
    from srpo.report import write_report

    return write_report([out], out / REPORT)


class Demo:
    """One demo directory, and the stages that are carried out in it."""

    def __init__(self, out: Path, sizes: settings.Sizes, seed: int, processes: int = 1) -> None:
        """`processes` train the cold start and what goes on from it; the arms in the background have one each."""
        self._together = {"processes": processes} if processes > 1 else {}
        self._out = out
        self._sizes = sizes
        self._seed = seed

    def cold_start(self) -> StageSummary:
        """Reflection data and SFT."""
        from srpo.reflect.run import run as reflect
        from srpo.sft.run import run as sft

        out = self._out
        self._stage("reflect", settings.reflect_config(self._sizes, TINY_BASE, self._seed), reflect)
        trained = self._stage("sft", self._sft_config(), sft)
        seconds = _seconds(out / "reflect") + trained.seconds
        return self.evaluate("sft", out / "sft" / "model", Cost(trained.tokens, seconds))

    def reinforce(self, start: StageSummary) -> StageSummary:
        """Reflection-aware GRPO from the cold start."""
        from srpo.rl.run import run as rl

        done = self._stage("srpo", self._rl_config("srpo", self._out / "sft" / "model"), rl, kind="rl")
        cost = Cost(start.tokens or 0, start.seconds or 0.0).plus(done.tokens, done.seconds)
        return self.evaluate("srpo", self._out / "srpo" / "model", cost)

    def evaluate(self, name: str, model: Path | str, cost: Cost | None = None) -> StageSummary:
        """One row of the stage table. The demo looks at the `dev` split: `test` is for committed evidence alone."""
        row = self._sample(name, model, num_samples=1)[0]
        return (
            row if cost is None else row.model_copy(update={"tokens": cost.tokens, "seconds": round(cost.seconds, 1)})
        )

    def vote(self, name: str) -> StageSummary:
        """The base's majority vote, at about the tokens of a response in five blocks."""
        row, run = self._sample(name, TINY_BASE, num_samples=settings.VOTES)
        voted = summarise(results_of(voted_traces(run.traces())), name, tokens=row.tokens, seconds=row.seconds)
        return voted.model_copy(update={"num_samples": settings.VOTES})

    @contextmanager
    def in_background(self, name: str) -> Iterator[Callable[[], Cost]]:
        """Run an RL arm from the base in a process of its own; yields a function that waits for it."""
        with _in_background(self._out, name, self._rl_config(name, TINY_BASE)) as wait:
            yield wait

    def _sample(self, name: str, model: Path | str, *, num_samples: int) -> tuple[StageSummary, RunReader]:
        from srpo.eval.run import run as evaluate

        config = settings.eval_config(
            name,
            model,
            "reflective" if name in {"sft", "srpo"} else "single",
            split="dev",
            count=self._sizes.eval_problems,
            temperature=1.0,
            seed=self._seed,
            prompt="work" if name.endswith("-work") else PROMPT,
            num_samples=num_samples,
        )
        row: StageSummary = self._stage(f"eval-{name}", config, evaluate, kind="eval").summary
        return row, RunDir.read(self._out / f"eval-{name}")

    def _sft_config(self) -> SftConfig:
        config = settings.sft_config(TINY_BASE, [self._out / "reflect"], self._seed)
        return config.model_copy(update=self._together)

    def _rl_config(self, arm: str, model: Path | str) -> RlConfig:
        config = settings.rl_config(self._sizes, settings.ARMS[arm], model, self._seed)
        return config.model_copy(update=self._together) if arm == "srpo" else config

    def _stage(self, name: str, config: _T, work: Callable[[_T, RunDir], Any], kind: str | None = None) -> Any:
        """Carry out one stage, or return the result of the finished one."""
        _write_config(self._out, name, config)
        with RunDir.open(self._out / name, config, kind or name) as run_dir:
            if not run_dir.finished:
                note(f"== {name}")
            return work(config, run_dir)


@contextmanager
def _in_background(out: Path, name: str, config: BaseModel) -> Iterator[Callable[[], Cost]]:
    """Run an RL stage in a process of its own; yields a function that waits for it and returns its cost."""
    path = _write_config(out, name, config)
    command = [sys.executable, "-m", "srpo.runs.child", "rl", str(path), "--out", str(out / name)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (out / f"{name}.log").open("ab") as log:
        # A session of its own: a signal must reach it once, from us, and not a second time from the terminal.
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            yield lambda: _wait(child, out / name)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait()
            assert child.stdin is not None
            child.stdin.close()


def _wait(child: "subprocess.Popen[bytes]", run: Path) -> Cost:
    """Show the background stage's progress until it ends; ValueError with what it said when it ended badly."""
    while not (run / "config.json").exists() and child.poll() is None:
        time.sleep(0.2)
    if child.poll() is None or not child.returncode:
        _show_progress(child, run)
    if child.returncode:
        log = run.with_suffix(".log")
        raise ValueError(f"stage {run.name!r} ended with exit code {child.returncode}: {_last_error(log)}; see {log}")
    summary = RunDir.read(run).summary()
    assert summary is not None, f"{run} ended well without a summary"
    return Cost(int(summary["tokens"]), float(summary["seconds"]))


def _show_progress(child: "subprocess.Popen[bytes]", run: Path) -> None:
    budget = int(RunDir.read(run).config.config["token_budget"])
    with progress(budget, f"{run.name} (in the background)") as bar:
        shown = 0
        while child.poll() is None:
            try:
                child.wait(timeout=1)
            except subprocess.TimeoutExpired:
                done = min(budget, _tokens_so_far(run))
                bar.advance(done - shown)
                shown = done
        if not child.returncode:
            bar.advance(budget - shown)


def _last_error(log: Path) -> str:
    """What the stage said last of what was wrong."""
    tail = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    said = [line.removeprefix(_ERROR) for line in tail.splitlines() if line.startswith(_ERROR)]
    return said[-1] if said else "it said no reason"


def _tokens_so_far(run: Path) -> int:
    rows = list(RunDir.read(run).metrics()) if (run / "metrics.jsonl").exists() else []
    return int(rows[-1].get("rl/tokens", 0)) if rows else 0


def _seconds(run: Path) -> float:
    """Working time of a finished run."""
    return RunDir.read(run).state().time_s


def _write_config(out: Path, name: str, config: BaseModel) -> Path:
    path = out / "configs" / f"{name}.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    return path


def _check_directory(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a file; give a directory")
    if out.is_dir() and any(out.iterdir()) and not (out / "configs").is_dir():
        raise ValueError(f"--out {str(out)!r} is not empty and not a demo; give an empty or new directory")


def _summary_text(out: Path, stages: list[StageSummary], seed: int, minutes: float, processes: int) -> str:
    import json

    made = provenance()
    together = f" --processes {processes}" if processes > 1 else ""
    rows = {row.name: row.model_dump(mode="json") | {"interval": row.final_interval} for row in stages}
    runs = {name: name for name in ("reflect", "sft", "grpo", "grpo-work", "srpo")} | {
        f"eval {name}": f"eval-{name}" for name in rows
    }
    summary = {
        "title": "SRPO on a laptop: a tiny vision-language model learns to check itself",
        "created": time.strftime("%Y-%m-%d"),
        "command": f"srpo demo --out {out} --seed {seed} --minutes {minutes:g}{together}",
        "seed": seed,
        "hardware": made.system,
        "versions": {"srpo": made.srpo_version, "python": made.python, **made.libraries},
        "commit": made.commit,
        "split": "dev",
        "about": settings.ABOUT,
        "example": ["eval base", "eval sft", "eval srpo"],
        "stages": rows,
        "runs": runs,
    }
    return json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
