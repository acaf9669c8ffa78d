"""A tiny model that writes the format, and the settings that train it further; shared by the tests of both trainers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from srpo.core.records import Attempt, Grade, Origin, Problem, Response, Trace
from srpo.core.response import render
from srpo.rl.config import RlConfig
from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig

SOURCE = {"drawn": {"families": ["bars"], "levels": [1], "count": 24}}
OPTIM = {"lr": 3e-3, "schedule": "constant", "warmup_steps": 2}


def problems() -> list[Problem]:
    from srpo.data.config import SourceConfig
    from srpo.data.sources import load_problems

    return list(load_problems(SourceConfig.model_validate(SOURCE)).problems)


def trace(problem: Problem, first: str) -> Trace:
    """A response that starts with the answer `first` and ends with the right one."""
    response = Response(
        first=Attempt(think="a", answer=first), reflection="I see", second=Attempt(think="b", answer=problem.answer)
    )
    right = Grade(verdict="correct", extracted=problem.answer, reason="")
    wrong = Grade(verdict="incorrect", extracted=first, reason="")
    return Trace(
        origin=Origin(stage="reflect", model="tiny"),
        problem=problem,
        text=render(response),
        parsed=response,
        first_grade=right if first == problem.answer else wrong,
        final_grade=right,
    )


def write_traces(directory: Path) -> Path:
    path = directory / "traces.jsonl"
    lines = [
        trace(problem, problem.answer if index % 2 else "7").model_dump_json()
        for index, problem in enumerate(problems()[:16])
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sft_config(model: Path, traces: Path, **changes: object) -> SftConfig:
    settings: dict[str, Any] = {
        "model": str(model),
        "traces": (str(traces),),
        "prompt": "bare",
        "batch_size": 8,
        "epochs": 3,
        "optim": OPTIM,
        "checkpoint_every": 2,
    }
    return SftConfig.model_validate(settings | changes)


def rl_config(model: Path, **changes: object) -> RlConfig:
    settings: dict[str, Any] = {
        "model": str(model),
        "data": SOURCE,
        "prompt": "bare",
        "num_prompts": 3,
        "group_size": 4,
        "steps": 5,
        "max_tokens": 40,
        "optim": OPTIM | {"lr": 1e-3},
        "online_filter": "off",
        "symbolic": False,
        "check_images": False,
        "min_format_rate": 0.05,
        "checkpoint_every": 2,
    }
    return RlConfig.model_validate(settings | changes)


def warm_model(base: Path, directory: Path) -> Path:
    """Train `base` until most of its samples have the format."""
    from srpo.sft.run import run

    config = sft_config(base, write_traces(directory), epochs=30, batch_size=16, optim=OPTIM | {"lr": 1e-2})
    with RunDir.open(directory / "sft", config, "sft") as run_dir:
        return Path(run(config, run_dir).model)


def about(name: str) -> Callable[[str], str]:
    """For `torch.testing.assert_close`: its message, with what it is about."""
    return lambda message: f"{name}: {message}"


class Killed(Exception):
    """The process is gone."""


class DyingRun(RunDir):
    """A run directory whose process dies, or is asked to stop, right after it has logged a given step."""

    die_at: int = -1
    signal_at: int = -1

    def log(self, step: int, metrics: Any) -> None:
        super().log(step, metrics)
        if step == self.die_at:
            raise Killed
        if step == self.signal_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def results(run: Path) -> tuple[list[dict[str, float]], bytes, bytes]:
    """Metrics without the time, traces and weights of a finished run."""
    with_time = list(RunDir.read(run).metrics())
    rows = [{name: value for name, value in row.items() if name != "time_s"} for row in with_time]
    return rows, (run / "traces.jsonl").read_bytes(), (run / "model" / "model.safetensors").read_bytes()
