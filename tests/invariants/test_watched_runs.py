"""Runs that keep their best model, wait with patience, stop for alarms and tell trackers, also after a kill."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from srpo.cli.main import main
from srpo.config.load import to_yaml
from srpo.policy.load import load_policy
from srpo.policy.prompts import saved_prompt
from srpo.rl.config import RL_MAY_CHANGE
from srpo.rl.run import run as run_rl
from srpo.runs.directory import RunDir
from srpo.sft.run import run as run_sft
from tests.support.training import (
    SOURCE,
    DyingRun,
    Killed,
    results,
    rl_config,
    sft_config,
    warm_model,
    write_traces,
)

HELD_OUT = {"data": {"drawn": {"split": "dev", "families": ["bars"], "count": 4}}, "every": 1}


@pytest.fixture(scope="module")
def warm(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_model(tiny_checkpoint("qwen2_5_vl"), tmp_path_factory.mktemp("warm"))


def test_the_best_model_of_rl_is_kept_and_a_killed_run_keeps_the_same(warm: Path, tmp_path: Path) -> None:
    config = rl_config(warm, steps=4, eval=HELD_OUT, keep_best="rl/eval/response_tokens/mean")
    with RunDir.open(tmp_path / "whole", config, "rl") as run_dir:
        best = run_rl(config, run_dir).best
        values = {row["step"]: row["rl/eval/response_tokens/mean"] for row in run_dir.metrics()}
    assert best is not None
    assert best.value == max(values.values()) == values[best.step]
    assert load_policy(best.model).name == best.model
    assert saved_prompt(best.model) is not None
    with DyingRun.open(tmp_path / "torn", config, "rl") as dying:
        dying.die_at = 3
        with pytest.raises(Killed):
            run_rl(config, dying)
    with RunDir.open(tmp_path / "torn", config, "rl") as run_dir:
        run_rl(config, run_dir)
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
    ours, theirs = (load_file(tmp_path / name / "best" / "model.safetensors") for name in ("torn", "whole"))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_patience_ends_rl_before_its_steps(warm: Path, tmp_path: Path) -> None:
    config = rl_config(warm, steps=9, keep_best="-rl/tokens", patience=2)
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
        summary = run_rl(config, run_dir)
    assert summary.steps == 3
    assert summary.ended.startswith("rl/tokens was not better than")
    assert summary.best is not None
    assert summary.best.step == 1


def test_patience_ends_a_cold_start(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    config = sft_config(tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path), keep_best="-sft/tokens", patience=1)
    with RunDir.open(tmp_path / "run", config, "sft") as run_dir:
        summary = run_sft(config, run_dir)
    assert (summary.steps, summary.best and summary.best.step) == (2, 1)


def test_an_alarm_stops_a_run_that_goes_on_without_it(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"steps": 4, "min_format_rate": 0, "max_tokens": 8}
    model = tiny_checkpoint("qwen2_5_vl")
    asked = rl_config(model, alarms={"window": 2, "stop": ["no_format"]}, **settings)
    with (
        RunDir.open(tmp_path / "run", asked, "rl") as run_dir,
        pytest.raises(
            ValueError, match="stopped after step 2, the state is saved; alarm no_format: no response of 2 steps"
        ),
    ):
        run_rl(asked, run_dir)
    deaf = rl_config(model, alarms={"window": 2}, **settings)
    with RunDir.open(tmp_path / "run", deaf, "rl", may_change=RL_MAY_CHANGE) as run_dir:
        assert run_rl(deaf, run_dir).steps == 4
        sounds = {row["step"]: row.get("rl/alarms/no_format") for row in run_dir.metrics()}
    assert sounds == {1: None, 2: 1.0, 3: 1.0, 4: 1.0}
    assert capsys.readouterr().err.count("rl: ALARM no_format") == 1


def test_tensorboard_has_the_curves_and_cards_of_a_run(warm: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = rl_config(warm, steps=2, trackers=["tensorboard"], cards_every=2, data=SOURCE)
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
        run_rl(config, run_dir)
        rows = list(run_dir.metrics())
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    curve = [(one.step, one.value) for one in found.Scalars("rl/reward/mean")]
    assert curve == [(row["step"], pytest.approx(row["rl/reward/mean"], rel=1e-6)) for row in rows]
    assert [one.step for one in found.Images("cards/0")] == [2]
    assert "cards/0/text_summary" in found.Tags()["tensors"]


def test_with_json_a_program_reads_every_step_from_stderr_and_the_result_from_stdout(
    warm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = rl_config(warm, steps=2, eval=HELD_OUT)
    file = tmp_path / "rl.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert main(["rl", str(file), "--out", str(tmp_path / "run"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["steps"] == 2
    told = [json.loads(line) for line in printed.err.splitlines() if line.startswith("{")]
    steps = [one for one in told if one["event"] == "step"]
    rows = [row for row in RunDir.read(tmp_path / "run").metrics() if "rl/groups/sampled" in row]
    assert [one["metrics"] for one in steps] == [
        {name: value for name, value in row.items() if name not in {"step", "time_s"}} for row in rows
    ]
    assert all({"encode", "sample", "grade", "learn"} == set(one["phases_s"]) for one in steps)
    assert all(one["phases_s"]["sample"] > 0 for one in steps)
    assert told[0] == {"event": "note", "text": f"{tmp_path / 'run'}: starting"}
    assert told[-1]["event"] == "progress"
