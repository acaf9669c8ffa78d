"""RL that is killed or stopped and goes on ends like RL that was not: metrics, traces and weights, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srpo.rl.run import run
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from tests.support.training import DyingRun, Killed, results, rl_config, warm_model


@pytest.fixture(scope="module")
def warm(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_model(tiny_checkpoint("qwen2_5_vl"), tmp_path_factory.mktemp("warm"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "loss": {"kl_coef": 0.05, "minibatches": 2, "inner_epochs": 2, "variant": "dapo"},
            "credit": "segment",
            "online_filter": "outcome",
            "max_refills": 2,
            "prompt_cache": 0,
            "picture_workers": 2,
            "eval": {"data": {"drawn": {"split": "dev", "families": ["bars"], "count": 4}}, "every": 2},
        },
        {
            "roll_ins": 0.67,
            "roll_in_buffer": 120,
            "recombine": 1.0,
            "mask_first": 0.5,
        },
        {
            "lora": {"rank": 4},
            "loss": {"kl_coef": 0.05},
            "optim": {"lr": 1e-2, "warmup_steps": 0},
            "recompute": True,
            "micro_prompts": 1,
            "micro_responses": 3,
        },
    ],
    ids=["defaults", "everything on", "given attempts", "adapters"],
)
def test_resumed_rl_equals_uninterrupted(warm: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = rl_config(warm, **changes)
    with RunDir.open(tmp_path / "whole", config, "rl") as run_dir:
        summary = run(config, run_dir)
    with DyingRun.open(tmp_path / "torn", config, "rl") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run(config, dying)
    with DyingRun.open(tmp_path / "torn", config, "rl") as stopped:
        stopped.signal_at = 3
        with pytest.raises(Stopped, match="after step 3"):
            run(config, stopped)
    with RunDir.open(tmp_path / "torn", config, "rl") as run_dir:
        checkpoint = run_dir.latest_checkpoint()
        assert checkpoint is not None
        assert checkpoint.step == 3
        resumed = run(config, run_dir)
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
    assert (resumed.steps, resumed.tokens, resumed.num_problems) == (5, summary.tokens, summary.num_problems)
    rows = list(RunDir.read(tmp_path / "whole").metrics())
    assert any(row.get("rl/grad_norm", 0) > 0 for row in rows), "nothing was learned, so nothing was compared"
    assert max(row.get("rl/sampler_mismatch/max", 0) for row in rows) < 1e-4


def test_token_budget_ends_the_run(warm: Path, tmp_path: Path) -> None:
    config = rl_config(warm, steps=None, token_budget=700)
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
        summary = run(config, run_dir)
    tokens = [row["rl/tokens"] for row in RunDir.read(tmp_path / "run").metrics()]
    assert tokens[-1] == summary.tokens >= 700
    assert all(count < 700 for count in tokens[:-1])


def test_single_attempts_are_trained_with_the_plain_reward(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    config = rl_config(
        tiny_checkpoint("qwen2_5_vl"), style="single", preset="answer", steps=1, min_format_rate=0, traces_per_step=2
    )
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
        row = run(config, run_dir).metrics
        traces = list(run_dir.traces())
    assert row["rl/first_accuracy"] == row["rl/final_accuracy"]
    assert len(traces) == 2
    assert all(found.style == "single" and found.origin.step == 1 for found in traces)


def test_a_model_without_the_format_is_refused(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    config = rl_config(tiny_checkpoint("qwen2_5_vl"), min_format_rate=0.3)
    with (
        RunDir.open(tmp_path / "run", config, "rl") as run_dir,
        pytest.raises(ValueError, match=r"format rate 0\.0% of the first rollout.*(?s:.*)srpo sft"),
    ):
        run(config, run_dir)
