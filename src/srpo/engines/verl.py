"""verl: a reward manager, which knows the token ids, and a score function for those who have a manager.

    reward.reward_manager.source=importlib
    reward.reward_manager.module.path=pkg://srpo.engines.verl
    reward.reward_manager.name=RewardManager
    +reward.custom_reward_function.reward_kwargs.preset=paper

The rows are those of `srpo export --format verl`. `compute_score` has the text alone: give it a tokenizer, by
`reward_kwargs.tokenizer=CHECKPOINT`. verl has no way to leave a response out, so an ungradable gold is an error.
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from srpo.core.records import Problem
from srpo.engines.payer import Earned, Payer, payer_of, problem_of


def compute_score(
    data_source: str,  # noqa: ARG001  verl's signature
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, float]:
    """`score` and every term.

    Raises:
        ValueError: a setting is unknown, or the gold is missing or ungradable.
    """
    paid = payer_of(settings).pay(_problem(ground_truth, extra_info), solution_str)
    return {"score": paid.total, **paid.metrics}


def __getattr__(name: str) -> Any:
    """`RewardManager` is made when verl asks for it, for its base is verl's."""
    if name != "RewardManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return reward_manager()


@lru_cache(maxsize=1)
def reward_manager() -> type:
    """The class `RewardManager`."""
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

    class RewardManager(RewardManagerBase):  # type: ignore[misc]
        """Pays one response by its exact token ids."""

        def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
            super().__init__(config, tokenizer, compute_score)
            settings = (config.reward.get("custom_reward_function") or {}).get("reward_kwargs") or {}
            self.payer = Payer.of({"tokenizer": tokenizer, **_plain(settings)})

        async def run_single(self, data: Any) -> dict[str, Any]:
            """The reward of the last response in `data`, and what there is to log of it."""
            paid = await asyncio.to_thread(self._pay, data[-1:][0])
            return {
                "reward_score": paid.total,
                "reward_extra_info": {"acc": paid.metrics["final_accuracy"], **paid.metrics},
            }

        def _pay(self, item: Any) -> Earned:
            ids = item.batch["responses"]
            length = int(item.batch["attention_mask"][-ids.shape[-1] :].sum())
            token_ids = ids[:length].tolist()
            row = item.non_tensor_batch
            problem = _problem(row["reward_model"]["ground_truth"], row.get("extra_info"))
            text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
            return self.payer.pay(problem, text, token_ids=token_ids)

    return RewardManager


def _problem(ground_truth: str, extra_info: Mapping[str, Any] | None) -> Problem:
    return problem_of({**(extra_info or {}), "gold": ground_truth})


def _plain(settings: Any) -> dict[str, Any]:
    """A node of verl's config as plain values."""
    return {name: _plain(value) if hasattr(value, "items") else value for name, value in settings.items()}
