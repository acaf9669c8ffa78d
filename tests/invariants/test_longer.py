"""A finished run that is given more steps goes on from its last state, and says what becomes of its learning rate."""

from collections.abc import Callable
from pathlib import Path

import pytest

from srpo.rl.config import RL_MAY_GROW
from srpo.rl.run import run as run_rl
from srpo.runs.directory import RunDir
from srpo.sft.config import SFT_MAY_GROW, SftConfig
from srpo.sft.run import run as run_sft
from tests.support.training import OPTIM, results, rl_config, sft_config, warm_model, write_traces


def work(config: SftConfig, place: Path) -> int:
    with RunDir.open(place, config, "sft", may_grow=SFT_MAY_GROW) as run_dir:
        return run_sft(config, run_dir).steps


def test_a_finished_cold_start_with_more_epochs_equals_one_run_where_the_rate_is_constant(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, traces = tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path)
    short, long = (sft_config(model, traces, epochs=epochs) for epochs in (1, 3))
    assert work(short, tmp_path / "run") == 2
    assert work(long, tmp_path / "run") == 6
    assert "the result is that of one run of 6 steps" in capsys.readouterr().err
    work(long, tmp_path / "whole")
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    assert RunDir.read(tmp_path / "run").config.config["epochs"] == 3


def test_a_cosine_is_that_of_the_new_length_from_there_on(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosine = OPTIM | {"lr": 1e-3, "schedule": "cosine", "warmup_steps": 0}
    model, traces = tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path)
    short, long = (sft_config(model, traces, max_steps=steps, optim=cosine) for steps in (2, 4))
    work(short, tmp_path / "run")
    work(long, tmp_path / "run")
    rates = [row["sft/lr"] for row in RunDir.read(tmp_path / "run").metrics()]
    assert rates == pytest.approx([1e-3, 0.5e-3, 0.5e-3, 1e-3 * (1 - 0.5**0.5) / 2])
    said = capsys.readouterr().err
    assert "the cosine was made for 2 steps and is that of 4 from here on: the rate is 0.0005 next" in said
    assert "the result is not the same" in said


def test_a_finished_rl_run_with_more_steps_equals_one_run(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    warm = warm_model(tiny_checkpoint("qwen2_5_vl"), tmp_path)
    for place, lengths in (("run", (1, 3)), ("whole", (3,))):
        for steps in lengths:
            config = rl_config(warm, steps=steps)
            with RunDir.open(tmp_path / place, config, "rl", may_grow=RL_MAY_GROW) as run_dir:
                assert run_rl(config, run_dir).steps == steps
    assert results(tmp_path / "run") == results(tmp_path / "whole")
