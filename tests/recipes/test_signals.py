"""SIGTERM and SIGHUP to the real command while it does paid work: a clean end, and nothing is paid again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.fault_server import Body, FaultServer

NUM = 60
ENOUGH = 8


def judged(_body: Body, _sample: int) -> str:
    time.sleep(0.02)
    return '{"why": "equal", "verdict": "correct"}'


def command(folder: Path, server: FaultServer) -> list[str]:
    for name, key, value in (
        ("data", "answer", "half a mile"),
        ("responses", "response", "<answer>0.8 km, {}</answer>"),
    ):
        rows = [{"id": f"p{i}", "question": f"How far is {i}?", key: value.format(i)} for i in range(NUM)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judge = {"model": {"model": "judge", "base_url": server.base_url, "concurrency": 2, "patience_s": 0}}
    return [
        *(sys.executable, "-m", "srpo", "score", "custom", "--json"),
        *("--data", str(folder / "data.jsonl"), "--responses", str(folder / "responses.jsonl")),
        *("--judge", json.dumps(judge), "--out", str(folder / "run"), "--rows", str(folder / "rows.jsonl")),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_judge_was_paid_for_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    with FaultServer(judged) as server:
        run = command(tmp_path, server)
        with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as first:
            deadline = time.monotonic() + 120
            while sum(server.answered.values()) < ENOUGH:
                assert time.monotonic() < deadline
                assert first.poll() is None, first.communicate()
                time.sleep(0.01)
            first.send_signal(number)
            _, said = first.communicate(timeout=120)
        assert first.returncode == 130, said
        assert "Traceback" not in said
        assert "what is saved or paid is kept, and this goes on with it:" in said
        assert not (tmp_path / "rows.jsonl").exists()
        assert list(tmp_path.rglob(".tmp-*")) == []
        assert ENOUGH <= sum(server.answered.values()) < NUM
        again = subprocess.run(run, capture_output=True, text=True, timeout=240, check=True)
        assert json.loads(again.stdout)["accuracy"] == 1.0
        assert server.num_paid_twice == 0
        assert sum(server.answered.values()) == NUM
