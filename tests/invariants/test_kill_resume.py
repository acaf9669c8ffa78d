"""A run that is killed anywhere and started again ends like one that was not (docs/design.md#traps).

The stage here is a toy without torch, so that twenty kills take seconds; `benchmarks/kill_resume.py` does the same to
real stages. The kills are real SIGKILLs of real processes: a small parent forks the stage, sleeps, kills, forks again.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def without_time(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({name: value for name, value in row.items() if name != "time_s"}) for row in rows]


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.toy_run", str(undisturbed), str(killed), "0", "20"],
        cwd=ROOT,
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
