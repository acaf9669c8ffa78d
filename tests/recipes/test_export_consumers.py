"""Exports are loaded by the code of those for whom they were written, where that is installed."""

from importlib.resources import files
from pathlib import Path

import pytest

from benchmarks.export_consumers import CHECKS, MODULES
from srpo.export.run import WRITERS, export
from tests.support.export_run import make_run


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("consumer", CHECKS)
def test_the_consumer_takes_its_export(consumer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(MODULES.get(consumer, consumer))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export([str(make_run(tmp_path))], tmp_path / "out", formats=list(WRITERS))
    rows = CHECKS[consumer](tmp_path / "out", str(files("srpo") / "assets" / "tiny-base"))["rows"]
    assert rows == (6 if consumer in ("openrlhf", "swift", "easyr1", "trl-rl") else 12)  # problems, or samples
