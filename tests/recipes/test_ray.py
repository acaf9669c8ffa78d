"""`--engine ray` on a Ray of this machine's own, models behind real HTTP: the same files as one process writes.

Runs where ray is installed, or SRPO_RAY_PYTHON names a python that has it beside srpo's packages: `make test-ray`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import BaseModel

from srpo.config.load import to_yaml
from srpo.eval.config import EvalConfig
from tests.support.fault_server import Body, Faults, FaultServer
from tests.support.served_sums import answer, config, write_problems

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SRPO_RAY_PYTHON") or (sys.executable if find_spec("ray") else "")
JOURNALS = ("traces.jsonl", "rejected.jsonl")
REFLECT_JOURNALS = (*JOURNALS, "verified.jsonl", "difficulty.jsonl", "problems.jsonl")
ON_RAY = ("--engine", "ray", "--ray.address", "local", "--ray.num_workers", "2")
PATIENCE_S = 300

pytestmark = pytest.mark.skipif(not PYTHON, reason="ray is not installed, and SRPO_RAY_PYTHON names no python with it")


def write(cfg: BaseModel, path: Path) -> Path:
    path.write_text(to_yaml(cfg), encoding="utf-8")
    return path


@contextmanager
def command(stage: str, cfg: Path, out: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a session of its own, as a shell with a terminal starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    line = [PYTHON, "-m", "srpo", stage, str(cfg), "--out", str(out), *words]
    with subprocess.Popen(
        line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        yield process


def run(stage: str, cfg: Path, out: Path, *words: str) -> tuple[int, str]:
    """Exit code and what was said."""
    with command(stage, cfg, out, *words) as process:
        said = "".join(process.communicate(timeout=PATIENCE_S))
        return process.returncode, said


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def has_received(server: FaultServer, num: int) -> bool:
    return sum(server.received.values()) >= num


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The actors below this process: Ray names them after their class."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue

    def is_below(pid: int) -> bool:
        while pid in parents and pid != process.pid:
            pid = parents[pid]
        return pid == process.pid

    return sorted(pid for pid in names if names[pid].startswith(b"ray::RelayWorker") and is_below(pid))


def contents(out: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in names}


def test_killed_workers_are_replaced_and_neither_files_nor_bill_show_it(tmp_path: Path) -> None:
    data = write_problems(tmp_path, 48)
    with FaultServer(answer) as server:
        calm = write(config(server, data), tmp_path / "calm.yaml")
        assert run("reflect", calm, tmp_path / "calm")[0] == 0
        num_requests = len(server.answered)
    faults = Faults(rate=0.1, kinds=("429", "500"), seed=1)
    with FaultServer(answer, faults=faults) as server:
        stormy = write(config(server, data), tmp_path / "stormy.yaml")
        with command("reflect", stormy, tmp_path / "stormy", *ON_RAY) as process:
            for moment in (0, num_requests // 2):
                until(partial(has_received, server, moment + 4), process)
                server.hold.clear()
                time.sleep(0.1)
                os.kill(workers_of(process)[0], signal.SIGKILL)
                server.hold.set()
            said = "".join(process.communicate(timeout=PATIENCE_S))
        assert process.returncode == 0, said
        assert said.count("srpo: a worker was lost") == 2
        assert (len(server.answered), server.num_paid_twice) == (num_requests, 0)
    names = (*REFLECT_JOURNALS, "summary.json")
    assert contents(tmp_path / "stormy", names) == contents(tmp_path / "calm", names)


def eval_answer(body: Body, sample: int) -> str:
    return answer({**body, "model": "policy"}, sample)


def evaluation(server: FaultServer, data: Path) -> EvalConfig:
    model = config(server, data).model
    settings = {"model": model, "data": str(data), "style": "single", "batch_size": 4, "symbolic": False}
    return EvalConfig.model_validate({**settings, "budget": {"pilot": 0}})


def test_ctrl_c_stops_an_evaluation_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = write_problems(tmp_path, 60)
    with FaultServer(eval_answer) as server:
        cfg = write(evaluation(server, data), tmp_path / "eval.yaml")
        assert run("eval", cfg, tmp_path / "calm")[0] == 0
    with FaultServer(eval_answer) as server:
        cfg = write(evaluation(server, data), tmp_path / "eval.yaml")
        with command("eval", cfg, tmp_path / "stopped", *ON_RAY) as process:
            until(lambda: sum(server.answered.values()) >= 8, process)
            server.hold.clear()
            workers = workers_of(process)
            os.killpg(process.pid, signal.SIGINT)
            server.hold.set()
            said = "".join(process.communicate(timeout=PATIENCE_S))
        assert process.returncode == 130, said
        assert "this goes on from there:" in said
        assert len(workers) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers), "workers end with the command"
        code, said = run("eval", cfg, tmp_path / "stopped", *ON_RAY)
        assert code == 0, said
        assert server.num_paid_twice == 0
    assert contents(tmp_path / "stopped", JOURNALS) == contents(tmp_path / "calm", JOURNALS)
    stopped, calm = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("stopped", "calm"))
    for summary in (stopped, calm):
        summary["stages"][0].pop("seconds")
    assert stopped == calm


def test_a_refused_account_stops_all_workers_and_money_ends_the_run(tmp_path: Path) -> None:
    data = write_problems(tmp_path, 24)
    with FaultServer(answer, breaks=(20, "echo-key")) as server:
        cfg = write(config(server, data), tmp_path / "reflect.yaml")
        code, said = run("reflect", cfg, tmp_path / "run", *ON_RAY)
        assert code == 2, said
        assert "HTTP 401" in said
        assert "the same command goes on" in said
        received = sum(server.received.values())
        assert received <= 20 + 2 * 32, "what was under way, and nothing after it"
        server.breaks = None
        poor = write(config(server, data, budget={"pilot": 0, "max_usd": 0.008}), tmp_path / "poor.yaml")
        code, said = run("reflect", poor, tmp_path / "run", *ON_RAY)
        assert code == 130, said
        assert "at budget.max_usd" in said
        code, said = run("reflect", cfg, tmp_path / "run", "--engine", "local")
        assert code == 0, said
        assert server.num_paid_twice == 0


def test_a_checkpoint_is_refused_before_anything_starts(tmp_path: Path) -> None:
    data = write_problems(tmp_path, 2)
    words = ["--model", "src/srpo/assets/tiny-base", "--teacher", "policy", "--data", str(data)]
    cfg = tmp_path / "empty.yaml"
    cfg.write_text("{}\n")
    code, said = run("reflect", cfg, tmp_path / "run", *words, *ON_RAY)
    assert code == 2
    assert "engine ray: 'src/srpo/assets/tiny-base' is a checkpoint" in said
