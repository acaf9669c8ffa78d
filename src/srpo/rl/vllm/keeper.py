"""Runs a server for as long as standard input is open, and ends all its processes behind it.

    python keeper.py COMMAND ...

Whoever started it may be killed without a chance to clean up; the pipe is closed all the same, and no server is left
that holds a GPU. Needs nothing but Python.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

GRACE_S = 20.0
"""Time that a server gets to end by itself."""
_POLL_S = 0.2


def keep(command: Sequence[str]) -> int:
    """Keep the server; its exit code, or 128 and the signal that ended it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Engine and workers are processes of their own: they end as one session.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our starter's
    try:
        while server.poll() is None and _is_wanted():
            pass
    finally:
        _end(server)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _is_wanted() -> bool:
    """Whether somebody still holds the other end of standard input; waits a moment for it to be closed."""
    closed, _, _ = select.select([0], [], [], _POLL_S)
    return not closed or bool(os.read(0, 1))


def _end(server: "subprocess.Popen[bytes]") -> None:
    if server.poll() is None:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    with suppress(ProcessLookupError):  # all have ended, as they should
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
