"""TRL's GRPOTrainer: a reward function with every term as a curve.

    reward = trl_reward("paper", tokenizer=processor.tokenizer)
    GRPOTrainer(model, reward_funcs=reward, train_dataset=rows, ...)

The rows are those of `srpo export --format trl-rl`: prompt, images, id, question, gold, kind, choices. An ungradable
gold gives None, which TRL leaves out. The whole of it is `examples/trl_srpo.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from srpo.core.records import Style
from srpo.core.rewards import Preset
from srpo.engines.payer import Payer, Tokenizer, problem_of

_COLUMNS = ("id", "question", "gold", "kind", "choices")


def trl_reward(
    preset: Preset = "paper",
    *,
    tokenizer: str | Path | Tokenizer | None = None,
    style: Style = "reflective",
    weights: Mapping[str, float] | None = None,
    length_floor: int = 0,
    symbolic: bool = False,
) -> Callable[..., list[float | None]]:
    """A function for `reward_funcs`; the settings are those of `Payer`."""
    payer = Payer(
        preset, tokenizer=tokenizer, style=style, weights=weights, length_floor=length_floor, symbolic=symbolic
    )

    def srpo(
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Mapping[str, Any]]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        rewards: list[float | None] = []
        for index in range(len(prompts)):
            problem = problem_of({name: columns[name][index] for name in _COLUMNS if name in columns})
            ids = None if completion_ids is None else completion_ids[index]
            paid = payer.pay(problem, assistant_text(completions[index]), token_ids=ids)
            rewards.append(None if paid.reward is None else paid.total)
            if log_metric is not None:
                for name, value in {**paid.metrics, "ungraded": float(paid.reward is None)}.items():
                    log_metric(f"srpo/{name}", value)
        return rewards

    return srpo


def assistant_text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """A text, or the last turn of a conversation."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
