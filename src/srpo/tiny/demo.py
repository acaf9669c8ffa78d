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
from srpo.core.records import Style
from srpo.core.statistics import StageSummary
from srpo.policy.load import TINY_BASE, shipped_base
from srpo.policy.threads import configure_threads
from srpo.runs import files
from srpo.runs.directory import RunDir
from srpo.runs.progress import note, progress
from srpo.runs.provenance import provenance
from srpo.runs.reader import SUMMARY
from srpo.tiny import settings

_T = TypeVar("_T", bound=BaseModel)
REPORT = "report.html"


class Cost(NamedTuple):
    """What a row of the stage table took, the stages before it included."""

    tokens: int = 0
    """Tokens generated and learned from, over all stages up to this one."""
    seconds: float = 0.0

    def plus(self, tokens: int, seconds: float) -> "Cost":
        """This and one stage more."""
        return Cost(self.tokens + tokens, self.seconds + seconds)


def run_demo(out: Path, *, seed: int, minutes: float) -> Path:
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
    stages = [_evaluate(out, "base", TINY_BASE, sizes, seed)]
    with _in_background(out, "grpo", settings.rl_config(sizes, settings.ARMS["grpo"], TINY_BASE, seed)) as grpo:
        stages.append(_cold_start(out, sizes, seed))
        srpo = _reinforce(out, sizes, seed, stages[-1])
        cost = grpo()
    stages.append(_evaluate(out, "grpo", out / "grpo" / "model", sizes, seed, cost))
    stages.append(srpo)
    files.write_atomic(out / SUMMARY, _summary_text(out, stages, seed, minutes))
    from srpo.report import write_report

    return write_report([out], out / REPORT)


def _cold_start(out: Path, sizes: settings.Sizes, seed: int) -> StageSummary:
    """Reflection data and SFT."""
    from srpo.reflect.run import run as reflect
    from srpo.sft.run import run as sft

    _stage(out, "reflect", settings.reflect_config(sizes, TINY_BASE, seed), reflect)
    trained = _stage(out, "sft", settings.sft_config(TINY_BASE, out / "reflect", seed), sft)
    seconds = _seconds(out / "reflect") + trained.seconds
    return _evaluate(out, "sft", out / "sft" / "model", sizes, seed, Cost(trained.tokens, seconds))


def _reinforce(out: Path, sizes: settings.Sizes, seed: int, start: StageSummary) -> StageSummary:
    """Reflection-aware GRPO from the cold start."""
    from srpo.rl.run import run as rl

    done = _stage(
        out, "srpo", settings.rl_config(sizes, settings.ARMS["srpo"], out / "sft" / "model", seed), rl, kind="rl"
    )
    cost = Cost(start.tokens or 0, start.seconds or 0.0).plus(done.tokens, done.seconds)
    return _evaluate(out, "srpo", out / "srpo" / "model", sizes, seed, cost)


def _evaluate(
    out: Path, name: str, model: Path | str, sizes: settings.Sizes, seed: int, cost: Cost | None = None
) -> StageSummary:
    """One row of the stage table. The demo looks at the `dev` split: `test` is for committed evidence alone."""
    from srpo.eval.run import run as evaluate

    style: Style = "single" if name in {"base", "grpo"} else "reflective"
    config = settings.eval_config(
        name, model, style, split="dev", count=sizes.eval_problems, temperature=1.0, seed=seed
    )
    row: StageSummary = _stage(out, f"eval-{name}", config, evaluate, kind="eval").summary
    return row if cost is None else row.model_copy(update={"tokens": cost.tokens, "seconds": round(cost.seconds, 1)})


def _stage(out: Path, name: str, config: _T, work: Callable[[_T, RunDir], Any], kind: str | None = None) -> Any:
    """Carry out one stage in `out/name`, or return the result of the finished one."""
    _write_config(out, name, config)
    with RunDir.open(out / name, config, kind or name) as run_dir:
        if not run_dir.finished:
            note(f"== {name}")
        return work(config, run_dir)


@contextmanager
def _in_background(out: Path, name: str, config: BaseModel) -> Iterator[Callable[[], Cost]]:
    """Run an RL stage in a process of its own; yields a function that waits for it and returns its cost."""
    path = _write_config(out, name, config)
    command = [sys.executable, "-m", "srpo", "rl", str(path), "--out", str(out / name)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (out / f"{name}.log").open("ab") as log:
        # A session of its own: Ctrl-C must reach it once, from us, and not a second time from the terminal.
        child = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)  # noqa: S603
        try:
            yield lambda: _wait(child, out / name)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                child.wait()


def _wait(child: "subprocess.Popen[bytes]", run: Path) -> Cost:
    """Show the background stage's progress until it ends."""
    while not (run / "config.json").exists() and child.poll() is None:
        time.sleep(0.2)
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
        bar.advance(budget - shown)
    if child.returncode:
        raise ValueError(f"stage {run.name!r} ended with exit code {child.returncode}; see {run}.log")
    summary = RunDir.read(run).summary()
    assert summary is not None, f"{run} ended well without a summary"
    return Cost(int(summary["tokens"]), float(summary["seconds"]))


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


def _summary_text(out: Path, stages: list[StageSummary], seed: int, minutes: float) -> str:
    import json

    made = provenance()
    rows = {row.name: row.model_dump(mode="json") | {"interval": row.final_interval} for row in stages}
    runs = {name: name for name in ("reflect", "sft", "grpo", "srpo")} | {
        f"eval {name}": f"eval-{name}" for name in rows
    }
    summary = {
        "title": "SRPO on a laptop: a tiny vision-language model learns to check itself",
        "created": time.strftime("%Y-%m-%d"),
        "command": f"srpo demo --out {out} --seed {seed} --minutes {minutes:g}",
        "seed": seed,
        "hardware": made.system,
        "versions": {"srpo": made.srpo_version, "python": made.python, **made.libraries},
        "commit": made.commit,
        "split": "dev",
        "stages": rows,
        "runs": runs,
    }
    return json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
