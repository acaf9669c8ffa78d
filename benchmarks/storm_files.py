"""Torn journals and a clock that is set back: what `benchmarks/storm.py` does to stages that were killed."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.storm_cases import Case, differences
from benchmarks.storm_process import fork, start
from srpo.cli.main import BAD_INPUT
from srpo.runs.checkpoint import Checkpoint
from srpo.runs.directory import RunDir
from srpo.runs.reader import RunReader
from srpo.runs.rejects import read_rejected

STAGES = ("reflect", "sft", "rl", "eval")
_TEARS = 3
_SHORTER = "has been changed from outside"
_CLOCK = """
import itertools, time
_really, _calls = time.time, itertools.count(1)
time.time = lambda: _really() - 60.0 * next(_calls)
time.time_ns = lambda: int(1e9 * time.time())
"""
_YEAR_S = 365 * 86400


def torn_journals(cases: Sequence[Case], folder: Path, seed: int) -> dict[str, Any]:
    """Kill each stage once, tear its journals at random bytes, read them, go on."""
    rng = random.Random(f"{seed}/torn")
    complaints: list[str] = []
    num_torn = 0
    for case in _stages(cases):
        calm = _run(case, folder / case.name / "calm")
        killed = folder / case.name / "killed"
        checkpoint = _kill_after_a_checkpoint(case, killed)
        for number in range(_TEARS):
            torn = folder / case.name / f"torn-{number}"
            shutil.copytree(killed, torn)
            num_torn += _tear(calm, torn, checkpoint, rng)
            complaints += [f"{case.name}: {what}" for what in _unreadable(torn, calm)]
            complaints += _go_on(case, calm, torn)
        complaints += _cut_too_short(case, killed, checkpoint, rng)
    return {"stages": list(STAGES), "journals_torn": num_torn, "complaints": complaints}


def clock_set_back(cases: Sequence[Case], folder: Path, seed: int) -> dict[str, Any]:
    """Stages whose clock goes back a minute at every look, and whose files come from next year."""
    (folder / "clock").mkdir(parents=True)
    (folder / "clock" / "sitecustomize.py").write_text(_CLOCK, encoding="utf-8")
    complaints: list[str] = []
    for case in _stages(cases):
        calm = _run(case, folder / case.name / "calm")
        struck = folder / case.name / "struck"
        _kill_after_a_checkpoint(case, struck, folder / "clock")
        future_s = time.time() + _YEAR_S
        for path in struck.rglob("*"):
            os.utime(path, (future_s, future_s))
        complaints += _go_on(case, calm, struck, folder / "clock")
        times = [row["time_s"] for row in RunDir.read(struck).metrics()]
        if times != sorted(times) or times[0] < 0:
            complaints.append(f"{case.name}: time_s goes back: {times}")
    return {"stages": list(STAGES), "seed": seed, "complaints": complaints}


JOBS: Mapping[str, Callable[[Sequence[Case], Path, int], dict[str, Any]]] = {
    "torn journals": torn_journals,
    "clock set back": clock_set_back,
}


def _stages(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.name in STAGES]


def _run(case: Case, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    code = fork(case, out, out.with_name("log")).wait()
    assert code == 0, f"{case.name}: the undisturbed run ended with {code}"
    return out


def _kill_after_a_checkpoint(case: Case, out: Path, *folders: Path) -> Checkpoint:
    """Leave a run that was killed between its first checkpoint and its end."""
    log = out.with_name("log")
    process = start(case, out, log, *folders) if folders else fork(case, out, log)
    while Path(f"/proc/{process.pid}/exe").exists() and not list((out / "checkpoints").glob("step-*")):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "summary.json").exists(), f"{case.name} is too short to be killed in the middle"
    checkpoint = RunDir.read(out).latest_checkpoint()
    assert checkpoint is not None, f"{case.name} ended before its first checkpoint"
    return checkpoint


def _lengths(checkpoint: Checkpoint) -> dict[str, int]:
    """Of all journals, as the checkpoint knows them."""
    ledgers = {name: length for name, length in checkpoint.extra.items() if name.endswith(".jsonl")}
    return {**checkpoint.num_bytes, **ledgers}


def _tear(calm: Path, torn: Path, checkpoint: Checkpoint, rng: random.Random) -> int:
    """Let every journal end in the middle of what would have come, or of a character; returns how many there are."""
    lengths = _lengths(checkpoint)
    for name, least in lengths.items():
        whole = (calm / name).read_bytes()
        kept = (torn / name).read_bytes()[:least]
        # Lines hold times, so that a journal's future begins elsewhere in the calm run's: at the next whole line.
        future = whole[whole.find(b"\n", max(least - 1, 0)) + 1 :] if least else whole
        tail = future[: rng.randint(0, len(future))].rstrip(b"\n")
        (torn / name).write_bytes(kept + tail + '{"text": "½€'.encode()[: rng.randint(0, 16)])
    return len(lengths)


def _unreadable(torn: Path, calm: Path) -> list[str]:
    """What readers make of torn files: whole records, and no more than there are."""
    run, whole = RunReader(torn, RunDir.read(torn).config), RunDir.read(calm)
    found = []
    for name, ours, theirs in (
        ("traces", list(run.traces()), list(whole.traces())),
        ("rejected", list(read_rejected(torn)), list(read_rejected(calm))),
    ):
        if ours != theirs[: len(ours)]:
            found.append(f"the {name} that are read from torn files are others")
    list(run.metrics())
    return found


def _go_on(case: Case, calm: Path, out: Path, *folders: Path) -> list[str]:
    log = out.with_name("log")
    if code := (start(case, out, log, *folders) if folders else fork(case, out, log)).wait():
        return [f"{case.name}: {out.name} went on to exit code {code}; see {log}"]
    return [f"{case.name}: {out.name}: {name} differs" for name in differences(calm, out)]


def _cut_too_short(case: Case, killed: Path, checkpoint: Checkpoint, rng: random.Random) -> list[str]:
    """A journal that lost what a checkpoint counts on was not torn by a kill: this has to be said, not mended."""
    found = []
    for name, length in _lengths(checkpoint).items():
        if not length:
            continue
        out = killed.with_name(f"short-{name}")
        shutil.copytree(killed, out)
        os.truncate(out / name, rng.randrange(length))
        log = out.with_name(f"short-{name}.log")
        code = fork(case, out, log).wait()
        said = log.read_text(encoding="utf-8", errors="replace")
        if code != BAD_INPUT or _SHORTER not in said or "Traceback" in said:
            found.append(f"{case.name}: {name} cut short: exit code {code}: {said[-300:]!r}")
    return found
