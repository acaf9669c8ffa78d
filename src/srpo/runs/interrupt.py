"""Stopping a long stage cleanly.

The first Ctrl-C (or SIGTERM, as job schedulers send it, or SIGHUP, when a terminal closes) asks: the stage finishes its
step, saves a checkpoint and ends with exit code 130 and the command that resumes it. The second one ends the process at
once.

    with stop_signal() as stop:
        for step in ...:
            ...
            if stop.requested:
                run.checkpoint(step, save, extra)
                raise Stopped(f"after step {step}")
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The stage has saved its state and ends because it was asked to; the text says where it was."""


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_signal() -> Iterator[Stop]:
    """Turn the first interrupt inside the block into `stop.requested`, the second into KeyboardInterrupt.

    When the block ends although a stop was requested, `Stopped` is raised, so that what would come next does not
    start. Outside the main thread, where Python has no signals, nothing is ever requested.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        # Not through sys.stderr: the handler may run in the middle of a write to it, which Python refuses to nest.
        os.write(2, b"\nsrpo: finishing this step, then saving; once more (Ctrl-C) to end at once\n")

    old = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    if stop.requested:
        raise Stopped("at the end of the stage")


def resume_command() -> str:
    """The command line that goes on with this process's work: its own, quoted for a shell."""
    program = Path(sys.argv[0])
    as_module = program.name == "__main__.py"
    command = [sys.executable, "-m", program.parent.name] if as_module else [sys.argv[0]]
    return shlex.join([*command, *sys.argv[1:]])
