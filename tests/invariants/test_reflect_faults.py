"""A bad server and SIGKILLs change nothing about reflection data; `benchmarks/reflect_faults.py` does this at size."""

from pathlib import Path

from benchmarks.reflect_faults import Setting, compare


def test_faults_and_kills_change_nothing(tmp_path: Path) -> None:
    result = compare(tmp_path, Setting(problems=80, kills=3, stall_s=0.05, timeout_s=5.0))
    assert result["complaints"] == []
    assert result["kept"]
    assert result["kills"]
    assert len(result["faults"]) >= 5
