"""A process whose standard error is a terminal."""

import os
import pty
import select
import subprocess
import sys


def on_terminal(code: str, **environment: str) -> tuple[str, str]:
    """Run Python code with stderr on a terminal; return stdout and what the terminal got."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm", **environment},
        text=True,
    )
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            shown += os.read(leader, 65536)
        except OSError:  # Linux reports the closed terminal so
            break
    os.close(leader)
    stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 0, shown.decode()
    return stdout, shown.decode()
