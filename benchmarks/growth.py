"""How the update grows in group size, prompts, response length and vocabulary: exponents of time, fitted and printed.

    python -m benchmarks.growth [--turns 5] [--out FILE] [--short]

The tiny model at 256 image tokens and 128 response tokens, one prompt and G = 8 unless that is what grows; the sizes of
one sweep take turns in one process. An exponent is the slope of log time by log size through all sizes; that of the
last doubling stands beside it, for fixed costs hide growth where sizes are small. 1 is linear.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, out_of, take_turns, versions

OUT = Path("benchmarks/results/growth.json")
IMAGE_TOKENS, NUM_TOKENS, GROUP = 256, 128, 8
SWEEPS: dict[str, Sequence[int]] = {
    "group size": (2, 4, 8, 16, 32),
    "prompts": (1, 2, 4, 8),
    "response tokens": (64, 128, 256, 512, 1024),
    "vocabulary": (2_000, 8_000, 32_000, 128_000),
}


def update(what: str, size: int) -> Callable[[], object]:
    """A step of this size, and all else as it is."""
    import torch

    from benchmarks.peers import make_policy, make_prompts
    from srpo.policy.config import OptimConfig
    from srpo.policy.optim import Optimizer
    from srpo.policy.policy import Policy
    from srpo.rl.config import RlConfig
    from srpo.rl.memory import learned_group
    from srpo.rl.train import accumulate_gradients

    sizes = {"group size": GROUP, "prompts": 1, "response tokens": NUM_TOKENS, what: size}
    policy = make_policy("tiny", IMAGE_TOKENS)
    if what == "vocabulary":
        policy.model.resize_token_embeddings(size, mean_resizing=False)
        policy = Policy(policy.model, policy.processor, name="tiny")
        policy.banned_V = torch.zeros_like(policy.banned_V)
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 256, (sizes["prompts"], sizes["group size"], sizes["response tokens"]), generator=random)
    groups = [
        learned_group(prompt, rows, [1.0, -1.0] * (len(rows) // 2))
        for prompt, rows in zip(make_prompts(policy, IMAGE_TOKENS, sizes["prompts"]), tokens.tolist(), strict=True)
    ]
    settings = {"model": "", "data": {"drawn": {"count": 1}}, "steps": 1, "max_tokens": 1024, "micro_prompts": 2}
    config = RlConfig.model_validate(settings)
    optimizer = Optimizer(policy.model, OptimConfig(lr=1e-6, schedule="constant", warmup_steps=0), None)

    def step() -> None:
        accumulate_gradients(policy, None, groups, config, on_policy=True)
        optimizer.step()

    return step


def exponent(seconds: Mapping[int, float]) -> float:
    """Slope of log seconds by log size.

    >>> round(exponent({1: 2.0, 2: 4.0, 4: 8.0}), 6)
    1.0
    """
    points = [(math.log(size), math.log(value)) for size, value in seconds.items()]
    slope: float = statistics.linear_regression(*zip(*points, strict=True)).slope
    return slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="one turn of three sizes each, printed and not kept")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", choices=tuple(SWEEPS), nargs="*", default=tuple(SWEEPS))
    given = parser.parse_args()
    for what in given.only:
        sizes = SWEEPS[what][:3] if given.short else SWEEPS[what]
        turns = take_turns({str(size): update(what, size) for size in sizes}, 1 if given.short else given.turns)
        # Other work on the machine makes a turn longer, never shorter.
        seconds = {int(size): min(values) for size, values in turns.items()}
        last = dict(list(seconds.items())[-2:])
        row: dict[str, Any] = {
            "seconds": {str(size): round(value, 4) for size, value in seconds.items()},
            "exponent": round(exponent(seconds), 2),
            "exponent_at_the_end": round(exponent(last), 2),
            "versions": versions(),
        }
        keep_row(out_of(given), what, row)
        print(f"{what}: exponent {row['exponent']}, last {row['exponent_at_the_end']}", flush=True)


if __name__ == "__main__":
    main()
