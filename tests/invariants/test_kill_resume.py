"""A run that is killed anywhere and started again ends like one that was not (docs/design.md#traps).

The stage here is a toy without torch, so that twenty kills take seconds; `benchmarks/kill_resume.py` does the same to
real stages. The kills are real SIGKILLs of real processes: a small parent forks the stage, sleeps, kills, forks again.
"""

import json
import subprocess
import sys
from pathlib import Path

TOY = '''
import json, os, random, signal, sys, time
from pathlib import Path

from srpo.core.records import FormatError, Grade, Origin, Problem, Record, Trace
from srpo.runs.directory import RunDir

STEPS, EVERY = 64, 4


class Config(Record):
    steps: int = STEPS
    seed: int = 5


def trace(step, sample, text):
    grade = Grade(verdict="incorrect", extracted=None, reason="toy")
    return Trace(
        origin=Origin(stage="rl", model="toy", step=step), problem=Problem(id=str(step), question="?", answer="1"),
        sample=sample, text=text, parsed=FormatError(where=0, what="toy"), first_grade=grade, final_grade=grade,
    )


def stage(path):
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

        def save(directory):
            # Slow on purpose, and in two files, so that kills fall into the middle of a checkpoint.
            (directory / "weights.json").write_text(json.dumps(weights))
            time.sleep(0.002)
            (directory / "more.bin").write_bytes(b"x" * 100_000)

        for step in range(start + 1, STEPS + 1):
            weights = [0.9 * weight + rng.gauss(0, 1) for weight in weights]
            run.append_traces([trace(step, sample, f"{rng.random()} é" * 20) for sample in range(3)])
            time.sleep(0.001)
            run.log(step, {"toy/weight/mean": sum(weights) / 8, "toy/draw/last": rng.random()})
            if step % EVERY == 0:
                run.checkpoint(step, save, {"rng": rng.getstate()})
        run.save_model(save)
        run.finish({"weights": weights})


def fork_stage(path):
    child = os.fork()
    if child == 0:
        stage(path)
        os._exit(0)
    return child


def main(undisturbed, killed, seed, kills):
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


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
'''


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def without_time(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({name: value for name, value in row.items() if name != "time_s"}) for row in rows]


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    result = subprocess.run(
        [sys.executable, "-c", TOY, str(undisturbed), str(killed), "0", "20"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # A run that ended before its kill counts as well; twenty kills fell all the same.
    for run in killed.iterdir():
        for name in ("traces.jsonl", "summary.json", "model/weights.json", "model/more.bin"):
            assert (run / name).read_bytes() == (undisturbed / name).read_bytes(), name
        assert without_time(run / "metrics.jsonl") == without_time(undisturbed / "metrics.jsonl")
        assert files_in(run) == files_in(undisturbed)
