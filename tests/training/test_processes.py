"""Processes that train together: the result of one but for rounding, and bit for bit the same again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from srpo.config.load import to_yaml
from srpo.rl.config import RlConfig
from srpo.rl.run import run as run_rl
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from srpo.runs.processes import as_launched
from srpo.sft.run import run as run_sft
from tests.support.training import DyingRun, about, results, rl_config, sft_config, warm_model, write_traces

EVERYTHING = {
    "loss": {"kl_coef": 0.05, "minibatches": 2, "variant": "dapo"},
    "credit": "segment",
    "online_filter": "outcome",
    "roll_ins": 0.67,
    "roll_in_buffer": 120,
    "recombine": 1.0,
    "picture_workers": 1,
    "eval": {"data": {"drawn": {"split": "dev", "families": ["bars"], "count": 5}}, "every": 2},
    "steps": 4,
}


@pytest.fixture(scope="module")
def warm(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_model(tiny_checkpoint("qwen2_5_vl"), tmp_path_factory.mktemp("warm"))


def close(one: Path, other: Path) -> None:
    """Metrics and weights of two runs are the same but for rounding, and what was sampled is the same."""
    (rows, traces, _), (other_rows, other_traces, _) = results(one), results(other)
    for row, other_row in zip(rows, other_rows, strict=True):
        # What two programs differ in is rounding alone here, of which the largest is no mean.
        shown, other_shown = ({k: v for k, v in r.items() if "mismatch" not in k} for r in (row, other_row))
        assert shown == pytest.approx(other_shown, abs=1e-5, rel=1e-5)
    weights, other_weights = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, other_weights[name], atol=1e-5, rtol=0, msg=about(name))
    assert traces == other_traces


def test_rl_of_two_processes_is_that_of_one_and_goes_on_bit_for_bit(warm: Path, tmp_path: Path) -> None:
    for name, processes in (("one", None), ("two", 2)):
        config = rl_config(warm, processes=processes, **EVERYTHING)
        with RunDir.open(tmp_path / name, config, "rl") as run_dir:
            run_rl(config, run_dir)
    close(tmp_path / "one", tmp_path / "two")
    with DyingRun.open(tmp_path / "stopped", config, "rl") as stopped:
        stopped.signal_at = 3
        with pytest.raises(Stopped, match="after step 3"):
            run_rl(config, stopped)
    with RunDir.open(tmp_path / "stopped", config, "rl") as run_dir:
        run_rl(config, run_dir)
    assert results(tmp_path / "stopped") == results(tmp_path / "two")


def test_adapters_of_two_processes_are_those_of_one(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    base, traces = tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path)
    for name, processes in (("one", None), ("two", 2)):
        # The last batch of an epoch is one trace, of which one process has none.
        changes = {"batch_size": 5, "micro_batch_size": 2, "max_steps": 4, "lora": {"rank": 4}}
        config = sft_config(base, traces, processes=processes, **changes)
        with RunDir.open(tmp_path / name, config, "sft") as run_dir:
            run_sft(config, run_dir)
    for row, other in zip(results(tmp_path / "one")[0], results(tmp_path / "two")[0], strict=True):
        assert row == pytest.approx(other, abs=1e-5, rel=1e-5)
    weights, others = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], atol=1e-5, rtol=0, msg=about(name))


def follower_of(run: Path) -> int:
    """The process of `rank-1.log`."""
    found = [
        int(place.name)
        for place in Path("/proc").iterdir()
        if place.name.isdecimal() and str(run).encode() in _command(place) and b"srpo.runs.child" in _command(place)
    ]
    (pid,) = found
    return pid


def _command(place: Path) -> bytes:
    try:
        return (place / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_rows(run: Path, count: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def command(warm: Path, tmp_path: Path) -> list[str]:
    """A long run of two processes, into `run`."""
    config = tmp_path / "rl.yaml"
    config.write_text(to_yaml(rl_config(warm, processes=2, steps=500, checkpoint_every=500)), encoding="utf-8")
    return [sys.executable, "-m", "srpo", "rl", str(config), "--out", str(tmp_path / "run")]


def test_a_killed_process_ends_all_and_is_named(command: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(command) as lead:
        wait_for_rows(run, 1, lead)
        os.kill(follower_of(run), signal.SIGKILL)
        _, said = lead.communicate(timeout=60)
    assert lead.returncode == 2
    assert "srpo: error: process 1 of 2 ended by signal SIGKILL" in said
    assert str(run / "processes" / "rank-1.log") in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_for_others_at_the_start_can_be_stopped(warm: Path, tmp_path: Path, number: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "rl.yaml"
    config.write_text(to_yaml(rl_config(warm)), encoding="utf-8")
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "srpo", "rl", str(config), "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | place) as waiting:
        deadline = time.monotonic() + 120
        while not _listens(port):
            assert waiting.poll() is None, waiting.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        waiting.send_signal(number)
        _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 130, said
    assert "Traceback" not in said


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_ctrl_c_stops_all_and_nobody_outlives_who_leads(command: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(command) as stopped:
        wait_for_rows(run, 1, stopped)
        pid = follower_of(run)
        stopped.send_signal(signal.SIGINT)
        _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, said
    assert "srpo: stopped after step" in said
    assert not Path(f"/proc/{pid}").exists()
    (checkpoint,) = RunDir.read(run).checkpoints()
    with start(command) as lead:
        wait_for_rows(run, checkpoint.step + 1, lead)
        pid = follower_of(run)
        lead.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the follower outlived the process that leads"
        time.sleep(0.05)


def test_what_a_follower_finds_wrong_is_said_by_the_one_who_leads(warm: Path, tmp_path: Path) -> None:
    (tmp_path / "rewards_of_ours.py").write_text(
        "import os\ndef pay(case):\n    if os.environ.get('RANK') == '1':\n        raise KeyError('gone')\n"
        "    return {'all': 1.0}\n"
    )
    config = tmp_path / "rl.yaml"
    config.write_text(to_yaml(rl_config(warm, processes=2, reward="rewards_of_ours:pay")), encoding="utf-8")
    command = [sys.executable, "-m", "srpo", "rl", str(config), "--out", str(tmp_path / "run")]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    given = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=given, check=False)
    assert done.returncode == 2, done.stderr
    assert "process 1 of 2 ended with exit code 2: reward 'rewards_of_ours:pay' failed on problem" in done.stderr


def test_torchrun_starts_the_same_run(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    config, run = tmp_path / "sft.yaml", tmp_path / "launched"
    given = sft_config(tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path), max_steps=3)
    config.write_text(to_yaml(given), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "srpo", "sft", str(config), "--out", str(run)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("steps on") == 1, "one process says what came of it"
    again = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert again.returncode == 0, again.stderr
    assert "is finished already" in again.stderr
    spawned = given.model_copy(update={"processes": 2})
    with RunDir.open(tmp_path / "spawned", spawned, "sft") as run_dir:
        run_sft(spawned, run_dir)
    rows, _, weights = results(run)
    assert (rows, weights) == (results(tmp_path / "spawned")[0], results(tmp_path / "spawned")[2])
    assert RunDir.read(run).config.config["processes"] == 2


def test_what_cannot_be_together_is_refused(warm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for change, words in (
        ({"num_prompts": 3, "processes": 4}, "processes 4 is more than num_prompts 3"),
        ({"sampler": {"kind": "vllm"}, "processes": 2}, "sampler 'vllm' has processes of its own"),
        ({"engine": "verl", "processes": 2}, "an engine has processes of its own"),
    ):
        with pytest.raises(ValueError, match=words):
            rl_config(warm, **change)
    with pytest.raises(ValueError, match="processes 4 is more than batch_size 3"):
        sft_config(warm, warm, batch_size=3, processes=4)
    config = rl_config(warm, processes=2, device="cuda")
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir, pytest.raises(ValueError, match="sees no GPU"):
        run_rl(config, run_dir)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"processes: 2, but the launcher started 3 \(WORLD_SIZE\)"):
        as_launched(config)
    found: RlConfig = as_launched(rl_config(warm))
    assert found.processes == 3
    with pytest.raises(ValueError, match="processes 3 is more than num_prompts 2"):
        as_launched(rl_config(warm, num_prompts=2))
