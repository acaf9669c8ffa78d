"""`srpo`, with a stage that does nothing in its place: how a command stops and goes on."""

import time
from collections.abc import Sequence
from pathlib import Path

import srpo.cli.main
from srpo.cli.stage import StageCommand
from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal


class Config(Record):
    steps: int = 1000


def work(config: Config, run: RunDir) -> None:
    """Steps that are logged and said."""
    checkpoint = run.latest_checkpoint()
    with stop_signal() as stop:
        for step in range(checkpoint.step if checkpoint else 0, config.steps):
            run.log(step + 1, {})
            print("step", flush=True)
            time.sleep(0.01)
            if stop.requested:
                run.checkpoint(step + 1, save_nothing)
                raise Stopped(f"after step {step + 1}")
    run.finish({"steps": config.steps})


def save_nothing(_: Path) -> None:
    """There are no weights."""


def run_command(arguments: Sequence[str]) -> int:
    return StageCommand("toy", Config, work).run("srpo toy", arguments)


def main() -> int:
    """`srpo` whose one command is the toy."""
    srpo.cli.main.run_command = run_command
    return srpo.cli.main.main()
