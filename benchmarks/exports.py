"""Prove the exports: load each with the code of those for whom it was written, and say which of them are absent.

    python -m benchmarks.exports                                     # what this interpreter has
    python -m benchmarks.exports --python llamafactory=/envs/lf/bin/python --python easyr1=/envs/easyr1/bin/python

The consumers' requirements exclude each other, so that each may have an interpreter of its own. Exit code 1 when one of
those that are there does not take its export.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from benchmarks.export_consumers import CHECKS, MODULES
from srpo.export.run import WRITERS, export
from tests.support.export_run import make_run

HERE = Path(__file__).parent
TIMEOUT_S = 600


def check(consumer: str, python: str, out: Path) -> tuple[str, str]:
    """`ran`, `absent` or `failed`, and what the consumer says."""
    module = MODULES.get(consumer, consumer)
    found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=TIMEOUT_S, check=False)
    if found.returncode:
        return "absent", f"{module} cannot be imported"
    model = files("srpo") / "assets" / "tiny-base"
    # Nothing may come from the network, whatever a consumer would like to look up.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [python, str(HERE / "export_consumers.py"), consumer, str(out), str(model)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False)
    lines = (result.stderr if result.returncode else result.stdout).strip().splitlines()
    return ("failed" if result.returncode else "ran"), lines[-1] if lines else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="CONSUMER=PATH", help="its interpreter")
    parser.add_argument("--only", nargs="+", choices=CHECKS, help="these; what the file says of the others stays")
    arguments = parser.parse_args()
    pythons = dict(entry.split("=", 1) for entry in arguments.python)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        result = export([str(make_run(Path(folder)))], out, formats=list(WRITERS))
        print(f"exported {result.num_samples} samples with {result.num_pictures} different pictures")
        results = {name: check(name, pythons.get(name, sys.executable), out) for name in arguments.only or CHECKS}
    for name, (state, text) in results.items():
        print(f"{name:<13}{state:<8}{text}")
    file = HERE / "results" / "exports.json"
    kept = json.loads(file.read_text()) if arguments.only else {}
    file.write_text(json.dumps({**kept, **results}, indent=1) + "\n")
    return int(any(state == "failed" for state, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
