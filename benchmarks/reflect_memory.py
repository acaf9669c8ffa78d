"""Memory of `srpo reflect` against the number of problems, with generators that cost nothing.

    .venv/bin/python benchmarks/reflect_memory.py [--counts 1000 10000 100000 1000000] [--out results.json]

Each count is one process: it writes a JSONL file of sums, runs the whole stage over it (reading, batches in a window of
threads, checks, selection), and reports its peak resident memory. Exit code 1 if the largest count needs more than
`--factor` times the memory of the smallest.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from srpo.core.records import Sampling  # noqa: E402
from srpo.models.protocol import Completion, Request  # noqa: E402


def main() -> int:
    """Run one process per count; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--factor", type=float, default=1.5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.child)))
        return 0
    rows = []
    for count in arguments.counts:
        command = [sys.executable, __file__, "--child", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr, flush=True)
    text = json.dumps({"python": sys.version.split()[0], "rows": rows}, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if rows[-1]["peak_mib"] > arguments.factor * rows[0]["peak_mib"] else 0


def measure(count: int) -> dict[str, float]:
    from srpo.models.fake import FakeGenerator
    from srpo.reflect.config import ReflectConfig
    from srpo.reflect.run import run
    from srpo.runs.directory import RunDir

    class Forgetful(FakeGenerator):
        """The fake keeps its requests, which is memory of the fake's own."""

        def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
            found = super().generate(requests, sampling)
            self.requests.clear()
            return found

    def attempt(request: Request, sample: int) -> str:
        said = int(request.problem.answer) + (sample if hash_of(request) % 3 else 1)
        return f"<think>I count {said}</think><answer>{said}</answer>"

    def lesson(request: Request, _: int) -> str:
        gold = request.problem.answer
        return f"<reflection>the sum of both is {gold}</reflection><think>so {gold}</think><answer>{gold}</answer>"

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sums.jsonl")
        with path.open("w", encoding="utf-8") as file:
            for i in range(count):
                file.write(json.dumps({"id": f"p{i}", "question": f"What is {i} + {i % 7}?", "answer": str(i + i % 7)}))
                file.write("\n")
        # A window of five small batches, which the smallest count fills as well.
        server = {"model": "fake", "base_url": "http://127.0.0.1:9/v1", "concurrency": 100}
        config = ReflectConfig.model_validate(
            {
                "model": server,
                "teacher": {"model": server},
                "data": str(path),
                "batch_size": 100,
                "num_samples": 2,
                "symbolic": False,
                "caps": {"*": 10 * count},
            }
        )
        before_mib = peak_mib()
        started_s = time.monotonic()
        with RunDir.open(Path(folder, "run"), config, "reflect") as run_dir:
            result = run(config, run_dir, policy=Forgetful(attempt), teacher=Forgetful(lesson))
        seconds = time.monotonic() - started_s
    return {
        "problems": count,
        "attempts": result.attempts,
        "verified": result.verified,
        "selected": result.selected,
        "peak_mib": round(peak_mib(), 1),
        "before_mib": round(before_mib, 1),
        "seconds": round(seconds, 1),
    }


def hash_of(request: Request) -> int:
    return int(request.problem.id[1:]) * 2654435761 >> 7


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
