"""Steps of the demo's `sft` and `rl` with one process and with two: steps per second, and the share of the cores used.

    python -m benchmarks.processes [--turns 3] [--only rl] [--out FILE]

Each turn is `srpo sft` or `srpo rl` as a command: one process with one thread, one with a thread for each core (what
a command without `processes` takes), and one process for each core with a thread. What counts is what lies between the
third step and the last. `used` is CPU time over time and cores; `wanted` counts the time that threads could have run
and had to wait for a core too, which is what a machine without other work would give them (Linux's schedstat), and
`steps_per_s_alone` is what follows for such a machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from benchmarks.kept import keep
from benchmarks.peers import versions
from srpo.config.load import to_yaml
from srpo.policy.load import TINY_BASE
from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig
from srpo.tiny import settings

OUT = Path("benchmarks/results/processes.json")
CORES = os.cpu_count() or 1
FIRST = 3
"""Steps before these are not counted: models are loaded, caches filled."""
NUM_PROBLEMS = 600
NUM_STEPS = {"sft": 60, "rl": 10}
ARMS = {"one": (1, 1), "one, all threads": (1, CORES), "processes": (CORES, 1)}
"""Processes, and threads of each."""


class Reading(NamedTuple):
    """What a tree of processes had of the machine up to a moment, in seconds."""

    now: float
    ran: float
    waited: float


class Steady(NamedTuple):
    """A turn."""

    steps_per_s: float
    used: float
    wanted: float
    cpu_s_per_step: float


def alone(wanted: float, cpu_s_per_step: float) -> float:
    """Steps per second of a machine without other work, by what the threads would have had of it."""
    return min(1.0, wanted) * CORES / cpu_s_per_step


def read_tree(pid: int) -> Reading:
    """Of a process and all that descend from it; those that have ended are not in it."""
    parents: dict[int, int] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                stat = (place / "stat").read_text()
            except OSError:
                continue
            parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
    tree, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in tree} - tree
        tree |= more
        grown = bool(more)
    ran = waited = 0
    for one in tree:
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            try:
                task_ran, task_waited, _ = task.read_text().split()
            except (OSError, ValueError):
                continue
            ran, waited = ran + int(task_ran), waited + int(task_waited)
    return Reading(time.monotonic(), ran / 1e9, waited / 1e9)


def turn(stage: str, config: BaseModel, processes: int, threads: int, num_steps: int) -> Steady:
    """Run the command, and look at it while it works."""
    with tempfile.TemporaryDirectory() as folder:
        given, run = Path(folder) / f"{stage}.yaml", Path(folder) / "run"
        given.write_text(to_yaml(config.model_copy(update={"processes": processes})), "utf-8")
        command = [sys.executable, "-m", "srpo", stage, str(given), "--out", str(run)]
        # Threads are for all processes of a run together.
        environment = os.environ | {"OMP_NUM_THREADS": str(threads * processes)}
        readings: dict[int, Reading] = {}
        with (Path(folder) / "log").open("w") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            while child.poll() is None:
                time.sleep(0.02)
                step = _rows(run)
                if step >= FIRST and step not in readings:
                    readings[step] = read_tree(child.pid)
                    if step >= num_steps - 1:  # the last one is followed by the end of the processes
                        break
            if child.wait():
                raise RuntimeError((Path(folder) / "log").read_text()[-2000:])
    first, last = min(readings), max(readings)
    took = readings[last].now - readings[first].now
    ran, waited = readings[last].ran - readings[first].ran, readings[last].waited - readings[first].waited
    steps = last - first
    return Steady(steps / took, ran / took / CORES, (ran + waited) / took / CORES, ran / steps)


def _rows(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def measure(stage: str, config: BaseModel, turns: int) -> dict[str, Any]:
    """The arms in turn; medians."""
    found: dict[str, list[Steady]] = {name: [] for name in ARMS}
    for _ in range(turns):
        for name, (processes, threads) in ARMS.items():
            found[name].append(turn(stage, config, processes, threads, NUM_STEPS[stage]))
            print(stage, name, found[name][-1], file=sys.stderr, flush=True)
    row: dict[str, Any] = {name: _medians(values) for name, values in found.items()}
    for measured in ("steps_per_s", "steps_per_s_alone"):
        for name in ("one", "one, all threads"):
            over = row["processes"][measured] / row[name][measured]
            row[f"processes over {name}, {measured}"] = round(over, 2)
    load = os.getloadavg()[0]
    return row | {"turns": turns, "cores": CORES, "load_average": load, "versions": versions()}


def _medians(values: Sequence[Steady]) -> Mapping[str, float]:
    found = {name: round(statistics.median(getattr(one, name) for one in values), 3) for name in Steady._fields}
    return found | {"steps_per_s_alone": round(alone(found["wanted"], found["cpu_s_per_step"]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", choices=tuple(NUM_STEPS), nargs="*", default=tuple(NUM_STEPS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sft = cold_start(Path(folder))
        if "sft" in given.only:
            short = sft.model_copy(update={"max_steps": NUM_STEPS["sft"]})
            keep(given.out, "sft", measure("sft", short, given.turns))
        if "rl" in given.only:
            model = Path(folder) / "sft" / "model"
            rl = settings.rl_config(settings.sizes_for(10), settings.ARMS["srpo"], model, 0)
            # So short a cold start does not always write the format.
            steps = {"token_budget": None, "steps": NUM_STEPS["rl"], "min_format_rate": 0.0}
            keep(given.out, "rl", measure("rl", rl.model_copy(update=steps), given.turns))


def cold_start(folder: Path) -> SftConfig:
    """Traces, and a model that learned from them, as the demo makes them, of fewer problems."""
    from srpo.reflect.run import run as run_reflect
    from srpo.sft.run import run as run_sft

    reflect = settings.reflect_config(settings.sizes_for(10), TINY_BASE, 0)
    reflect = reflect.model_copy(update={"data": settings.drawn("train", NUM_PROBLEMS, seed=1000)})
    with RunDir.open(folder / "reflect", reflect, "reflect") as run:
        run_reflect(reflect, run)
    sft = settings.sft_config(TINY_BASE, [folder / "reflect"], 0)
    with RunDir.open(folder / "sft", sft, "sft") as run:
        run_sft(sft, run)
    return sft


if __name__ == "__main__":
    main()
