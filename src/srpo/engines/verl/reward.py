"""verl: a reward manager, which knows the token ids, and a score function for those who have a manager.

    reward.reward_manager.source=importlib
    reward.reward_manager.module.path=pkg://srpo.engines.verl
    reward.reward_manager.name=RewardManager
    +reward.custom_reward_function.reward_kwargs.preset=paper

The rows are those of `srpo export --format verl`. `compute_score` has the text alone: give it a tokenizer, by
`reward_kwargs.tokenizer=CHECKPOINT`. verl has no way to leave a response out, so an ungradable gold is an error.

In runs of `srpo rl --engine verl` the manager also writes every response down as a trace (`journal`).
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from srpo.core.records import OUTCOMES, FormatError, Problem, Trace, outcome_of
from srpo.core.rewards import RewardCase
from srpo.engines.payer import Earned, Payer, payer_of, problem_of
from srpo.engines.verl.journal import PaidTrace, RewardJournal


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


@lru_cache(maxsize=1)
def reward_manager() -> type:
    """The class `RewardManager`."""
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

    class RewardManager(RewardManagerBase):  # type: ignore[misc]
        """Pays one response by its exact token ids."""

        def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
            super().__init__(config, tokenizer, compute_score)
            settings = _plain((config.reward.get("custom_reward_function") or {}).get("reward_kwargs") or {})
            launch = settings.pop("journal", None)
            self.journal = RewardJournal(Path(launch)) if launch else None
            self.payer = Payer.of({"tokenizer": tokenizer, **settings})

        async def run_single(self, data: Any) -> dict[str, Any]:
            """The reward of the last response in `data`, and what there is to log of it."""
            paid = await asyncio.to_thread(self._pay, data[-1:][0])
            return {"reward_score": paid.total, "reward_extra_info": told(paid)}

        def _pay(self, item: Any) -> Earned:
            ids = item.batch["responses"]
            length = int(item.batch["attention_mask"][-ids.shape[-1] :].sum())
            token_ids = ids[:length].tolist()
            row = item.non_tensor_batch
            problem = _problem(row["reward_model"]["ground_truth"], row.get("extra_info"))
            text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
            paid = self.payer.pay(problem, text, token_ids=token_ids)
            if self.journal is not None:
                is_cut = token_ids[-1:] != [self.tokenizer.eos_token_id]
                self.journal.add(_written_down(paid, row, self.journal, is_cut=is_cut))
            return paid

    return RewardManager


_TAKEN = ("acc", "outcome", "reward", "score")
"""Keys that mean something of their own to verl, or here: a term of one's own may be called so."""


def told(paid: Earned) -> dict[str, float | str]:
    """What verl keeps of a response beside its reward: every term, and by what groups are filtered and credited."""
    case, reward = paid.case, paid.reward
    outcome = outcome_of(case.first, case.final)
    assert reward is not None, "`total` was asked before"
    assert outcome is not None, "what is paid has grades"
    return {
        "acc": paid.metrics["final_accuracy"],
        **{f"term_{name}" if name in _TAKEN else name: value for name, value in paid.metrics.items()},
        # `online_filter: outcome`: groups whose responses agree in it teach nothing but length.
        "outcome": float(2 * OUTCOMES.index(outcome) + (not isinstance(case.parsed, FormatError))),
        # `credit: segment`.
        "first_tokens": float(case.tokens.first),
        "srpo_reward": reward.model_dump_json(),
    }


def _written_down(paid: Earned, row: Mapping[str, Any], journal: RewardJournal, *, is_cut: bool) -> PaidTrace:
    step, extra = int(row["global_steps"]), row["extra_info"]
    case: RewardCase = paid.case
    prompt = int(row["prompt_len"])
    trace = Trace(
        origin=journal.origin.model_copy(update={"step": step}),
        problem=case.problem,
        sample=int(row["session_id"]),
        style=case.style,
        text=case.text,
        parsed=case.parsed,
        first_grade=case.first,
        final_grade=case.final,
        reward=paid.reward,
        tokens=case.tokens.model_copy(update={"prompt": prompt, "truncated": is_cut}),
    )
    return PaidTrace(uid=str(row["uid"]), step=step, split=extra["split"], trace=trace)


def _problem(ground_truth: str, extra_info: Mapping[str, Any] | None) -> Problem:
    extra = extra_info or {}
    if whole := extra.get("problem"):  # our own runs give it whole, pictures and source included
        return Problem.model_validate_json(whole)
    return problem_of({**extra, "gold": ground_truth})


def _plain(settings: Any) -> dict[str, Any]:
    """A node of verl's config as plain values."""
    return {name: _plain(value) if hasattr(value, "items") else value for name, value in settings.items()}
