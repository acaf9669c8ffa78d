"""What is logged of a rollout: every reward term, accuracies, transitions, format, lengths, groups.

All means are over every graded response that was sampled, whether or not its group was kept for the loss: a filter
that drops the groups that are all right would otherwise make the policy look worse the better it gets.
"""

import math
from collections.abc import Sequence

from srpo.core.records import OUTCOMES, Outcome, Trace
from srpo.rl.batches import Collected

OUTCOME_KEYS: dict[Outcome, str] = dict(zip(OUTCOMES, ("r2r", "w2r", "r2w", "w2w"), strict=True))
"""Names of the transitions in metrics."""


def rollout_metrics(collected: Collected) -> dict[str, float]:
    """Everything about one step's responses. Groups whose gold is ungradable are counted and left out."""
    graded = [group for group in collected.sampled if group.is_graded]
    traces = [sample.trace for group in graded for sample in group.samples_G]
    metrics = {
        "rl/groups/sampled": float(len(collected.sampled)),
        "rl/groups/kept": float(len(collected.kept)),
        "rl/groups/no_signal": float(len(graded) - len(collected.kept)),
        "rl/groups/refilled": float(collected.num_refilled),
        "rl/groups/ungradable": float(len(collected.sampled) - len(graded)),
    }
    return metrics | accuracy_metrics(traces, "rl") | reward_metrics(traces)


def accuracy_metrics(traces: Sequence[Trace], prefix: str) -> dict[str, float]:
    """First and final accuracy, transitions, format rate and lengths."""
    tokens = [trace.tokens for trace in traces if trace.tokens is not None]
    metrics = {
        f"{prefix}/first_accuracy": _mean([trace.first_grade.is_correct for trace in traces]),
        f"{prefix}/final_accuracy": _mean([trace.final_grade.is_correct for trace in traces]),
        f"{prefix}/format_rate": _mean([trace.has_format for trace in traces]),
        f"{prefix}/truncated": _mean([count.truncated for count in tokens]),
        f"{prefix}/response_tokens/mean": _mean([count.total for count in tokens]),
        f"{prefix}/response_tokens/max": float(max((count.total for count in tokens), default=0)),
        f"{prefix}/response_tokens/first": _mean([count.first for count in tokens]),
    }
    for outcome, key in OUTCOME_KEYS.items():
        metrics[f"{prefix}/outcome/{key}"] = _mean([trace.outcome == outcome for trace in traces])
    return metrics


def reward_metrics(traces: Sequence[Trace]) -> dict[str, float]:
    """Mean score of every term (unweighted), mean and deviation of the total."""
    rewards = [trace.reward for trace in traces if trace.reward is not None]
    if not rewards:
        return {}
    totals = [reward.total for reward in rewards]
    mean = _mean(totals)
    metrics = {
        "rl/reward/mean": mean,
        "rl/reward/std": math.sqrt(_mean([(total - mean) ** 2 for total in totals])),
    }
    for term in rewards[0].terms:
        metrics[f"rl/{term.name}/mean"] = _mean([reward.score(term.name) for reward in rewards])
    return metrics


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
