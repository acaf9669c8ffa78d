"""What the rows against other trainers share: models of three sizes, prompts, alternating runs, results with origin.

Weights are random, float32 and the same on both sides; the vision tower is frozen. Every row runs in a process of its
own with one thread, and takes turns with its peer inside it: what else the machine does then hits both. Seconds are CPU
seconds of that process, the figure of a row the median over its turns.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from srpo.runs.files import write_atomic
from srpo.runs.provenance import provenance
from srpo.tiny.model import TinyConfig

LIBRARIES = ("torch", "transformers", "trl", "accelerate", "vllm", "math-verify", "mathruler", "srpo")


class Size(NamedTuple):
    """A model and the rows of its vocabulary."""

    config: Mapping[str, Any]
    vocabulary: int | None
    """None for what the tokenizer has."""


SIZES = {
    "tiny": Size({}, None),
    "mid": Size({"hidden_size": 512, "num_layers": 8, "num_heads": 8, "num_kv_heads": 2, "ffn_size": 2048}, 32_000),
    "wide": Size({"hidden_size": 896, "num_layers": 6, "num_heads": 14, "num_kv_heads": 2, "ffn_size": 4864}, 151_936),
}
"""`tiny` has the shape of the base model that ships with srpo; `wide` the width and vocabulary of a 0.5B model."""


def image_side(image_tokens: int) -> int:
    """Pixels along a side of a square picture of so many tokens."""
    return 28 * math.isqrt(image_tokens)


def make_policy(size: str, image_tokens: int) -> Any:
    """A policy of this size; the same one at every call."""
    import torch

    from srpo.policy.load import load_policy
    from srpo.policy.policy import Policy

    torch.set_num_threads(1)
    config = TinyConfig(image_size=image_side(image_tokens), **SIZES[size].config)
    with tempfile.TemporaryDirectory() as directory:
        from srpo.tiny.model import build_tiny

        policy = load_policy(build_tiny(config, ["How many bars?"] * 9, Path(directory), 0))
    if (rows := SIZES[size].vocabulary) is not None:
        torch.manual_seed(0)
        policy.model.resize_token_embeddings(rows, mean_resizing=False)
        policy = Policy(policy.model, policy.processor, name=size)
    # Peers ban no token, so neither do we here.
    policy.banned_V = torch.zeros_like(policy.banned_V)
    return policy


def picture_of(image_tokens: int, number: int) -> Any:
    """A random picture, the same at every call."""
    import numpy as np
    from PIL import Image

    side = image_side(image_tokens)
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8))


def make_prompts(policy: Any, image_tokens: int, count: int) -> list[Any]:
    """Prompts with a random picture each."""
    pictures = [picture_of(image_tokens, number) for number in range(count)]
    prompts: list[Any] = policy.encode_many([("How many bars are red?", [picture]) for picture in pictures])
    assert all(one.num_image_tokens == image_tokens for one in prompts), "a picture is cut otherwise than was asked for"
    return prompts


def take_turns(
    contestants: Mapping[str, Callable[[], object]], turns: int, *, warm: bool = False
) -> dict[str, list[float]]:
    """CPU seconds of every contestant in every turn, after one that does not count unless they are `warm`."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(turns if warm else turns + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if turn or warm:
                seconds[name].append(time.process_time() - start)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], ours: str = "srpo") -> dict[str, Any]:
    """Medians, and how many times longer each peer takes than we do."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    times = {f"{name}_over_{ours}": round(value / medians[ours], 2) for name, value in medians.items() if name != ours}
    spread = {f"{name}_range_s": [round(min(values), 4), round(max(values), 4)] for name, values in seconds.items()}
    return {**{f"{name}_s": round(value, 4) for name, value in medians.items()}, **times, **spread}


def one_process(python: Path, module: str, *arguments: object) -> dict[str, Any]:
    """The last line that `python -m MODULE ARGUMENTS` prints, with one thread and nothing of this process in it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": ""}
    root = Path(__file__).resolve().parents[1]
    environment["PYTHONPATH"] = os.pathsep.join([str(root / "src"), str(root)])
    command = [str(python), "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def say(result: Mapping[str, Any]) -> None:
    """What `one_process` reads."""
    print(json.dumps(result), flush=True)


def versions() -> dict[str, str]:
    """Releases of what runs in this process."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def out_of(given: Namespace) -> Path | None:
    """Where a command's rows go: a short run keeps nothing, so that it replaces no figure that was measured in full."""
    return None if given.short else Path(given.out)


def keep_row(path: Path | None, key: str, row: Mapping[str, Any]) -> None:
    """Put a row into a results file in place of an older one, with commit, machine and time; None prints it alone."""
    print(key, json.dumps(row), file=sys.stderr, flush=True)
    if path is None:
        return
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    made = provenance()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    kept[key] = {**row, "commit": made.commit, "machine": machine(), "python": made.python, "load_average": load}
    write_atomic(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def machine() -> str:
    """Processor and number of cores."""
    file = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in file.read_text("utf-8").splitlines() if "model name" in line]
        if (file.exists())
        else []
    )
    return f"{names[0] if names else provenance().system}, {os.cpu_count()} cores, one thread used"
