"""Memory and tokens per second of vision tower, sampling and learning at the published 3B and 7B shapes, on one GPU.

    python -m benchmarks.gpu.run                               # a GPU, no network: random weights; under 8 minutes
    python -m benchmarks.gpu.run --device cpu --tiny --out x   # proves the script on any machine

NEVER RUN ON CUDA: only the second form has run. The first session with a GPU commits what the first form writes.

What stands beside ours is what trainers do without a server: `generate` of transformers with prompt and picture once
per response (TRL's sampler when vLLM is off), and one full forward pass per response in learning (TRL with one row per
pass). Both get the same adapters, the same recomputation of layers and the same numbers of tokens. `step` is a whole
step, all prompts sampled and learned from; where trl can be imported, TRL's own trainer does the same in `step/trl`.
`planned_bytes` is what the memory plan says of the row's work, and `plan_error` how far it is from the peak; the peers
have no plan, and a CPU no peak.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from benchmarks.gpu.planned import planned_bytes
from benchmarks.gpu.shapes import QWEN_IDS, Size, image_settings, random_model, shape_config
from benchmarks.gpu.trl_step import trl_step
from srpo.core.records import Sampling
from srpo.policy import prefix
from srpo.policy.config import LoraConfig, OptimConfig
from srpo.policy.decode import sample
from srpo.policy.limits import free_bytes
from srpo.policy.load import shipped_base
from srpo.policy.lora import add_adapters
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.prefix import batch_prompts, plain_logprobs
from srpo.policy.processor import EncodedPrompt, load_processor, make_processor
from srpo.policy.recompute import logprobs_in_pieces, recompute_layers
from srpo.policy.vision import see
from tests.support.pictures import picture


class Load(NamedTuple):
    """How much is asked for."""

    pixels: tuple[int, int]
    num_prompts: int
    group: int
    tokens: int
    """Of a sampled response."""
    learned_tokens: int
    """Of a response that is learned from."""


GPU = Load((1200, 900), 4, 8, 128, 512)
TINY = Load((112, 84), 2, 4, 8, 16)
QUESTION = "3+4="


def load_random(size: Size, device: str, dtype: torch.dtype) -> Policy:
    """A policy of this size: a tokenizer of few words, whose other ids are banned, and all of the vocabulary's rows."""
    tokenizer = load_processor(shipped_base()).tokenizer
    vocabulary = tokenizer.get_vocab()
    ids = {token: vocabulary.get(token, number) for token, number in QWEN_IDS.items()}
    model = random_model(shape_config(size, ids=ids), device=device, dtype=dtype).eval()
    add_adapters(model, LoraConfig())
    recompute_layers(model)
    return Policy(model, make_processor(tokenizer, image_settings(), "benchmark"), name=f"random {size}")


def tower(policy: Policy, prompts: list[EncodedPrompt], _load: Load) -> int:
    """Image tokens that the vision tower makes."""
    with torch.no_grad():
        policy.model.model.get_image_features(**batch_prompts(policy, prompts).pictures)
    return sum(prompt.num_image_tokens for prompt in prompts)


def sampled(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """Tokens that our sampler writes."""
    generator = torch.Generator(device=policy.device).manual_seed(0)
    groups = sample(
        policy, prompts, num_samples=load.group, sampling=Sampling(max_tokens=load.tokens), generator=generator
    )
    return sum(len(one.token_ids) for group in groups for one in group)


def generated(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """Tokens that `generate` writes; every row gets its own prompt and picture."""
    rows = [prompt for prompt in prompts for _ in range(load.group)]
    batch = batch_prompts(policy, rows)
    ids = batch.input_ids_P_L
    torch.manual_seed(0)
    made = policy.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == policy.image_token_id).int(),
        do_sample=True, top_k=0, max_new_tokens=load.tokens, suppress_tokens=list(policy.banned_ids),
        eos_token_id=policy.end_id, pad_token_id=policy.end_id, **batch.pictures,
    )  # fmt: skip
    ends = made[:, ids.shape[1] :] == policy.end_id
    return int(torch.where(ends.any(1), ends.int().argmax(1) + 1, ends.shape[1]).sum())


def learned(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """Tokens of one group that one step of ours learns from, two responses at a time."""
    return _step(policy, _ours(policy, prompts[0], _group(policy, load)), load.group * load.learned_tokens)


def learned_padded(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """The same in batches with padding, as where FlexAttention does not work."""
    with mock.patch.object(prefix, "can_pack", return_value=False):
        return learned(policy, prompts, load)


def learned_repeated(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """The same with prompt and picture computed for every response."""
    group = _group(policy, load)
    losses = (plain_logprobs(policy, prompts[:1], [[one]])[0].sum() for one in group)
    return _step(policy, losses, load.group * load.learned_tokens)


def stepped(policy: Policy, prompts: list[EncodedPrompt], load: Load) -> int:
    """Tokens of a whole step of ours: the tower is asked once, all prompts are sampled and learned from."""
    seen = see(policy, prompts)
    generator = torch.Generator(device=policy.device).manual_seed(0)
    groups = sample(
        policy, seen, num_samples=load.group, sampling=Sampling(max_tokens=load.tokens), generator=generator
    )
    texts = [[list(one.token_ids) for one in group] for group in groups]
    losses = (loss for prompt, group in zip(seen, texts, strict=True) for loss in _ours(policy, prompt, group))
    return _step(policy, losses, sum(len(one) for group in texts for one in group))


def _ours(policy: Policy, prompt: EncodedPrompt, group: list[list[int]]) -> Iterator[torch.Tensor]:
    for _, piece in logprobs_in_pieces(policy, [prompt], [group], micro_responses=2):
        yield piece.logprobs_B_T.sum()


def _group(policy: Policy, load: Load) -> list[list[int]]:
    text = policy.encode_text("3+4=7, so red=7. ")[:-1]
    return [(text * load.learned_tokens)[: load.learned_tokens] for _ in range(load.group)]


def _step(policy: Policy, losses: Iterator[torch.Tensor], num_tokens: int) -> int:
    optimizer = Optimizer(policy.model, OptimConfig(schedule="constant", warmup_steps=0), None)
    for loss in losses:
        (-loss / num_tokens).backward()
    optimizer.step()
    return num_tokens


WORK: dict[str, Callable[[Policy, list[EncodedPrompt], Load], int]] = {
    "tower": tower, "sample": sampled, "sample/generate": generated, "learn": learned, "learn/padded": learned_padded,
    "learn/repeated": learned_repeated, "step": stepped,
}  # fmt: skip


TRL = "step/trl"


def measure(name: str, policy: Policy, prompts: list[EncodedPrompt], load: Load) -> dict[str, Any]:
    """One row; the first call warms up and does not count."""
    is_gpu = policy.device.type == "cuda"
    try:
        WORK[name](policy, prompts, load)
        if is_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        tokens = WORK[name](policy, prompts, load)
        if is_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    except torch.OutOfMemoryError as error:
        return {"error": f"out of memory: {str(error)[:200]}"}
    peak = torch.cuda.max_memory_allocated() if is_gpu else None
    return {
        "tokens": tokens, "seconds": round(seconds, 4), "tokens_per_s": round(tokens / seconds, 1), "peak_bytes": peak
    }  # fmt: skip


def measure_all(policy: Policy, load: Load, deadline: float) -> Iterator[dict[str, Any]]:
    """Every row of a model, the plan's figures beside; none is begun after `deadline`."""
    pictures = [picture(i, *load.pixels) for i in range(load.num_prompts)]
    prompts = [policy.encode(QUESTION, [one]) for one in pictures]
    # A fake prompt has a mark before its picture and a token at its end.
    text_tokens = prompts[0].num_tokens - prompts[0].num_image_tokens - 2
    free, kernels = free_bytes(policy.device), policy.kernels
    planned = planned_bytes(policy.model.config, load, text_tokens=text_tokens, free=free, kernels=kernels)
    for name in (*WORK, TRL):
        if time.monotonic() > deadline:
            row: dict[str, Any] = {"error": "no time left"}
        elif name == TRL:
            row = trl_step(policy, pictures, QUESTION, load)
        else:
            row = measure(name, policy, prompts, load)
        bytes_of = {"planned_bytes": planned.get(name)}
        if row.get("peak_bytes") and name in planned:
            bytes_of["plan_error"] = round(planned[name] / row["peak_bytes"] - 1, 3)
        yield {"work": name, "prompt_tokens": prompts[0].num_tokens} | row | bytes_of


def versions() -> dict[str, str | None]:
    """Of what the figures depend on."""
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in ("torch", "transformers", "peft", "flash-attn", "bitsandbytes", "trl"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    """Measure, and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a few layers of small width, small pictures")
    parser.add_argument("--minutes", type=float, default=7.0, help="no further row is begun after this")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    arguments = parser.parse_args()
    begun, load = time.monotonic(), TINY if arguments.tiny else GPU
    sizes: tuple[Size, ...] = ("tiny",) if arguments.tiny else ("3b", "7b")
    is_gpu = arguments.device.startswith("cuda")
    rows: list[dict[str, Any]] = []
    for size in sizes:
        policy = load_random(size, arguments.device, torch.bfloat16)
        held = torch.cuda.memory_allocated() if is_gpu else None
        for row in measure_all(policy, load, begun + 60 * arguments.minutes):
            rows.append({"size": size, "weights_bytes": held} | row)
            print(json.dumps(rows[-1]), flush=True)
        del policy
        if is_gpu:
            torch.cuda.empty_cache()
    summary = {
        "command": "python -m benchmarks.gpu.run",
        "what": "random weights, LoRA r16 on bfloat16, layers computed again; the second of two calls",
        "device": torch.cuda.get_device_name() if is_gpu else f"{platform.machine()} CPU",
        "load": load._asdict(), "versions": versions(), "seconds": round(time.monotonic() - begun, 1), "rows": rows,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
