"""EasyR1: a batch reward function whose settings come from its config.

    worker.reward.reward_function=examples/easyr1_srpo.py:easyr1_reward
    worker.reward.reward_function_kwargs={"preset": "paper", "tokenizer": "/models/Qwen2.5-VL-7B-Instruct"}

The rows are those of `srpo export --format easyr1`: the gold and what belongs to it are one JSON text in `answer`.
EasyR1 hands over no token ids: it counts the whole response, and the tokenizer the first attempt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from srpo.engines.payer import payer_of, unpacked

REWARD_NAME = "srpo"
REWARD_TYPE = "batch"


def easyr1_reward(reward_inputs: Sequence[Mapping[str, Any]], **settings: Any) -> list[dict[str, float]]:
    """`overall` and every term of each response.

    Raises:
        ValueError: a setting is unknown, or a gold is missing or ungradable.
    """
    payer = payer_of(settings)
    rewards = []
    for given in reward_inputs:
        paid = payer.pay(unpacked(given["ground_truth"]), given["response"], num_tokens=given["response_length"])
        rewards.append({"overall": paid.total, **paid.metrics})
    return rewards
