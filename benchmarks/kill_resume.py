"""Kill a real stage at random points, start it again, and compare what it leaves with an undisturbed run.

    .venv/bin/python benchmarks/kill_resume.py --work DIR [--kills 20] [--seed 0] -- .venv/bin/srpo sft CONFIG.yaml ...

The command gets `--out` from here. It runs once undisturbed (DIR/undisturbed) and then with SIGKILLs (DIR/killed-0, and
further ones when a run ends before all kills have fallen). Every fourth kill waits until a checkpoint is being written
and strikes then; the others come at random times, also during start-up. Equal must be, byte for byte:
every model/*.safetensors, traces.jsonl, and metrics.jsonl without time_s. Prints one JSON object; the exit code is 1
if anything differs.
"""

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

POLL_S = 0.002


class Timing(NamedTuple):
    """How long the undisturbed run took, in seconds."""

    start_up_s: float
    """Until the first row of metrics."""
    whole_s: float


def main() -> int:
    """Run the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs; must be new or empty")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.work.exists() and any(arguments.work.iterdir()):
        parser.error(f"{str(arguments.work)!r} is not empty")
    arguments.work.mkdir(parents=True, exist_ok=True)

    timing = run_undisturbed(arguments.command, arguments.work / "undisturbed")
    print(f"undisturbed: {timing.whole_s:.1f} s, {timing.start_up_s:.1f} s of it start-up", file=sys.stderr)
    rng = random.Random(arguments.seed)
    kills: list[dict[str, object]] = []
    runs: list[Path] = []
    while len(kills) < arguments.kills:
        runs.append(arguments.work / f"killed-{len(runs)}")
        kills += run_with_kills(arguments.command, runs[-1], arguments.kills - len(kills), timing, rng)
        print(f"{runs[-1].name}: finished; {len(kills)} kills so far", file=sys.stderr)
    differences = [line for run in runs for line in compare(arguments.work / "undisturbed", run)]
    result = {
        "command": arguments.command,
        "kills": len(kills),
        "kills_during_a_checkpoint": sum(kill["in_checkpoint"] is True for kill in kills),
        "runs": len(runs),
        "undisturbed_s": round(timing.whole_s, 1),
        "differences": differences,
        "kill_points": kills,
    }
    print(json.dumps(result, indent=1))
    return 1 if differences else 0


def start(command: list[str], out: Path) -> subprocess.Popen[bytes]:
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen([*command, "--out", str(out)], stdout=log, stderr=log)


def run_undisturbed(command: list[str], out: Path) -> Timing:
    started_s, start_up_s = time.monotonic(), 0.0
    process = start(command, out)
    while process.poll() is None:
        if not start_up_s and num_rows(out):
            start_up_s = time.monotonic() - started_s
        time.sleep(POLL_S)
    if process.returncode:
        sys.exit(f"the undisturbed run failed with exit code {process.returncode}; see {out}.log")
    return Timing(start_up_s, time.monotonic() - started_s)


def run_with_kills(
    command: list[str], out: Path, most: int, timing: Timing, rng: random.Random
) -> list[dict[str, object]]:
    """Kill and restart up to `most` times, then let the run end; return where the kills fell."""
    kills: list[dict[str, object]] = []
    work_s = timing.whole_s - timing.start_up_s
    while len(kills) < most:
        # Long enough, on average, to get a little further than the last time, wherever the checkpoints are.
        delay_s = timing.start_up_s * rng.uniform(0.2, 1.2) + work_s * rng.uniform(0, 0.4)
        wait_for_checkpoint = len(kills) % 4 == 3
        started_s, started_ns = time.monotonic(), time.time_ns()
        process = start(command, out)
        while process.poll() is None and time.monotonic() - started_s < delay_s:
            if wait_for_checkpoint and writing_checkpoint(out, started_ns):
                break
            time.sleep(POLL_S)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            sys.exit(f"exit code {code} after {len(kills)} kills; see {out}.log")
        kills.append(
            {
                "after_s": round(time.monotonic() - started_s, 2),
                "rows": num_rows(out),
                "in_checkpoint": writing_checkpoint(out, started_ns),
            }
        )
    if start(command, out).wait():
        sys.exit(f"the run failed after {len(kills)} kills; see {out}.log")
    return kills


def num_rows(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def writing_checkpoint(out: Path, since_ns: int) -> bool:
    """Whether a half-written checkpoint is there that the process started at `since_ns` has made."""
    for path in (out / "checkpoints").glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime_ns >= since_ns:
                return True
    return False


def compare(expected: Path, actual: Path) -> list[str]:
    """Name everything in which two finished runs differ."""
    weights = sorted(path.relative_to(expected) for path in (expected / "model").rglob("*.safetensors"))
    if not weights:
        return [f"{expected} has no weights to compare"]
    differences = [
        f"{actual.name}: {path} differs"
        for path in [*weights, Path("traces.jsonl")]
        if not (actual / path).exists() or (actual / path).read_bytes() != (expected / path).read_bytes()
    ]
    rows = [metrics_without_time(run) for run in (expected, actual)]
    if len(rows[0]) != len(rows[1]):
        differences.append(f"{actual.name}: {len(rows[1])} rows of metrics instead of {len(rows[0])}")
    for number, (wanted, got) in enumerate(zip(*rows, strict=False), 1):
        if wanted != got:
            names = [name for name in {**wanted, **got} if wanted.get(name) != got.get(name)]
            differences.append(f"{actual.name}: metrics.jsonl:{number} differs in {', '.join(names)}")
            break
    return differences


def metrics_without_time(run: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "time_s"} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
