"""Stopping cleanly.

The first Ctrl-C (or SIGTERM, as job schedulers send it, or SIGHUP, when a terminal closes) asks: the stage finishes its
step, saves a checkpoint and ends with exit code 130 and the command that resumes it. The second one ends the process at
once. Where nothing long is under way, the first one ends it, as a KeyboardInterrupt (`signals_interrupt`): files that
are half written are removed and child processes ended on the way out.

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IMPORT_CODE = "<frozen importlib._bootstrap>"
_IMPORT_POLL_S = 0.02


class Stopped(KeyboardInterrupt):
    """The stage has saved its state and ends because it was asked to; the text says where it was."""


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_signal() -> Iterator[Stop]:
    """Turn the first interrupt inside the block into `stop.requested`, the second into KeyboardInterrupt.

    A second SIGHUP says nothing new: when a terminal closes, shell and kernel send one each. When the block ends
    although a stop was requested, `Stopped` is raised, so that what would come next does not start. Outside the main
    thread, where Python has no signals, nothing is ever requested.
    """
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            if number == signal.SIGHUP:
                return
            raise KeyboardInterrupt
        stop.requested = True
        # Not through sys.stderr: the handler may run in the middle of a write to it, which Python refuses to nest.
        # A terminal that has closed takes nothing any more.
        with suppress(OSError):
            os.write(2, b"\nsrpo: finishing this step, then saving; once more (Ctrl-C) to end at once\n")

    with _handling(handle, SIGNALS):
        yield stop
    if stop.requested:
        raise Stopped("at the end of the stage")


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, by KeyboardInterrupt, where nobody asks for another end.

    None of them breaks into an import: what a library makes of that is another error, or a crash.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if _importing(frame):
            again = threading.Timer(_IMPORT_POLL_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        if number == signal.SIGHUP:
            # The second one would break into the tidying up that the first one began.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Python itself leaves a SIGINT alone that a shell told it to ignore.
    with _handling(handle, [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]):
        yield


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_CODE:
            return True
        frame = frame.f_back
    return False


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None], numbers: Iterable[signal.Signals]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What `nohup` lets us ignore stays ignored.
    ours = [one for one in numbers if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]
    old = {number: signal.signal(number, handle) for number in ours}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def resume_command() -> str:
    """The command line that goes on with this process's work: its own, quoted for a shell."""
    program = Path(sys.argv[0])
    as_module = program.name == "__main__.py"
    command = [sys.executable, "-m", program.parent.name] if as_module else [sys.argv[0]]
    return shlex.join([*command, *sys.argv[1:]])
