"""The vLLM sampler against a stand-in that speaks the same protocol, with a real tiny policy in it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from srpo.core.records import Sampling
from srpo.core.rewards import RewardCase
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder
from srpo.rl.config import RlConfig
from srpo.rl.run import run as train
from srpo.rl.sampler import LocalSampler, Start
from srpo.rl.vllm import handover
from srpo.rl.vllm.config import SamplerConfig
from srpo.rl.vllm.sampler import HandoverError, VllmSampler
from srpo.rl.vllm.server import Server, ServerError
from srpo.rl.vllm.wire import AnswerError
from srpo.runs.directory import RunDir
from tests.support.training import DyingRun, Killed, problems, results, rl_config
from tests.support.vllm_server import DIES_AT, Faults, VllmStandIn, as_vllm_module

SAMPLING = Sampling(temperature=1.0, max_tokens=12, seed=5)
LORA = {"rank": 2, "seed": 1}
ADAPTERS: dict[str, Any] = {"lora": LORA}
WEIGHTS: dict[str, Any] = {}
WAYS = pytest.mark.parametrize("changes", [ADAPTERS, WEIGHTS], ids=["adapters", "weights"])


@pytest.fixture
def checkpoint(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("qwen2_5_vl")


@contextmanager
def following(checkpoint: Path, run: Path, server: VllmStandIn, **changes: Any) -> Iterator[tuple[Policy, VllmSampler]]:
    config = rl_config(checkpoint, **changes)
    policy = load_policy(checkpoint, lora=config.lora)
    settings = SamplerConfig(kind="vllm", base_url=server.base_url, patience_s=0.0, handover_dir=str(run))
    sampler = VllmSampler(settings, policy, base=str(checkpoint), max_pixels=None, run=run)
    try:
        yield policy, sampler
    finally:
        sampler.close()


def starts(policy: Policy) -> list[Start]:
    drawn = problems()[:2]
    encoder = PromptEncoder(policy, "bare", size=8, max_pixels=None)
    return [Start(*one) for one in zip(drawn, encoder.encode_all(drawn), strict=True)]


def move(policy: Policy, size: float = 0.1) -> None:
    """As an optimizer step might."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.requires_grad:
                weight.add_(size * torch.randn(weight.shape, generator=generator))


def greedy(sampler: VllmSampler | LocalSampler, policy: Policy) -> list[tuple[int, ...]]:
    sampling = Sampling(temperature=0, max_tokens=12)
    return [one.token_ids for group in sampler.sample(starts(policy), 1, sampling) for one in group]


@WAYS
def test_the_server_answers_as_the_policy_before_and_after_it_moved(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server, **changes) as (policy, served):
        before = greedy(served, policy)
        assert before == greedy(LocalSampler(policy), policy)
        move(policy)
        served.weights_moved()
        after = greedy(served, policy)
        assert after == greedy(LocalSampler(policy), policy) != before
        # One hand-over at a time is kept, and none is left behind.
        assert len(list(tmp_path.glob("srpo-handover-*/*"))) == 1
    assert not list(tmp_path.glob("srpo-handover-*"))


def test_adapters_need_no_development_mode(checkpoint: Path, tmp_path: Path) -> None:
    with (
        VllmStandIn(str(checkpoint)) as server,
        following(checkpoint, tmp_path, server, **ADAPTERS) as (policy, served),
    ):
        greedy(served, policy)
        assert {path for path, _ in server.received} == {"/inference/v1/generate", "/v1/load_lora_adapter"}


def test_weights_go_over_with_all_caches_emptied(checkpoint: Path, tmp_path: Path) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server) as (policy, served):
        greedy(served, policy)
        caches = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")
        assert [path for path, _ in server.received][:5] == ["/collective_rpc", *caches, "/update_weight_version"]


def test_every_request_has_a_seed_of_its_own_and_the_same_place_the_same(checkpoint: Path, tmp_path: Path) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server) as (policy, served):
        first = served.sample(starts(policy), 3, SAMPLING)
        again = served.sample(starts(policy), 3, SAMPLING)
        served.sample(starts(policy), 3, SAMPLING.model_copy(update={"seed": 6}))
        bodies = [body["sampling_params"] for _, body in server.received if "seed" in body.get("sampling_params", {})]
    assert first == again
    seeds = [settings["seed"] for settings in bodies]
    assert len(set(seeds)) == 4
    assert sorted(seeds[:2]) == sorted(seeds[2:4])
    assert all(settings["n"] == 3 for settings in bodies)


def test_given_tokens_begin_a_completion_and_count_in_its_length(checkpoint: Path, tmp_path: Path) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server) as (policy, served):
        given = tuple(policy.encode_text("5+3")[:-1])
        (start, _) = starts(policy)
        ((one,),) = served.sample([start._replace(given=given)], 1, SAMPLING)
        assert one.token_ids[: len(given)] == given
        assert len(given) < len(one.token_ids) <= SAMPLING.max_tokens
        assert one.logprobs[: len(given)] == (0.0,) * len(given)
        with pytest.raises(ValueError, match="leave no room within max_tokens 12"):
            served.sample([start._replace(given=given * 12)], 1, SAMPLING)


@WAYS
def test_a_handover_that_did_nothing_ends_the_run(checkpoint: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server, **changes) as (policy, served):
        greedy(served, policy)
        server.faults.ignores_handovers = True
        move(policy)
        served.weights_moved()
        with pytest.raises(HandoverError, match=r"hand-over 'srpo-\w+-2' did nothing: the log-probabilities"):
            greedy(served, policy)


@WAYS
def test_a_server_that_was_started_anew_gets_the_weights_again(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server, **changes) as (policy, served):
        move(policy)
        expected = greedy(served, policy)
        server.faults.forgets_at = server.num_generated + 1
        assert greedy(served, policy) == expected == greedy(LocalSampler(policy), policy)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(adds_to_prompt=True), "read another prompt than the trainer: .* the first other one at place 1"),
        (Faults(drops_pictures=True), "saw 0 pictures in place of 1"),
        (Faults(draws=0), "which no completion may hold"),
    ],
)
def test_answers_to_something_else_are_refused(checkpoint: Path, tmp_path: Path, faults: Faults, message: str) -> None:
    with VllmStandIn(str(checkpoint)) as server, following(checkpoint, tmp_path, server) as (policy, served):
        server.faults = faults
        if faults.draws == 0:
            faults.draws = policy.banned_ids[0]
        with pytest.raises(AnswerError, match=message):
            served.sample(starts(policy), 1, SAMPLING)


def varied(case: RewardCase) -> dict[str, float]:
    """A reward of which an untrained model's responses get different ones."""
    return {"varied": sum(map(ord, case.text)) % 7 / 7}


def rl(checkpoint: Path, sampler: dict[str, Any], **changes: Any) -> RlConfig:
    settings: dict[str, Any] = {"steps": 2, "max_tokens": 8, "min_format_rate": 0.0, "group_size": 2, "lora": LORA}
    settings["reward"] = f"{__name__}:varied"
    return rl_config(checkpoint, sampler={"kind": "vllm", "patience_s": 0.0, **sampler}, **{**settings, **changes})


def test_a_run_samples_with_the_server_and_its_metrics_say_how_far_apart_they_are(
    checkpoint: Path, tmp_path: Path
) -> None:
    with VllmStandIn(str(checkpoint)) as server:
        config = rl(
            checkpoint, {"base_url": server.base_url}, loss={"minibatches": 2}, eval={"data": config_data(), "every": 2}
        )
        with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
            train(config, run_dir)
        handovers = [body["lora_name"] for path, body in server.received if path == "/v1/load_lora_adapter"]
    rows, _, _ = results(tmp_path / "run")
    learned = [row for row in rows if "rl/sampler_mismatch" in row]
    assert learned
    # Two updates per rollout: measured against the sampler all the same, and float32 agrees.
    assert all(0 <= row["rl/sampler_mismatch"] < 1e-4 for row in learned)
    assert all(row["rl/importance/mean"] == pytest.approx(1, abs=1e-3) for row in learned)
    # Before step 1, after each step that learned; none for steps that moved nothing.
    assert len(handovers) == len(set(handovers)) == 1 + len(learned)


def test_a_run_that_died_goes_on_to_the_same_end(checkpoint: Path, tmp_path: Path) -> None:
    with VllmStandIn(str(checkpoint)) as server:
        config = rl(checkpoint, {"base_url": server.base_url}, steps=4, checkpoint_every=2)
        with RunDir.open(tmp_path / "whole", config, "rl") as run_dir:
            train(config, run_dir)
        with DyingRun.open(tmp_path / "run", config, "rl") as dying:
            dying.die_at = 3
            with pytest.raises(Killed):
                train(config, dying)
        # Another process: the server is as it was before the run.
        server.faults.forgets_at = server.num_generated + 1
        with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
            train(config, run_dir)
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def config_data() -> dict[str, Any]:
    return {"drawn": {"families": ["bars"], "levels": [1], "count": 2, "seed": 9}}


def test_a_mismatch_above_what_the_config_names_ends_the_run(checkpoint: Path, tmp_path: Path) -> None:
    with VllmStandIn(str(checkpoint), Faults(shift=0.2)) as server:
        config = rl(checkpoint, {"base_url": server.base_url})
        with (
            RunDir.open(tmp_path / "run", config, "rl") as run_dir,
            pytest.raises(
                ValueError, match=r"differ from the trainer's by 0\.2 nats a token, above sampler.max_mismatch"
            ),
        ):
            train(config, run_dir)


def test_a_server_of_our_own_that_is_killed_in_a_step_is_started_again_and_ends_with_the_run(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = as_vllm_module(tmp_path / "module") | {DIES_AT: f"3:{tmp_path / 'died'}"}
    config = rl(checkpoint, {"python": sys.executable, "environment": environment}, steps=1)
    with RunDir.open(tmp_path / "killed", config, "rl") as run_dir:
        train(config, run_dir)
    said = capfd.readouterr().err
    assert said.count("starting vLLM") == 2
    assert "it is started again, and the step asked again" in said
    with VllmStandIn(str(checkpoint)) as server:
        config = rl(checkpoint, {"base_url": server.base_url}, steps=1)
        with RunDir.open(tmp_path / "calm", config, "rl") as run_dir:
            train(config, run_dir)
    assert results(tmp_path / "killed")[0] == results(tmp_path / "calm")[0]
    log = (tmp_path / "killed" / "vllm.log").read_text()
    assert "--enable-lora --max-loras 1 --max-lora-rank 8" in log
    assert not is_open(log)


def is_open(log: str) -> bool:
    """Whether something still listens at a port that the log names."""
    ports = [line.rpartition("--port ")[2].split()[0] for line in log.splitlines() if "--port" in line]
    found = subprocess.run(["ss", "-ltn"], capture_output=True, text=True, check=False).stdout
    return any(f":{port} " in found for port in ports)


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    module = tmp_path / "vllm" / "entrypoints" / "openai"
    module.mkdir(parents=True)
    (module / "api_server.py").write_text(
        "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n", encoding="utf-8"
    )
    log = tmp_path / "log"
    program = (
        "import sys; from pathlib import Path; from srpo.rl.vllm.server import Server; "
        f"Server(sys.executable, 'm', name='p', log=Path({str(log)!r}), start_s=600, "
        f"environment={{'PYTHONPATH': {str(tmp_path)!r}}}).start()"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as starter:
        pid = int(until(lambda: log.exists() and log.read_text().partition("pid ")[2].strip()))
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    assert until(lambda: not Path(f"/proc/{pid}").exists())


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    def start(python: str) -> None:
        Server(python, "m", name="p", log=tmp_path / "log", start_s=60).start()

    with pytest.raises(ServerError, match="cannot be run: no such program"):
        start(str(tmp_path / "none"))
    # The python of the tests has no vLLM of its own.
    with pytest.raises(ServerError, match=r"ended with code 1 before it was ready; (.|\n)*vllm"):
        start(sys.executable)


def test_weights_go_to_this_machine_alone_and_adapters_to_any(checkpoint: Path, tmp_path: Path) -> None:
    settings = SamplerConfig(kind="vllm", base_url="http://other.example:8000/v1")

    def follow(**changes: Any) -> VllmSampler:
        policy = load_policy(checkpoint, **changes)
        return VllmSampler(settings, policy, base=str(checkpoint), max_pixels=None, run=tmp_path)

    with pytest.raises(ValueError, match="is another machine, which takes adapters alone"):
        follow()
    follow(lora=rl_config(checkpoint, lora=LORA).lora).close()


def test_what_vllm_cannot_serve_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    policy = load_policy(checkpoint, lora=rl_config(checkpoint, lora=LORA).lora)
    handover.write_adapter(policy, tmp_path / "adapter")
    with pytest.raises(ValueError, match="holds adapters, which vLLM does not merge"):
        handover.served_model(str(tmp_path / "adapter"))
    assert (handover.room_for(2), handover.room_for(9), handover.room_for(512)) == (8, 16, 512)
    with pytest.raises(ValueError, match=r"lora.rank 513 is more than vLLM takes \(512\)"):
        handover.room_for(513)
    assert handover.handover_folder(str(tmp_path), tmp_path).stat().st_mode & 0o777 == 0o700
