"""Runs on an engine from the command line: started, followed, stopped, gone on with; a program stands for verl."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from srpo.policy.load import load_outline
from srpo.report import write_report
from srpo.runs.reader import RunReader, read_run_config
from srpo.sft.batches import plan_sft
from srpo.sft.config import SftConfig
from tests.support.training import write_traces

ROOT = Path(__file__).parents[2]
STEPS = 4


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """An interpreter that runs the toy, whatever module it is told to run."""
    file = tmp_path / "python"
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/support/toy_verl.py" "$@"\n')
    file.chmod(0o755)
    return file


def command(toy: Path, out: Path, *more: str) -> list[str]:
    words = ["rl", "--model", "tiny-base", "--data.drawn.count", "8", "--prompt", "bare"]
    words += ["--engine", "verl", "--engine.gpus", "1", "--engine.python", str(toy), "--steps", str(STEPS)]
    words += ["--num_prompts", "2", "--group_size", "4", "--max_tokens", "64", "--checkpoint_every", "2"]
    return [sys.executable, "-m", "srpo", *words, "--out", str(out), *more]


def srpo(toy: Path, out: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(toy, out, *more),
        env={**os.environ, **variables, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def reader(out: Path) -> RunReader:
    return RunReader(out, read_run_config(out))


def reported(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a report of the run says of its traces and of what it took."""
    page = write_report([out], out.parent / "page.html")
    assert "<article" in page.read_text(encoding="utf-8")
    found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    return found["runs"][0], found["spent"][0]


def stopped_after_two_steps(command: list[str], out: Path) -> str:
    """What a run said that Ctrl-C reached behind its second step."""
    slow = {**os.environ, "TOY_STEP_S": "1.5", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=slow, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 200
        while not (out / "checkpoints/step-000002").is_dir():
            assert time.monotonic() < deadline
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=100)
    assert running.returncode == 130, said
    return said


def test_a_run_ends_as_a_local_one_does(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = srpo(toy, out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["steps"], summary["num_problems"], summary["metrics"]["rl/loss"]) == (STEPS, 8, 0.4)
    run = reader(out)
    rows = list(run.metrics())
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["rl/tokens"] == summary["tokens"] > rows[0]["rl/tokens"] > 0
    assert rows[0]["rl/final_accuracy"] == 0.5
    assert [trace.origin.step for trace in run.traces()] == [1, 1, 2, 2, 3, 3, 4, 4]
    run_info, spent = reported(out)
    assert (run_info["num_traces"], run_info["num_steps"]) == (8, STEPS)
    assert (spent["is_finished"], spent["tokens"]) == (True, summary["tokens"])
    assert (out / "model").is_symlink()
    assert (out / "model" / "srpo_prompt.json").is_file()
    assert "max_refills 1: verl draws until" in done.stderr
    assert not list((out / "engine/python/srpo").rglob("*.safetensors"))
    again = srpo(toy, out)
    assert (again.returncode, "is finished already" in again.stderr) == (0, True)
    longer = srpo(toy, out, "--steps", "6")
    assert longer.returncode == 0, longer.stderr
    assert [row["step"] for row in reader(out).metrics()] == [1, 2, 3, 4, 5, 6]
    assert (out / "model").resolve().parts[-3] == "global_step_6"


def test_ctrl_c_ends_it_and_the_same_command_goes_on(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = stopped_after_two_steps(command(toy, out), out)
    assert "verl goes on from step 2; this goes on from there" in said.replace("\n", " ")
    log = next(out.glob("engine/launch-001/metrics.jsonl"))
    written = log.read_text()
    time.sleep(2)
    assert log.read_text() == written  # nothing of it is at work any more
    assert not reported(out)[1]["is_finished"]
    done = srpo(toy, out)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in reader(out).metrics()] == [1, 2, 3, 4]
    assert [trace.origin.step for trace in reader(out).traces()] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert json.loads((out / "engine/launch-002/after.json").read_text()) == {"step": 2}


def test_a_policy_without_the_format_ends_it_after_the_first_step(toy: Path, tmp_path: Path) -> None:
    done = srpo(toy, tmp_path / "run", TOY_TEXT="I think it is seven.", TOY_STEP_S="0.5")
    assert done.returncode == 2
    assert "format rate 0.0% of the first rollout (8 responses) is below min_format_rate 30.0%" in done.stderr
    assert not (tmp_path / "run/summary.json").exists()


def test_what_verl_says_when_it_fails_is_told(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = srpo(toy, out, TOY_FAILS_AT="3")
    assert done.returncode == 2
    assert "verl ended with code 1; the same command goes on from its last checkpoint" in done.stderr
    assert "RuntimeError: CUDA out of memory, says the toy" in done.stderr
    assert [row["step"] for row in reader(out).metrics()] == [1, 2]
    assert srpo(toy, out).returncode == 0
    assert [row["step"] for row in reader(out).metrics()] == [1, 2, 3, 4]


def test_a_reward_of_ones_own_goes_along(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "rewards").mkdir()
    code = (
        "def shorter(case):\n    return {'right': float(case.final.is_correct), 'short': 1 / (1 + case.tokens.total)}\n"
    )
    (tmp_path / "rewards/short_rewards.py").write_text(code)
    out, mine = tmp_path / "run", ["--reward", "short_rewards:shorter", "--weights.short", "0.5"]
    done = srpo(toy, out, *mine, PYTHONPATH=f"{ROOT / 'src'}:{tmp_path / 'rewards'}")
    assert done.returncode == 0, done.stderr
    assert (out / "engine/python/short_rewards.py").read_text() == code
    rewards = [trace.reward for trace in reader(out).traces() if trace.reward is not None]
    assert {term.name for reward in rewards for term in reward.terms} == {"right", "short"}
    missing = srpo(toy, tmp_path / "other", "--reward", "no_such_rewards:shorter")
    assert missing.returncode == 2
    assert "reward 'no_such_rewards:shorter' cannot be loaded" in missing.stderr
    assert not (tmp_path / "other/engine/data").exists()


def test_what_cannot_be_had_is_refused_before_anything_is_written(toy: Path, tmp_path: Path) -> None:
    done = srpo(toy, tmp_path / "run", "--keep_best", "rl/reward/mean", "--roll_ins", "0.5")
    assert done.returncode == 2
    assert "keep_best: verl writes models at its checkpoints alone" in done.stderr
    assert "roll_ins 0.5: verl learns whole responses" in done.stderr
    assert not (tmp_path / "run/engine").exists()
    missing = srpo(Path("/no/such/python"), tmp_path / "other")
    assert "engine.python '/no/such/python' cannot be run" in missing.stderr


def test_a_dry_run_tells_everything_without_verl(tmp_path: Path) -> None:
    words = command(Path("unused"), tmp_path / "run", "--dry_run")
    place = words.index("--engine.python")
    words = words[:place] + words[place + 2 :]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "SRPO_VERL_PYTHON": ""}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "on verl 0.9.1: 1 x 1 GPUs, 8 rows, longest prompt" in done.stdout
    assert "otherwise than here: max_refills 1" in done.stdout
    assert "algorithm.adv_estimator='srpo_total'" in done.stdout
    assert "memory of each GPU, an estimate: 0.00 billion weights" in done.stdout
    assert "not put together: there is no verl on this machine" in done.stdout
    assert not (tmp_path / "run").exists()


def sft_command(toy: Path, out: Path, traces: Path, *more: str) -> list[str]:
    words = ["sft", "--model", "tiny-base", "--traces", str(traces), "--prompt", "bare", "--batch_size", "8"]
    words += ["--engine", "verl", "--engine.gpus", "1", "--engine.python", str(toy), "--epochs", "3"]
    return [sys.executable, "-m", "srpo", *words, "--checkpoint_every", "2", "--out", str(out), *more]


def test_a_cold_start_fails_and_goes_on_and_ends_as_a_local_one_does(toy: Path, tmp_path: Path) -> None:
    out, traces = tmp_path / "run", write_traces(tmp_path)
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*sft_command(toy, out, traces), "--json"]
    failed = subprocess.run(
        command, env={**variables, "TOY_FAILS_AT": "6"}, capture_output=True, text=True, check=False, timeout=300
    )
    assert failed.returncode == 2
    assert "verl ended with code 1; the same command goes on from its last checkpoint" in failed.stderr
    assert "RuntimeError: CUDA out of memory, says the toy" in failed.stderr
    assert (out / "checkpoints/step-000004").is_dir()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    summary, rows = json.loads(done.stdout), list(reader(out).metrics())
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["sft/epoch"] for row in rows] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert rows[-1]["sft/loss"] == pytest.approx(1 / 6)
    assert rows[-1]["verl/tokens"] == 320
    assert json.loads((out / "engine/launch-002/after.json").read_text()) == {"step": 4}
    assert (summary["steps"], summary["num_examples"], summary["tokens"]) == (6, 16, rows[-1]["sft/tokens"])
    local = SftConfig.model_validate({"model": "tiny-base", "traces": [str(traces)], "prompt": "bare"})
    learned = [one.num_loss_tokens for one in plan_sft(local, load_outline("tiny-base")).examples.kept]
    assert summary["tokens"] == 3 * sum(learned)
    assert (out / "model").resolve().parts[-2:] == ("global_step_6", "huggingface")
    assert (out / "model/srpo_prompt.json").is_file()


def test_ctrl_c_ends_a_cold_start_and_the_same_command_goes_on(toy: Path, tmp_path: Path) -> None:
    out, traces = tmp_path / "run", write_traces(tmp_path)
    command = sft_command(toy, out, traces)
    stopped_after_two_steps(command, out)
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in reader(out).metrics()] == [1, 2, 3, 4, 5, 6]
