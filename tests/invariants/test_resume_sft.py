"""SFT that is killed or stopped and started again ends like SFT that was not: metrics and weights, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from srpo.policy.load import load_policy, save_policy
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from srpo.sft.run import run
from tests.support.training import DyingRun, Killed, results, sft_config, write_traces


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 4}}, {"dtype": "bfloat16"}], ids=["all", "lora", "bfloat16"])
def test_resumed_sft_equals_uninterrupted(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, optimizer: str, changes: dict[str, object]
) -> None:
    config = sft_config(
        tiny_checkpoint("qwen2_5_vl"),
        write_traces(tmp_path),
        optim={"name": optimizer, "lr": 1e-3, "warmup_steps": 2},
        **changes,
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


def test_a_base_on_disk_in_bfloat16_is_trained_and_resumed_in_float32(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), dtype="bfloat16")
    policy.saved_dtype = torch.bfloat16
    save_policy(policy, tmp_path / "base")
    config = sft_config(tmp_path / "base", write_traces(tmp_path))
    with RunDir.open(tmp_path / "whole", config, "sft") as run_dir:
        run(config, run_dir)
    with DyingRun.open(tmp_path / "torn", config, "sft") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run(config, dying)
    with RunDir.open(tmp_path / "torn", config, "sft") as run_dir:
        run(config, run_dir)
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
    weights = load_file(tmp_path / "torn" / "model" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_adapters_alone_are_in_a_checkpoint_and_merged_in_the_model(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_checkpoint("qwen2_5_vl")
    config = sft_config(base, write_traces(tmp_path), lora={"rank": 4})
    with RunDir.open(tmp_path / "run", config, "sft") as run_dir:
        run(config, run_dir)
        checkpoint = run_dir.latest_checkpoint()
    assert checkpoint is not None
    assert not list(checkpoint.path.glob("model*.safetensors"))
    assert (checkpoint.path / "adapter" / "adapter_model.safetensors").is_file()
    before, after = (load_file(place / "model.safetensors") for place in (base, tmp_path / "run" / "model"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".layers." in name and name.endswith("_proj.weight") for name in moved)


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
