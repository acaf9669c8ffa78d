"""Runs in verl's interpreter: puts configurations together there, and says what is wrong with them, as JSON.

    echo '[{"entry": "verl.trainer.main_ppo", "words": [..]}]' | PYTHON -m srpo.engines.verl.compose

Besides Hydra's own errors and verl's `validate_config`, names are looked up in verl's registries, which neither does:
an estimator of an unknown name is otherwise found out after the first rollout.
"""

import contextlib
import copy
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from srpo.rl.reward import load_function

_CONFIGS = {"verl.trainer.main_ppo": "ppo_trainer", "verl.trainer.sft_trainer_ray": "sft_trainer_engine"}


def check(entry: str, words: Sequence[str]) -> dict[str, Any]:
    """What verl makes of these settings: `problems`, its version, and the `changed` values beside its own."""
    import verl
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # `hydra.*` is for the process that starts, and is no part of a configuration that is put together in another.
    ours = [word for word in words if not word.startswith("hydra.")]
    with initialize_config_module("verl.trainer.config", version_base=None):
        plain = compose(_CONFIGS[entry])
        try:
            config = compose(_CONFIGS[entry], overrides=list(ours))
        except (HydraException, OmegaConfBaseException) as error:
            return {"version": verl.__version__, "problems": [f"{type(error).__name__}: {error}"], "changed": {}}
    before, after = (_flat(OmegaConf.to_container(one, resolve=False)) for one in (plain, config))
    changed = {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
    problems = _rl_problems(config) if entry == "verl.trainer.main_ppo" else _sft_problems(config)
    return {"version": verl.__version__, "problems": problems, "changed": changed}


def _rl_problems(config: Any) -> list[str]:
    from verl.trainer.ppo import core_algos
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY

    problems: list[str] = []
    try:
        validate_config(_validated(config), need_reference_policy(config), need_critic(config))
    # It asserts, and raises whatever its dataclasses do.
    except Exception as error:
        problems.append(f"validate_config: {type(error).__name__}: {error}")
    if own := (config.reward.custom_reward_function.get("reward_kwargs") or {}).get("reward"):
        try:
            load_function(own)
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}; what it imports has to be in verl's environment, too")
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    known: Mapping[str, tuple[Any, Any]] = {
        "algorithm.adv_estimator": (config.algorithm.adv_estimator, core_algos.ADV_ESTIMATOR_REGISTRY),
        "actor.policy_loss.loss_mode": (actor.policy_loss.loss_mode, core_algos.POLICY_LOSS_REGISTRY),
        "rollout.name, rollout.mode": ((rollout.name, rollout.mode), _ROLLOUT_REGISTRY),
    }
    problems += [
        f"{name}: verl has no {value!r}, but {', '.join(map(str, registry))}"
        for name, (value, registry) in known.items()
        if value not in registry
    ]
    return problems


def _validated(config: Any) -> Any:
    """The configuration as far as it can be validated: adapters make verl ask vLLM, which may be somewhere else."""
    if importlib.util.find_spec("vllm") is None:
        config = copy.deepcopy(config)
        config.actor_rollout_ref.model.lora_rank = 0
    return config


def _sft_problems(config: Any) -> list[str]:
    from verl.utils.config import omega_conf_to_dataclass

    problems: list[str] = []
    for part in ("engine", "optim", "checkpoint"):
        try:
            omega_conf_to_dataclass(config[part])
        except Exception as error:
            problems.append(f"{part}: {type(error).__name__}: {error}")
    return problems


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix.removesuffix("."): value}
    return {name: inner for key, one in value.items() for name, inner in _flat(one, f"{prefix}{key}.").items()}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # verl prints
        answers = [check(**one) for one in asked]
    json.dump(answers, sys.stdout, default=str)
