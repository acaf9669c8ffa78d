"""`srpo reflect` against a real server: vLLM with the shipped tiny model, on loopback, over real pictures.

Runs where SRPO_VLLM_PYTHON names a python that has vLLM (docs/vllm.md); starting the server takes a minute or two.
"""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from srpo.core.records import Trace
from srpo.runs.rejects import read_rejected

ROOT = Path(__file__).parents[2]
SERVE = ROOT / "scripts/serve_tiny.py"
MMK12 = ROOT.parent / "shared/data/mmk12"
PYTHON = os.environ.get("SRPO_VLLM_PYTHON", "")

needs_vllm = pytest.mark.skipif(not PYTHON, reason="SRPO_VLLM_PYTHON names no python with vLLM (docs/vllm.md)")
needs_pictures = pytest.mark.skipif(not MMK12.is_dir(), reason="needs the shared benchmark data beside the checkout")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address up to `/v1`; behind the tests nothing answers there any more."""
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    command = [sys.executable, str(SERVE), "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            first = serving.stdout.readline()
            assert "ready after" in first, serving.communicate()[1]
            print(first)
            yield first.split()[-1]
        finally:
            serving.terminate()
            _, errors = serving.communicate(timeout=60)
    assert serving.returncode == 130, errors
    url = urlsplit(first.split()[-1])
    with socket.socket() as probe:
        assert probe.connect_ex((str(url.hostname), int(url.port or 0))) != 0


def reflect(address: str, out: Path, *words: str | Path) -> dict[str, object]:
    """Run the command on drawn problems with the scripted teacher, unless `words` say otherwise."""
    command = [sys.executable, "-m", "srpo", "reflect", "recipes/tiny/reflect.yaml", *map(str, words)]
    command += ["--batch_size", "8", "--out", str(out), "--json"]
    environment = {**os.environ, "OPENAI_BASE_URL": address, "OMP_NUM_THREADS": "1"}
    environment.pop("OPENAI_API_KEY", None)
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, result.stderr
    print(result.stdout)
    return dict(json.loads(result.stdout))


def traces(out: Path) -> list[Trace]:
    return [Trace.model_validate_json(line) for line in (out / "traces.jsonl").read_text().splitlines()]


def accounted(out: Path) -> Counter[tuple[str, int | None]]:
    """How often each sample of each problem is in the run's files: kept, or dropped with a reason."""
    kept = traces(out)
    dropped = list(read_rejected(out))
    assert all(row.reason and row.place for row in dropped)
    return Counter((one.problem.id, one.sample) for one in kept) + Counter((row.id, row.sample) for row in dropped)


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
@needs_pictures
def test_policy_and_teacher_behind_vllm_account_for_every_real_problem(address: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("--model", "{model: tiny}", "--teacher.model", "policy", "--data", MMK12, "--limit", "24")
    found = reflect(address, out, *words, "--num_samples", "2", "--teacher.max_tokens", "96")
    ids = [json.loads(line)["id"] for line in (MMK12 / "test.jsonl").read_text().splitlines()[:24]]
    assert accounted(out) == Counter((problem, sample) for problem in ids for sample in range(2))
    assert (found["rows"], found["refused"], found["attempts"]) == (24, 0, 48)
    spend = found["spend"]
    assert isinstance(spend, list)
    # One request a problem for the policy, one for each reply of the teacher.
    assert spend[0]["requests"] == 24 + int(str(found["requests"]))
    assert spend[0]["tokens_in"] > spend[0]["tokens_out"] > 0
    assert not any("failed" in row.reason for row in read_rejected(out))


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
def test_a_policy_behind_vllm_gives_reflection_data(address: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = reflect(address, out, "--model", "{model: tiny}", "--limit", "24")
    assert set(accounted(out).values()) == {1}
    assert accounted(out).total() == found["attempts"] == 24 * 4
    assert int(str(found["selected"])) > 0


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
def test_greedy_texts_are_those_of_the_model_on_this_machine(address: str, tmp_path: Path) -> None:
    words = ("--limit", "16", "--temperature", "0", "--num_samples", "1", "--wrong_share", "null")
    served, local = tmp_path / "served", tmp_path / "local"
    reflect(address, served, "--model", "{model: tiny, image_format: png}", *words)
    reflect(address, local, "--model", "tiny-base", *words)
    # Not the whole traces: how many tokens a served text has is estimated.
    texts = [[(one.problem, one.text, one.final_grade) for one in traces(out)] for out in (served, local)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 16


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
@pytest.mark.parametrize("mode", ["adapters", "weights"])
def test_vllm_samples_what_the_trainer_would_before_and_after_its_updates(mode: str, tmp_path: Path) -> None:
    """Two starts of the server for each way of handing over: one of them is killed."""
    out = tmp_path / "found.json"
    command = [sys.executable, "benchmarks/vllm_rl.py", "--modes", mode, "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=3000)
    found = json.loads(out.read_text())[mode]
    assert found["greedy"]["equal"] == found["greedy"]["texts"] == 8
    assert all(found[f"step_{step}"]["mismatch_max_nats"] < 1e-4 for step in (1, 2))
    assert all(found[f"step_{step}"]["learned_groups"] > 0 for step in (1, 2))
    assert found["after"]["to_trainer"]["max_nats"] < 1e-4
    assert found["after"]["to_weights_before"]["max_nats"] > 1e-3
    assert found["killed"]["the_same"] == found["killed"]["responses"] == 32


def serve(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SRPO_VLLM_PYTHON"}
    command = [sys.executable, str(SERVE), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    log = str(tmp_path / "server.log")
    unset = serve()
    assert unset.returncode == 1
    assert "set SRPO_VLLM_PYTHON or give --python" in unset.stderr
    assert "cannot be run: no such program" in serve("--python", str(tmp_path / "none"), "--port", "0").stderr
    # The python of the tests has no vLLM of its own.
    without = serve("--python", sys.executable, "--port", "0", "--log", log, "--", "false")
    assert without.returncode == 1
    assert "ended with code 1 before it was ready" in without.stderr
    assert "vllm" in without.stderr.partition(log)[2]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        busy = serve("--python", sys.executable, "--port", port)
        assert f"port {port} of 127.0.0.1: Address already in use" in busy.stderr
