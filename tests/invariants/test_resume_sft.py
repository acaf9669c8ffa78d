"""SFT that is killed or stopped and started again ends like SFT that was not: metrics and weights, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from srpo.sft.run import run
from tests.support.training import DyingRun, Killed, results, sft_config, write_traces


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resumed_sft_equals_uninterrupted(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, optimizer: str
) -> None:
    config = sft_config(
        tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path), optim={"name": optimizer, "lr": 1e-3, "warmup_steps": 2}
    )
    with RunDir.open(tmp_path / "whole", config, "sft") as run_dir:
        summary = run(config, run_dir)
        assert run(config, run_dir) == summary, "a finished run is not run again"
    with DyingRun.open(tmp_path / "torn", config, "sft") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run(config, dying)
    with DyingRun.open(tmp_path / "torn", config, "sft") as stopped:
        stopped.signal_at = 5
        assert [row["step"] for row in stopped.metrics()] == [1, 2], "what came after the checkpoint is cut off"
        with pytest.raises(Stopped, match="after step 5 of 6"):
            run(config, stopped)
    with RunDir.open(tmp_path / "torn", config, "sft") as run_dir:
        resumed = run(config, run_dir)
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
    assert (resumed.steps, resumed.tokens) == (summary.steps, summary.tokens)


def test_changed_traces_are_noticed(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    traces = write_traces(tmp_path)
    config = sft_config(tiny_checkpoint("qwen2_5_vl"), traces)
    with DyingRun.open(tmp_path / "run", config, "sft") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run(config, dying)
    traces.write_text("".join(traces.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    with (
        RunDir.open(tmp_path / "run", config, "sft") as run_dir,
        pytest.raises(ValueError, match="not those that this"),
    ):
        run(config, run_dir)
