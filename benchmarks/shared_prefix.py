"""Training with a shared prefix against the plain forward pass: CPU seconds and memory of one forward and backward.

    OMP_NUM_THREADS=1 python benchmarks/shared_prefix.py --out benchmarks/results/shared_prefix.json

One group of G completions per row; every cell runs in a process of its own, so that peak memory is its own.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

CELLS = [  # image side in pixels (28 pixels a token), prompts P, completions per prompt G, tokens per completion
    (84, 16, 8, 70),
    (224, 1, 8, 128),
    (448, 1, 8, 128),
    (896, 1, 8, 128),
    (896, 1, 8, 256),
]


def measure(
    image_size: int, num_prompts: int, group: int, num_tokens: int, method: str, repeats: int
) -> dict[str, float]:
    import numpy as np
    import torch
    from PIL import Image

    from srpo.policy.load import load_policy
    from srpo.policy.prefix import completion_logprobs, plain_logprobs
    from srpo.tiny.model import TinyConfig, build_tiny

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        policy = load_policy(build_tiny(TinyConfig(image_size=image_size), ["How many bars?"] * 9, Path(directory), 0))
    rng = np.random.default_rng(0)
    sides = (image_size, image_size, 3)
    prompts = [
        policy.encode(
            "How many bars are taller than the red one?", [Image.fromarray(rng.integers(0, 256, sides, np.uint8))]
        )
        for _ in range(num_prompts)
    ]
    # Token lengths vary as in a rollout: between half and one and a half times `num_tokens` for many rows.
    spread = (num_tokens // 2, num_tokens * 3 // 2) if num_prompts > 1 else (num_tokens, num_tokens + 1)
    completions = [[rng.integers(0, 256, int(size)).tolist() for size in rng.integers(*spread, group)] for _ in prompts]
    function = completion_logprobs if method == "shared" else plain_logprobs

    def step() -> float:
        policy.model.zero_grad(set_to_none=True)
        result = function(policy, prompts, completions)
        loss = -result.logprobs_B_T.sum() / result.mask_B_T.sum()
        loss.backward()
        return float(loss.detach())

    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loss = step()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu_s": round(min(seconds), 4), "memory_mb": round((peak - baseline) / 1024, 1), "loss": round(loss, 6),
        "image_tokens": prompts[0].num_image_tokens, "prompt_tokens": prompts[0].num_tokens,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/shared_prefix.json"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(measure(*json.loads(arguments.cell))))
        return
    rows = []
    for cell in CELLS:
        row: dict[str, object] = dict(
            zip(("image_size", "num_prompts", "group", "completion_tokens"), cell, strict=True)
        )
        costs: dict[str, dict[str, float]] = {}
        for method in ("plain", "shared"):
            command = [sys.executable, __file__, "--cell", json.dumps([*cell, method, arguments.repeats])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            costs[method] = json.loads(done.stdout)
        plain, shared = costs["plain"], costs["shared"]
        row |= costs
        row["times_faster"] = round(plain["cpu_s"] / shared["cpu_s"], 2)
        row["times_less_memory"] = round(plain["memory_mb"] / shared["memory_mb"], 2)
        rows.append(row)
        print(row, flush=True)
    summary = {
        "command": "python benchmarks/shared_prefix.py",
        "what": "one forward and backward, tiny Qwen2.5-VL (hidden 128, 4 layers), vision frozen, float32, 1 thread; "
        "CPU seconds (minimum of the repeats) and peak memory above the loaded model",
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "repeats": arguments.repeats,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
