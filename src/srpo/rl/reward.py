"""What a trajectory is paid: by a preset of `core.rewards`, or by a function of your own.

    # my_rewards.py
    def shorter(case: RewardCase) -> dict[str, float]:
        return {"accuracy": float(case.final.is_correct), "short": 1 / (1 + case.tokens.total / 100)}

    srpo rl rl.yaml --reward my_rewards:shorter --weights.short 0.2

An error in such a function ends the run and names the problem; it is never a reward of 0.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from srpo.core.records import Reward, Term, outcome_of
from srpo.core.rewards import RewardCase, pay
from srpo.rl.config import RlConfig

RewardFunction = Callable[[RewardCase], Reward | None]
"""None when the gold is ungradable."""


def reward_function(config: RlConfig) -> RewardFunction:
    """What the config pays by.

    Raises:
        ValueError: `config.reward` names nothing that can be called.
    """
    if config.reward is None:
        return lambda case: pay(case, config.preset, weights=config.weights, length_floor=config.length_floor)
    return own_reward(config.reward, config.weights)


def own_reward(name: str, weights: Mapping[str, float]) -> RewardFunction:
    """What `module:function` pays.

    Raises:
        ValueError: it names nothing that can be called.
    """
    function = load_function(name)
    return lambda case: _own_reward(name, function, weights, case)


def load_function(name: str) -> Callable[[RewardCase], object]:
    """The function of that name; ValueError where there is none."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"reward {name!r} is not of the form module:function, e.g. my_rewards:shorter")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"reward {name!r} cannot be loaded ({error}); is its folder in PYTHONPATH?") from error
    if not callable(found):
        raise ValueError(f"reward {name!r} is a {type(found).__name__}, which cannot be called")
    function: Callable[[RewardCase], object] = found
    return function


def _own_reward(
    name: str, function: Callable[[RewardCase], object], weights: Mapping[str, float], case: RewardCase
) -> Reward | None:
    if outcome_of(case.first, case.final) is None:
        return None
    try:
        terms: Any = function(case)
    except Exception as error:
        raise ValueError(f"reward {name!r} failed on problem {case.problem.id!r}: {error!r}") from error
    is_terms = isinstance(terms, Mapping) and all(_is_number(score) for score in terms.values())
    if not is_terms or not terms:
        raise ValueError(
            f"reward {name!r} returned {terms!r:.200} for problem {case.problem.id!r}; return finite numbers by name, "
            "such as {'accuracy': 1.0}"
        )
    unknown = sorted(weights.keys() - terms.keys())
    if unknown:
        raise ValueError(f"weights: reward {name!r} has no term {unknown[0]!r}; it has {', '.join(map(str, terms))}")
    return Reward(
        terms=tuple(
            Term(name=str(term), score=float(score), weight=weights.get(str(term), 1.0))
            for term, score in terms.items()
        )
    )


def _is_number(score: object) -> bool:
    return isinstance(score, int | float) and math.isfinite(score)
