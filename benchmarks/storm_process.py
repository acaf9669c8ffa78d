"""Commands as processes that can be struck: started from nothing, or forked from one that has its imports done.

A fork runs the same `main()` in a process of its own, without the four seconds of CPU that torch takes to load, in
which nothing is written: so that a storm can be large. Only while no thread runs here may this process be forked.
"""

import importlib
import os
import resource
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.storm_cases import Case, environment

_HEAVY = ("torch", "transformers", "safetensors.torch", "plotly.offline", "jinja2", "pyarrow.parquet", "rich.progress",
          "srpo.rl.run", "srpo.sft.run", "srpo.eval.run", "srpo.eval.score", "srpo.reflect.run", "srpo.export.run",
          "srpo.report.page", "benchmarks.storm_demo")  # fmt: skip
_POLL_S = 0.005


class Struck(Protocol):
    """A command under way."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, a negative one for a signal; TimeoutExpired."""


class Forked(NamedTuple):
    """A fork of this process."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """As `Popen.wait`."""
        started_s = time.monotonic()
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if timeout is not None and time.monotonic() - started_s > timeout:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_S)


def start(case: Case, out: Path, log: Path, *folders: Path) -> Struck:
    """From nothing."""
    with log.open("ab") as file:
        return subprocess.Popen(case.argv(out), stdout=file, stderr=file, env=environment(*folders))


def fork(case: Case, out: Path, log: Path, *, most_bytes: int | None = None) -> Struck:
    """From here; no file may grow beyond `most_bytes`."""
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        _become(case, out, log, most_bytes)
        code = importlib.import_module("benchmarks.storm_demo" if case.is_demo else "srpo.cli.main").main()
    except BaseException:  # whatever it is, this process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def load() -> None:
    """Import what the commands import, before the first fork."""
    os.environ.update(environment())
    for name in _HEAVY:
        importlib.import_module(name)
    # Asked of git by every command; here it is remembered.
    importlib.import_module("srpo.runs.provenance").commit()


def _become(case: Case, out: Path, log: Path, most_bytes: int | None) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    _, _, _, *words = case.argv(out)
    sys.argv = [str(Path(__file__).parents[1] / "src" / "srpo" / "__main__.py"), *words]
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
