"""A stage without torch, and a process that kills it again and again.

    python -m tests.support.toy_run UNDISTURBED KILLED SEED KILLS

Runs the stage once into the directory UNDISTURBED, then below KILLED until as many SIGKILLs have fallen.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from srpo.core.records import FormatError, Grade, Origin, Problem, Record, Trace
from srpo.runs.directory import RunDir

STEPS, EVERY = 64, 4


class Config(Record):
    steps: int = STEPS
    seed: int = 5


def make_trace(step: int, sample: int, text: str) -> Trace:
    grade = Grade(verdict="incorrect", extracted=None, reason="toy")
    return Trace(
        origin=Origin(stage="rl", model="toy", step=step),
        problem=Problem(id=str(step), question="?", answer="1"),
        sample=sample,
        text=text,
        parsed=FormatError(where=0, what="toy"),
        first_grade=grade,
        final_grade=grade,
    )


def stage(path: Path) -> None:
    """Weights that depend on every random number so far."""
    config = Config()
    with RunDir.open(path, config, "toy", total_steps=STEPS) as run:
        if run.finished:
            return
        rng, weights, start = random.Random(config.seed), [0.0] * 8, 0
        if checkpoint := run.latest_checkpoint():
            start = checkpoint.step
            weights = json.loads((checkpoint.path / "weights.json").read_text())
            version, internal, gauss = checkpoint.extra["rng"]
            rng.setstate((version, tuple(internal), gauss))

        def save(directory: Path) -> None:
            # Slow on purpose, and in two files, so that kills fall into the middle of a checkpoint.
            (directory / "weights.json").write_text(json.dumps(weights))
            time.sleep(0.002)
            (directory / "more.bin").write_bytes(b"x" * 100_000)

        for step in range(start + 1, STEPS + 1):
            weights = [0.9 * weight + rng.gauss(0, 1) for weight in weights]
            run.append_traces([make_trace(step, sample, f"{rng.random()} é" * 20) for sample in range(3)])
            time.sleep(0.001)
            run.log(step, {"toy/weight/mean": sum(weights) / 8, "toy/draw/last": rng.random()})
            if step % EVERY == 0:
                run.checkpoint(step, save, {"rng": rng.getstate()})
        run.save_model(save)
        run.finish({"weights": weights})


def fork_stage(path: Path) -> int:
    child = os.fork()
    if child == 0:
        stage(path)
        os._exit(0)
    return child


def main(undisturbed: Path, killed: Path, seed: int, kills: int) -> None:
    started = time.monotonic()
    assert os.waitpid(fork_stage(undisturbed), 0)[1] == 0
    whole_s = time.monotonic() - started
    rng, done, rounds = random.Random(seed), 0, 0
    while done < kills:
        # About every second attempt gets as far as its next checkpoint, so the kills are spread over the whole run.
        path = killed / str(rounds)
        child = fork_stage(path)
        time.sleep(rng.uniform(0, 2.5 * whole_s * EVERY / STEPS))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if status == signal.SIGKILL:
            done += 1
        else:
            assert status == 0
            rounds += 1
    assert os.waitpid(fork_stage(path), 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
