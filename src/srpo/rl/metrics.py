"""What is logged of a step, and where its time goes.

Of the rollout: every reward term, accuracies, transitions, format, lengths and groups. Of the update: loss, gradient,
entropy, how far the policy moved, and how far sampler and trainer are apart.

All means over responses are over every graded one that was sampled, whether or not its group was kept for the loss: a
filter that drops the groups that are all right would otherwise make the policy look worse the better it gets.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from srpo.core.looking import looks_again
from srpo.core.records import OUTCOME_KEYS, Response, Trace
from srpo.core.statistics import mean
from srpo.rl.losses import LossStats
from srpo.rl.rollout import Rollout


class PhaseTimer:
    """Seconds per phase of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._told: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Add the time of the block to `phase`."""
        started_s = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started_s

    def lap(self) -> dict[str, float]:
        """Seconds per phase since this was asked last."""
        took = {phase: whole - self._told.get(phase, 0.0) for phase, whole in self.seconds.items()}
        self._told = dict(self.seconds)
        return took


class PieceStats(NamedTuple):
    """What one forward and backward pass found out."""

    loss: float
    """The piece's share of its minibatch's loss."""
    stats: LossStats
    entropy: float
    """Mean over tokens, nats."""
    mismatch: float
    """Mean absolute difference of sampler and trainer log-probabilities, nats."""
    mismatch_max: float


class MinibatchStats(NamedTuple):
    """What one optimizer step found out."""

    pieces: list[PieceStats]
    grad_norm: float


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """Everything about one step's responses. Groups whose gold is ungradable are counted and left out.

    Roll-ins have numbers of their own: their first attempts are wrong by choice.
    """
    onward = [group for group in rollout.groups if group.is_roll_in and not group.is_recombined]
    shifts = [group.shift for group in rollout.groups if group.shift is not None]
    own = [group for group in rollout.groups if not group.is_roll_in]
    graded = [group for group in own if group.is_graded]
    traces = [trace for group in graded for trace in group.traces]
    num_kept = sum(kept for kept, group in zip(rollout.is_kept, rollout.groups, strict=True) if not group.is_roll_in)
    metrics = {
        "rl/groups/sampled": float(len(own)),
        "rl/groups/kept": float(num_kept),
        "rl/groups/no_signal": float(len(graded) - num_kept),
        "rl/groups/refilled": float(rollout.num_refilled),
        "rl/groups/ungradable": float(len(own) - len(graded)),
        "rl/responses/undecided": float(
            sum(_is_undecided(trace) for group in rollout.groups for trace in group.traces)
        ),
    }
    if onward:
        repaired = [trace.final_grade.is_correct for group in onward for trace in group.traces]
        metrics |= {"rl/roll_ins/groups": float(len(onward)), "rl/roll_ins/repaired": mean(repaired)}
    if shifts:
        metrics |= {"rl/recombined/groups": float(len(shifts)), "rl/recombined/shift": mean(shifts)}
    return metrics | accuracy_metrics(traces, "rl") | reward_metrics(traces)


def _is_undecided(trace: Trace) -> bool:
    return "undecided" in (trace.first_grade.verdict, trace.final_grade.verdict)


def update_metrics(minibatches: Sequence[MinibatchStats], *, weighs: bool = False) -> dict[str, float]:
    """Everything about the optimizer steps on one rollout; nothing when there was nothing to learn from.

    `weighs`: whether truncated importance sampling has weights to tell about.
    """
    if not minibatches:
        return {}
    pieces = [piece for minibatch in minibatches for piece in minibatch.pieces]
    # Before the first update sampler and trainer have the same weights.
    first = minibatches[0].pieces
    metrics = {
        "rl/loss": sum(piece.loss for piece in pieces) / len(minibatches),
        "rl/grad_norm": sum(minibatch.grad_norm for minibatch in minibatches) / len(minibatches),
        "rl/entropy": _token_mean(pieces, [piece.entropy for piece in pieces]),
        "rl/kl": _token_mean(pieces, [piece.stats.reference_kl for piece in pieces]),
        "rl/old_kl": _token_mean(pieces, [piece.stats.old_kl for piece in pieces]),
        "rl/ratio": _token_mean(pieces, [piece.stats.ratio for piece in pieces]),
        "rl/clip_fraction": _token_mean(pieces, [piece.stats.clip_fraction for piece in pieces]),
        "rl/sampler_mismatch": mean_mismatch(first),
        "rl/sampler_mismatch/max": max(piece.mismatch_max for piece in first),
    }
    if weighs:
        metrics["rl/importance/mean"] = _token_mean(pieces, [piece.stats.importance for piece in pieces])
        metrics["rl/importance/capped"] = _token_mean(pieces, [piece.stats.importance_capped for piece in pieces])
    return metrics


def mean_mismatch(pieces: Sequence[PieceStats]) -> float:
    """Mean absolute difference of sampler and trainer log-probabilities over the tokens of these pieces, nats."""
    return _token_mean(pieces, [piece.mismatch for piece in pieces])


def accuracy_metrics(traces: Sequence[Trace], prefix: str) -> dict[str, float]:
    """First and final accuracy, transitions, format rate and lengths."""
    tokens = [trace.tokens for trace in traces if trace.tokens is not None]
    metrics = {
        f"{prefix}/first_accuracy": mean([trace.first_grade.is_correct for trace in traces]),
        f"{prefix}/final_accuracy": mean([trace.final_grade.is_correct for trace in traces]),
        f"{prefix}/format_rate": mean([trace.has_format for trace in traces]),
        f"{prefix}/truncated": mean([count.truncated for count in tokens]),
        f"{prefix}/response_tokens/mean": mean([count.total for count in tokens]),
        f"{prefix}/response_tokens/max": float(max((count.total for count in tokens), default=0)),
        f"{prefix}/response_tokens/first": mean([count.first for count in tokens]),
    }
    for outcome, key in OUTCOME_KEYS.items():
        metrics[f"{prefix}/outcome/{key}"] = mean([trace.outcome == outcome for trace in traces])
    return metrics | _looking(traces, prefix)


def _looking(traces: Sequence[Trace], prefix: str) -> dict[str, float]:
    """Share of reflections that look again, by the first answer: what there is to learn is when to look."""
    looks: dict[str, list[float]] = {"first_right": [], "first_wrong": []}
    for trace in traces:
        if isinstance(trace.parsed, Response):
            group = "first_right" if trace.first_grade.is_correct else "first_wrong"
            looks[group].append(looks_again(trace.parsed.reflection, trace.parsed.first))
    return {f"{prefix}/looks_again/{group}": mean(found) for group, found in looks.items() if found}


def reward_metrics(traces: Sequence[Trace]) -> dict[str, float]:
    """Mean score of every term (unweighted), mean and deviation of the total."""
    rewards = [trace.reward for trace in traces if trace.reward is not None]
    if not rewards:
        return {}
    totals = [reward.total for reward in rewards]
    average = mean(totals)
    metrics = {
        "rl/reward/mean": average,
        "rl/reward/std": math.sqrt(mean([(total - average) ** 2 for total in totals])),
    }
    for term in rewards[0].terms:
        metrics[f"rl/{term.name}/mean"] = mean([reward.score(term.name) for reward in rewards])
    return metrics


def _token_mean(pieces: Sequence[PieceStats], values: Sequence[float]) -> float:
    """Mean over all tokens of values that are means over the tokens of each piece."""
    weights = [piece.stats.num_tokens for piece in pieces]
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
