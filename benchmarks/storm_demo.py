"""`srpo demo`, stage by stage as it is, at sizes of a few seconds: for `benchmarks/storm.py`, which starts it often.

Nothing is learned at these sizes, so RL must not refuse a policy that does not write the format yet.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import srpo.cli.main
from srpo.rl.config import RlConfig
from srpo.tiny import settings

_SIZES = settings.Sizes(num_problems=60, family_traces=8, rl_problems=60, rl_tokens=6000, eval_problems=16)
_usual = settings.rl_config


def _tiny_sizes(minutes: float) -> settings.Sizes:
    assert minutes >= 1
    return _SIZES


def _tiny_rl(
    sizes: settings.Sizes,
    arm: settings.Arm,
    model: Path | str,
    seed: int,
    *,
    families: Sequence[str] = settings.DEMO_FAMILIES,
) -> RlConfig:
    config = _usual(sizes, arm, model, seed, families=families)
    small = {"num_prompts": 4, "group_size": 4, "loss": config.loss.model_copy(update={"minibatches": 2})}
    return config.model_copy(update={**small, "min_format_rate": 0.0, "checkpoint_every": 2})


def main() -> int:
    """`srpo` with a small demo."""
    settings.sizes_for = _tiny_sizes
    settings.rl_config = _tiny_rl
    return srpo.cli.main.main()


if __name__ == "__main__":
    sys.exit(main())
