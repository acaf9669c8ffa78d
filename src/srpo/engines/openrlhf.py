"""OpenRLHF: a reward function in a file of one's own.

    # for --reward.remote_url examples/openrlhf_srpo.py
    from srpo.engines.openrlhf import openrlhf_reward
    reward_func = openrlhf_reward("paper", tokenizer="/models/Qwen2.5-VL-7B-Instruct")

The rows are those of `srpo export --format openrlhf`: the gold and what belongs to it are one JSON text in `label`.
OpenRLHF hands over the whole query, from which the prompt is cut off, and no token ids. What a reward function raises
it logs as a mere information, and fails later for want of a reward; so the error is written to stderr as well.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from srpo.core.records import Style
from srpo.core.rewards import Preset
from srpo.engines.payer import Payer, Tokenizer, unpacked

RewardFunc = Callable[[Sequence[str], Sequence[str], Sequence[str]], dict[str, Any]]
_PADS = re.compile(r"(<\|[a-z_]+\|>)\1+")
_END = re.compile(r"(?:<\|(?:im_end|endoftext)\|>\s*)+$")


def openrlhf_reward(
    preset: Preset = "paper",
    *,
    tokenizer: str | Path | Tokenizer | None = None,
    style: Style = "reflective",
    weights: Mapping[str, float] | None = None,
    length_floor: int = 0,
    symbolic: bool = False,
) -> RewardFunc:
    """`reward_func` of OpenRLHF; the settings are those of `Payer`."""
    payer = Payer(
        preset, tokenizer=tokenizer, style=style, weights=weights, length_floor=length_floor, symbolic=symbolic
    )

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        try:
            return _rewards(payer, queries, prompts, labels)
        except Exception as error:
            print(f"srpo: reward failed: {error}", file=sys.stderr, flush=True)
            raise

    return reward_func


def _rewards(payer: Payer, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    paid = [
        payer.pay(unpacked(label), response_of(query, prompt))
        for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]
    # OpenRLHF's filter of groups wants the final answer, and numbers where it asks about one response.
    table = {"rewards": [one.total for one in paid], "scores": [one.metrics["final_accuracy"] for one in paid]}
    logs = {name: [one.metrics[name] for one in paid] for name in (paid[0].metrics if paid else ())}
    if len(paid) == 1:
        return {
            **{name: values[0] for name, values in table.items()},
            "extra_logs": {name: values[0] for name, values in logs.items()},
        }
    return {**table, "extra_logs": logs}


def response_of(query: str, prompt: str) -> str:
    """What follows the prompt, without its end token. In the query a picture has as many placeholders as it has tokens.

    >>> response_of("<|image_pad|><|image_pad|>How many?<|im_end|>7<|im_end|>", "<|image_pad|>How many?<|im_end|>")
    '7'

    Raises:
        ValueError: the query does not begin with the prompt.
    """
    query, prompt = _PADS.sub(r"\1", query), _PADS.sub(r"\1", prompt)
    if not query.startswith(prompt):
        raise ValueError(f"the query {query[:80]!r} does not begin with its prompt {prompt[:80]!r}")
    return _END.sub("", query[len(prompt) :])
