"""Speed and memory of `srpo score`.

    .venv/bin/python benchmarks/score_speed.py [--mathvision FOLDER] [--counts 3000 12000] [--out results.json]

Speed: each recorded output of MathVision (3,040 responses) in FOLDER/recorded is scored by the command itself in a
process of its own; CPU seconds are those of the process and of the symbolic worker, imports included, because wall time
says what else the machine is doing. Memory: so many made items with reflective responses of 6 kB, without and with a
run directory; each count is one process. Exit code 1 if a file takes 20 CPU seconds or more, or if the largest count
needs more than `--factor` times the memory of the smallest.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_S = 20.0
sys.path.insert(0, str(ROOT / "src"))


def main() -> int:
    """Run one process per measurement; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mathvision", type=Path, default=ROOT.parent / "shared" / "data" / "mathvision")
    parser.add_argument("--counts", type=int, nargs="+", default=[3000, 12_000])
    parser.add_argument("--factor", type=float, default=1.4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(*arguments.child)))
        return 0
    files = sorted(arguments.mathvision.glob("recorded/*.jsonl.gz"))
    if not files:
        print(f"{arguments.mathvision}: no recorded outputs; speed is not measured", file=sys.stderr)
    speed = [in_process("speed", str(arguments.mathvision), str(file)) for file in files]
    memory = [in_process(kind, str(count)) for kind in ("plain", "run-directory") for count in arguments.counts]
    text = json.dumps({"python": sys.version.split()[0], "speed": speed, "memory": memory}, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if is_good(speed, memory, arguments.factor) else 1


def is_good(speed: list[dict[str, Any]], memory: list[dict[str, Any]], factor: float) -> bool:
    kinds = {row["kind"] for row in memory}
    peaks = {kind: [row["peak_mib"] for row in memory if row["kind"] == kind] for kind in kinds}
    flat = all(found[-1] <= factor * found[0] for found in peaks.values())
    return flat and all(row["cpu_s"] < MOST_S for row in speed)


def in_process(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--child", *words], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(found, file=sys.stderr, flush=True)
    return found


def child(kind: str, *words: str) -> dict[str, Any]:
    return measure_speed(*words) if kind == "speed" else measure_memory(kind, int(words[0]))


def measure_speed(folder: str, file: str) -> dict[str, Any]:
    began_s = time.perf_counter()
    command = ["score", "mathvision", "--data", folder, "--responses", file, "--json"]
    result = json.loads(in_silence(command))
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "file": Path(file).name,
        "responses": result["n"],
        "accuracy": round(result["accuracy"], 4),
        "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in usage), 2),
        "wall_s": round(time.perf_counter() - began_s, 2),
        "peak_mib": round(usage[0].ru_maxrss / 1024, 1),
    }


def measure_memory(kind: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "data.jsonl").open("w") as data, (folder / "responses.jsonl").open("w") as responses:
            for number in range(count):
                question = f"What is {number} + {number * 7 % 1000}? " + "The table shows what was sold. " * 10
                item = {"id": f"item-{number}", "question": question, "answer": str(number + number * 7 % 1000)}
                data.write(json.dumps(item | {"family": f"family {number % 20}", "level": number % 5}) + "\n")
                right = number + number * 7 % 1000
                responses.write(json.dumps({"id": item["id"], "response": response(right, number)}) + "\n")
        command = ["score", "custom", "--data", f"{folder}/data.jsonl", "--responses", f"{folder}/responses.jsonl"]
        command += ["--rows", f"{folder}/rows.jsonl", "--json"]
        command += ["--out", f"{folder}/run"] if kind == "run-directory" else []
        began_s = time.process_time()
        result = json.loads(in_silence(command))
        assert result["n"] == count, result["n"]
        return {
            "kind": kind,
            "items": count,
            "accuracy": result["accuracy"],
            "cpu_s": round(time.process_time() - began_s, 2),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def response(right: int, number: int) -> str:
    first = right + (number % 3 == 0)
    last = right + (number % 5 == 0)
    steps = f"The first row says {number}, and the second one has to be added to it. " * 40
    return (
        f"<think>{steps}</think><answer>{first}</answer><reflection>Row {number} was read again: {last}.</reflection>"
        f"<think>{steps}</think><answer>{last}</answer>"
    )


def in_silence(command: list[str]) -> str:
    """What a command prints."""
    import contextlib
    import io

    from srpo.cli.main import main as srpo

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = srpo(command)
    assert code == 0, code
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
