"""verl: our reward inside it (`reward`), and whole runs of `srpo rl` and `srpo sft` on it (`run`; docs/clusters.md).

verl itself names this package, in its settings: `reward.reward_manager.module.path=pkg://srpo.engines.verl`.
"""

from typing import Any

from srpo.engines.verl.reward import compute_score, reward_manager

__all__ = ["compute_score"]


def __getattr__(name: str) -> Any:
    """`RewardManager` is made when verl asks for it, for its base is verl's."""
    if name != "RewardManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return reward_manager()
