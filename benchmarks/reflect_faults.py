"""A bad server and a killed process: does `srpo reflect` lose anything, pay twice, or keep other traces?

    .venv/bin/python -m benchmarks.reflect_faults --work DIR [--problems 2000] [--kills 20] [--rate 0.3] [--seed 0]
                                                  [--all_kinds] [--results benchmarks/results/storm.json]

Runs the real command twice over the same problems, policy and teacher behind a real HTTP server on loopback: once
undisturbed, once with a server that fails `rate` of the requests (429, 500, malformed and truncated answers,
half-minute stalls, closed connections; with `--all_kinds` all 36 kinds of tests/support) and with `kills` SIGKILLs at
random times, restarted after each. Checked, exit code 1 if not:

* every sample of every problem is in exactly one place: selected, or rejected with a reason;
* no request was answered whose answer was in the cache already (looked up at the moment of answering);
* traces, rejects and difficulties are those of the undisturbed run, byte for byte.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kept import keep
from srpo.config.load import to_yaml
from srpo.models.protocol import Message
from srpo.models.remote_request import _key
from srpo.runs.reader import read_traces
from srpo.runs.rejects import read_rejected
from tests.support.fault_server import ALL_PASSING, PASSING, Body, Faults, FaultServer
from tests.support.served_sums import answer, config, with_servers, write_problems

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 3
FILES = ("traces.jsonl", "verified.jsonl", "rejected.jsonl", "difficulty.jsonl")


class Setting(NamedTuple):
    """How bad it gets."""

    problems: int
    kills: int
    rate: float = 0.3
    seed: int = 0
    stall_s: float = 30.0
    timeout_s: float = 3.0
    """Of the client: what it makes of a stall."""
    kinds: tuple[str, ...] = PASSING
    """How requests fail."""


class CacheWatch:
    """Answers like the world, and notes what it answers although the cache has it."""

    def __init__(self, run: Path) -> None:
        self.base_url = ""
        self.num_known = 0
        self._path = run / "responses.sqlite"
        self._connection: sqlite3.Connection | None = None

    def __call__(self, body: Body, sample: int) -> str:
        if sample == 0:
            self.num_known += self._has(body)
        return answer(body, sample)

    def _has(self, body: Body) -> bool:
        if self._connection is None:
            if not self._path.exists():
                return False
            self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)
        turns = [Message(role=message["role"], text=message["content"]) for message in body["messages"]]
        fields = {name: value for name, value in body.items() if name != "messages"}
        key = _key(self.base_url, fields, turns, [])
        try:
            return self._connection.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() is not None
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # the client is about to make it
                return False
            raise


def main() -> int:
    """Run the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs; must be new or empty")
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all_kinds", action="store_true")
    parser.add_argument("--results", type=Path, help="file that the result is added to, as `stage 1 behind a server`")
    arguments = parser.parse_args()
    if arguments.work.exists() and any(arguments.work.iterdir()):
        parser.error(f"{str(arguments.work)!r} is not empty")
    arguments.work.mkdir(parents=True, exist_ok=True)
    kinds = ALL_PASSING if arguments.all_kinds else PASSING
    setting = Setting(arguments.problems, arguments.kills, arguments.rate, arguments.seed, kinds=kinds)
    result = compare(arguments.work, setting)
    print(json.dumps(result, indent=1))
    keep(arguments.results, "stage 1 behind a server", result)
    return 1 if result["complaints"] or result["kills"] != arguments.kills else 0


def compare(work: Path, setting: Setting) -> dict[str, Any]:
    """Both runs, and what is wrong with the second one."""
    data = write_problems(work, setting.problems)
    with FaultServer(answer) as server:
        path = write_config(work / "calm.yaml", server, data, setting)
        started_s = time.monotonic()
        finish(path, work / "calm")
        calm_s = time.monotonic() - started_s
    watch = CacheWatch(work / "stormy")
    faults = Faults(rate=setting.rate, kinds=setting.kinds, seed=setting.seed, stall_s=setting.stall_s)
    with FaultServer(watch, faults=faults) as server:
        watch.base_url = server.base_url
        path = write_config(work / "stormy.yaml", server, data, setting)
        started_s = time.monotonic()
        kills = storm(path, work / "stormy", setting, calm_s)
        result = {
            "problems": setting.problems,
            "fault_rate": setting.rate,
            "kills": len(kills),
            "kills_by_batches_done": kills,
            "undisturbed_s": round(calm_s, 1),
            "disturbed_s": round(time.monotonic() - started_s, 1),
            "requests_received": sum(server.received.values()),
            "requests_answered": sum(server.answered.values()),
            "different_requests": len(server.answered),
            "faults": dict(server.faulted),
            "answered_though_cached": watch.num_known,
            "answers_lost_in_kills": server.num_paid_twice,
        }
    return {**result, "kept": lines(work / "calm" / "traces.jsonl"), "complaints": complaints(work, setting, watch)}


def write_config(path: Path, server: FaultServer, data: Path, setting: Setting) -> Path:
    found = config(server, data, num_samples=SAMPLES, batch_size=10)
    quick = {"timeout_s": setting.timeout_s, "backoff_s": 0.01, "concurrency": 32, "max_retries": 12}
    path.write_text(to_yaml(with_servers(found, policy=quick, teacher=quick)), encoding="utf-8")
    return path


def start(path: Path, out: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "srpo", "reflect", str(path), "--out", str(out)]
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def finish(path: Path, out: Path) -> None:
    if code := start(path, out).wait():
        log = (out.parent / f"{out.name}.log").read_text(errors="replace")
        raise SystemExit(f"{out.name} ended with exit code {code}:\n{log[-2000:]}")


def storm(path: Path, out: Path, setting: Setting, calm_s: float) -> list[int]:
    """Kill and restart until all kills have fallen, then let the run end; the batches that each kill found done."""
    rng = random.Random(setting.seed)
    kills: list[int] = []
    while len(kills) < setting.kills and not (out / "summary.json").exists():
        process = start(path, out)
        # Some strike while it starts; the others let it get on, so that kills fall everywhere in the run.
        before, least = lines(out / "metrics.jsonl"), rng.choice((0, 1, 1, 2))
        deadline_s = time.monotonic() + rng.uniform(0.1, 0.5) * calm_s + 60 * (least > 0)
        while process.poll() is None and time.monotonic() < deadline_s:
            if least and lines(out / "metrics.jsonl") >= before + least:
                time.sleep(rng.uniform(0, 0.1))
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            kills.append(lines(out / "metrics.jsonl"))
    finish(path, out)
    return kills


def complaints(work: Path, setting: Setting, watch: CacheWatch) -> list[str]:
    found = [
        f"{name} differs from the undisturbed run"
        for name in FILES
        if (work / "calm" / name).read_bytes() != (work / "stormy" / name).read_bytes()
    ]
    places = Counter((trace.problem.id, trace.sample) for trace in read_traces(work / "stormy" / "traces.jsonl"))
    for row in read_rejected(work / "stormy"):
        samples = range(SAMPLES) if row.sample is None else (row.sample,)
        places.update((row.id, sample) for sample in samples)
    expected = Counter((f"p{i}", sample) for i in range(setting.problems) for sample in range(SAMPLES))
    if places != expected:
        found.append(f"{len(expected - places)} samples are nowhere, {len(places - expected)} in two places")
    if watch.num_known:
        found.append(f"{watch.num_known} requests were answered although their answer was in the cache")
    return found


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
