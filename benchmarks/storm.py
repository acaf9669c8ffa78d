"""Does anything break when commands are struck down? SIGKILL, SIGTERM, SIGHUP, a full disk, torn files, a wrong clock.

    .venv/bin/python -m benchmarks.storm --work DIR [--only sft,rl] [--kills 20] [--stops 3] [--seed 0]
                                         [--results benchmarks/results/storm.json]

Every command that writes (`storm_cases`) runs once undisturbed. Then it is struck at random moments, and started again
after each: `kills` SIGKILLs, `stops` SIGTERMs and as many SIGHUPs, twice under a limit on the size of files that its
output does not fit into (a disk that is full). One SIGTERM and one SIGHUP strike a process that was started from
nothing, the others a fork (`storm_process`). A command that has ended begins in a new place. Whatever happened, what
it leaves in the end must be what the undisturbed run left, byte for byte, times aside. A command that was asked to stop
must end with exit code 130, one that met the full disk with 2 and a line that names the file; neither may leave a
traceback, a half-written file or a process. `storm_files` tears journals and sets clocks back; stage 1 behind a server
that fails in 36 ways is in `reflect_faults`. The view server is not struck: it writes no files.

Results are added to the file case by case; the exit code is 1 if there is a complaint.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import storm_files
from benchmarks.kept import keep
from benchmarks.storm_cases import Case, build, differences
from benchmarks.storm_process import fork, load, start
from srpo.runs.files import TEMPORARY

STOPPED = (130, -signal.SIGINT)
"""CPython says the second where the signal fell into an `exec` of an import; in a shell they are the same."""
NO_ROOM = 2
_GRACE_S = 120.0
_TOO_EARLY_S = 3.0
"""A signal that comes while Python itself starts ends the process as the system does."""


class Strike(NamedTuple):
    """One thing that happens to a command."""

    kind: str
    """A signal's name, or `full disk`."""
    from_nothing: bool = False
    """Whether the process loads everything itself."""


class Found(NamedTuple):
    """What came of striking a command."""

    strikes: dict[str, int]
    complaints: list[str]
    rounds: int
    """How often the command got to its end."""


class _Before(NamedTuple):
    """What was there before a command started."""

    log_bytes: int
    half_written: frozenset[tuple[str, int]]
    """Leftovers of earlier SIGKILLs, with the time of their last change."""


class Stormy:
    """One command under strikes."""

    def __init__(self, case: Case, folder: Path, rng: random.Random) -> None:
        self._case = case
        self._folder = folder
        self._rng = rng
        self._calm = self._place("calm")
        self._log = folder / "log"
        self.calm_s = 0.0
        self.complaints: list[str] = []
        folder.mkdir(parents=True)

    def _place(self, name: str) -> Path:
        """Names of one length, because journals hold them and checkpoints the journals' lengths."""
        return self._folder / f"run-{name:_>4}{self._case.suffix}"

    def calm(self) -> None:
        """The undisturbed run."""
        started_s = time.monotonic()
        if code := fork(self._case, self._calm, self._log).wait():
            raise SystemExit(f"{self._case.name}: the undisturbed run ended with {code}; see {self._log}")
        self.calm_s = time.monotonic() - started_s

    def storm(self, strikes: list[Strike]) -> Found:
        """Strike until all of them have fallen, then let the command end."""
        counts: dict[str, int] = {}
        number, left = 0, list(strikes)
        while left:
            out = self._place(str(number))
            if self._strike(out, left[0]):
                counts[left[0].kind] = counts.get(left[0].kind, 0) + 1
                left.pop(0)
            else:
                self._compare(out)
                number += 1
        out = self._place(str(number))
        if code := fork(self._case, out, self._log).wait():
            self.complaints.append(f"after the last strike it ended with exit code {code}")
        self._compare(out)
        if half := _half_written(self._folder):
            self.complaints.append(f"half written in the end: {half}")
        return Found(counts, self.complaints, number + 1)

    def _strike(self, out: Path, strike: Strike) -> bool:
        """Start the command and strike; False when it had ended before."""
        before = _Before(self._log.stat().st_size, _half_written(self._folder))
        if strike.kind == "full disk":
            code = fork(self._case, out, self._log, most_bytes=self._half_of_the_largest()).wait()
            if code == 0:
                return False
            self._check_end(out, strike, code, before, (NO_ROOM,))
            return True
        process = (start if strike.from_nothing else fork)(self._case, out, self._log)
        started_s = time.monotonic()
        # Some strike while it starts, most while it works; a run that goes on is shorter every time.
        try:
            code = process.wait(timeout=self._rng.uniform(0.02, 1.0) * self.calm_s)
        except subprocess.TimeoutExpired:
            early = time.monotonic() - started_s < _TOO_EARLY_S
            number = signal.Signals[strike.kind]
            os.kill(process.pid, number)
            code = process.wait(timeout=_GRACE_S)
            if code == 0:
                return False
            allowed = (-number,) if strike.kind == "SIGKILL" else (*STOPPED, *((-number,) if early else ()))
            self._check_end(out, strike, code, before, allowed)
            return True
        self.calm_s = min(self.calm_s, time.monotonic() - started_s)
        if code:
            self.complaints.append(f"before a {strike.kind} it ended with exit code {code}")
        return code != 0

    def _check_end(self, out: Path, strike: Strike, code: int, before: "_Before", allowed: tuple[int, ...]) -> None:
        said = self._log.read_bytes()[before.log_bytes :].decode(errors="replace")
        if code not in allowed:
            self.complaints.append(f"{strike.kind}: exit code {code}: {said[-300:]!r}")
        if strike.kind == "SIGKILL":
            return
        if "Traceback" in said:
            self.complaints.append(f"{strike.kind}: a traceback: {said[-600:]!r}")
        if strike.kind == "full disk" and "make room" not in said:
            self.complaints.append(f"full disk: not named: {said[-300:]!r}")
        if half := _half_written(self._folder) - before.half_written:
            self.complaints.append(f"{strike.kind}: half written: {half}")
        if alive := _processes_of(out):
            self.complaints.append(f"{strike.kind}: processes {alive} live on")

    def _compare(self, out: Path) -> None:
        self.complaints += [f"{out.name}: {name or 'it'} differs" for name in differences(self._calm, out)]

    def _half_of_the_largest(self) -> int:
        files = [self._calm] if self._calm.is_file() else [path for path in self._calm.rglob("*") if path.is_file()]
        return max(path.stat().st_size for path in files) // 2


def _half_written(folder: Path) -> frozenset[tuple[str, int]]:
    return frozenset((str(path), path.stat().st_mtime_ns) for path in folder.rglob(f"{TEMPORARY}*"))


def _processes_of(out: Path) -> list[int]:
    """Processes whose command line names `out`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if str(out).encode() in words:
            found.append(int(entry.parent.name))
    return found


def strike_case(case: Case, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All strikes on one command."""
    rng = random.Random(f"{arguments.seed}/{case.name}")
    stormy = Stormy(case, work / case.name, rng)
    stormy.calm()
    signals = [Strike(kind) for kind in ("SIGTERM", "SIGHUP")] * (arguments.stops - 1)
    from_nothing = [Strike(kind, from_nothing=True) for kind in ("SIGTERM", "SIGHUP")]
    strikes = [Strike("SIGKILL")] * arguments.kills + signals + from_nothing + [Strike("full disk")] * 2
    rng.shuffle(strikes)
    found = stormy.storm(strikes)
    return {
        "strikes": dict(sorted(found.strikes.items())),
        "rounds": found.rounds,
        "undisturbed_s": round(stormy.calm_s, 1),
        "complaints": found.complaints,
    }


def main() -> int:
    """Strike all commands; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs; a case in it is not repeated")
    parser.add_argument("--only", default="", help="names of cases, joined by commas")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    cases = build(work / "made")
    only = set(filter(None, arguments.only.split(",")))
    load()
    jobs = {case.name: partial(strike_case, case, work, arguments) for case in cases}
    jobs |= {name: partial(job, cases, work / name, arguments.seed) for name, job in storm_files.JOBS.items()}
    num_complaints = 0
    for name, job in jobs.items():
        if only and name not in only:
            continue
        result = job()
        num_complaints += len(result["complaints"])
        print(json.dumps({name: result}, indent=1, ensure_ascii=False), flush=True)
        keep(arguments.results, name, result)
    return 1 if num_complaints else 0


if __name__ == "__main__":
    sys.exit(main())
