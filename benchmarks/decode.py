"""Sampling with `srpo.policy.decode` against `generate` of transformers: CPU seconds and tokens per second.

    OMP_NUM_THREADS=1 python benchmarks/decode.py --out benchmarks/results/decode.json

`generate` gets every prompt and picture G times, as trainers hand them over. `full` lets every row run to the token
limit; `early` gives every token the same chance to be the end, so that rows finish at different times. Tokens per
second count tokens up to the end of each row.
"""

import argparse
import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from srpo.core.records import Sampling
from srpo.policy.decode import sample
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.vision import pixel_values
from srpo.tiny.model import TinyConfig, build_tiny

CELLS = [(84, 16, 8, 90), (224, 8, 8, 128), (448, 4, 8, 128)]  # image side, prompts, samples, token limit
END_CHANCE = {"full": 0.0, "early": 1 / 40}


def fix_end_chance(policy: Policy, chance: list[float]) -> None:
    """Give the end token the probability `chance[0]` at every position."""

    def hook(_module: torch.nn.Module, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        end = torch.full_like(logits[..., :1], -torch.inf)
        if chance[0]:
            others = logits.index_fill(-1, torch.tensor([policy.end_id, *policy.banned_ids]), -torch.inf)
            end = others.logsumexp(-1, keepdim=True) + float(np.log(chance[0] / (1 - chance[0])))
        return logits.index_copy(-1, torch.tensor([policy.end_id]), end)

    policy.model.lm_head.register_forward_hook(hook)


def ours(policy: Policy, prompts: list[EncodedPrompt], group: int, limit: int, seed: int) -> int:
    generator = torch.Generator().manual_seed(seed)
    groups = sample(policy, prompts, num_samples=group, sampling=Sampling(max_tokens=limit), generator=generator)
    return sum(len(completion.token_ids) for samples in groups for completion in samples)


def theirs(policy: Policy, prompts: list[EncodedPrompt], group: int, limit: int, seed: int) -> int:
    torch.manual_seed(seed)
    rows = [prompt for prompt in prompts for _ in range(group)]
    ids = torch.stack([prompt.input_ids for prompt in rows])
    output = policy.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=torch.cat([pixel_values(policy, prompt) for prompt in rows]),
        image_grid_thw=torch.cat([prompt.image_grid_thw for prompt in rows if prompt.image_grid_thw is not None]),
        mm_token_type_ids=(ids == policy.image_token_id).int(),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=limit,
        suppress_tokens=list(policy.banned_ids),
    )[:, ids.shape[1] :]
    ends = output == policy.end_id
    lengths = torch.where(ends.any(1), ends.int().argmax(1) + 1, output.shape[1])
    return int(lengths.sum())


def measure(function: Any, repeats: int, *arguments: Any) -> dict[str, float]:
    function(*arguments, 0)
    runs = []
    for seed in range(repeats):
        start = time.process_time()
        tokens = function(*arguments, seed)
        runs.append((tokens, time.process_time() - start))
    best = max(runs, key=lambda run: run[0] / run[1])
    return {"tokens": best[0], "cpu_s": round(best[1], 3), "tokens_per_s": round(best[0] / best[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decode.json"))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for image_size, num_prompts, group, limit in CELLS:
        with tempfile.TemporaryDirectory() as directory:
            tiny = TinyConfig(image_size=image_size)
            policy = load_policy(build_tiny(tiny, ["How many bars?"] * 9, Path(directory), 0), trainable=False)
        chance = [0.0]
        fix_end_chance(policy, chance)
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (num_prompts, image_size, image_size, 3), dtype=np.uint8)
        prompts = policy.encode_many([("How many bars are red?", [Image.fromarray(picture)]) for picture in pictures])
        for name, probability in END_CHANCE.items():
            chance[0] = probability
            row: dict[str, Any] = {
                "image_tokens": prompts[0].num_image_tokens, "prompt_tokens": prompts[0].num_tokens,
                "num_prompts": num_prompts, "group": group, "limit": limit, "lengths": name,
                "generate": measure(theirs, arguments.repeats, policy, prompts, group, limit),
                "srpo": measure(ours, arguments.repeats, policy, prompts, group, limit),
            }  # fmt: skip
            row["times_faster"] = round(row["srpo"]["tokens_per_s"] / row["generate"]["tokens_per_s"], 2)
            rows.append(row)
            print(row, flush=True)
    summary = {
        "command": "python benchmarks/decode.py",
        "what": "sampling at temperature 1, tiny Qwen2.5-VL (hidden 128, 4 layers), float32, 1 thread; best repeat",
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "repeats": arguments.repeats,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
