"""One step of supervised fine-tuning: completion-only cross-entropy, averaged over the tokens that carry loss.

Differs from the paper's release in the target, which has a real second think (docs/design.md#reflection-data), and in
that the mean is over the tokens of the whole batch, so that micro-batches of any size give the same gradient.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from srpo.policy.optim import Optimizer
from srpo.policy.prefix import completion_logprobs
from srpo.policy.prompts import PromptEncoder, split
from srpo.sft.examples import Example

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


class SegmentLoss(NamedTuple):
    """Summed negative log-probabilities in nats, and over how many tokens. First attempt and rest, loss or not."""

    first: float
    num_first: int
    rest: float
    num_rest: int


def train_step(
    policy: "Policy",
    optimizer: Optimizer,
    encoder: PromptEncoder,
    batch: Sequence[Example],
    micro_batch_size: int | None,
) -> dict[str, float]:
    """Learn from one batch; returns the step's metrics."""
    lr = optimizer.lr
    loss, segments = accumulate_gradients(policy, encoder, batch, micro_batch_size)
    grad_norm = optimizer.step()
    first = sum(segment.first for segment in segments) / max(1, sum(segment.num_first for segment in segments))
    rest = sum(segment.rest for segment in segments) / max(1, sum(segment.num_rest for segment in segments))
    return {
        "sft/loss": loss,
        "sft/loss/first": first,
        "sft/loss/rest": rest,
        "sft/grad_norm": grad_norm,
        "sft/lr": lr,
    }


def accumulate_gradients(
    policy: "Policy", encoder: PromptEncoder, batch: Sequence[Example], micro_batch_size: int | None
) -> tuple[float, list[SegmentLoss]]:
    """Add the gradient of the batch's mean loss to the weights; returns that loss and its parts."""
    num_loss_tokens = sum(example.num_loss_tokens for example in batch)
    total = 0.0
    segments: list[SegmentLoss] = []
    for indices in split(range(len(batch)), micro_batch_size):
        # Several traces of one problem share its prompt and picture.
        by_prompt: dict[tuple[object, ...], list[Example]] = {}
        for index in indices:
            problem = batch[index].problem
            by_prompt.setdefault((problem.question, problem.choices, problem.images), []).append(batch[index])
        examples_B = [example for group in by_prompt.values() for example in group]
        prompts_P = encoder.encode_all([group[0].problem for group in by_prompt.values()])
        targets_P_G = [[example.tokens for example in group] for group in by_prompt.values()]
        logprobs = completion_logprobs(policy, prompts_P, targets_P_G)
        losses_B_T = torch.where(logprobs.mask_B_T, -logprobs.logprobs_B_T, 0.0)
        loss = torch.where(loss_mask(examples_B, losses_B_T), losses_B_T, 0.0).sum() / num_loss_tokens
        loss.backward()
        total += float(loss.detach())
        segments.append(_by_segment(examples_B, losses_B_T.detach()))
    return total, segments


def loss_mask(examples_B: Sequence[Example], like_B_T: Tensor) -> Tensor:
    """True where a target's token carries loss, shape (B, T)."""
    return _between(like_B_T, [e.skipped_tokens for e in examples_B], [len(e.tokens) for e in examples_B])


def _between(like_B_T: Tensor, start_B: Sequence[int], end_B: Sequence[int]) -> Tensor:
    """True where start <= t < end."""
    positions_T = torch.arange(like_B_T.shape[1], device=like_B_T.device)
    bounds_2_B_1 = torch.tensor([start_B, end_B], device=like_B_T.device).unsqueeze(-1)
    return (positions_T >= bounds_2_B_1[0]) & (positions_T < bounds_2_B_1[1])


def _by_segment(examples_B: Sequence[Example], losses_B_T: Tensor) -> SegmentLoss:
    first_B = [example.first_tokens for example in examples_B]
    total_B = [len(example.tokens) for example in examples_B]
    in_first_B_T = _between(losses_B_T, [0] * len(first_B), first_B)
    first = float(losses_B_T[in_first_B_T].sum())
    return SegmentLoss(first, sum(first_B), float(losses_B_T.sum()) - first, sum(total_B) - sum(first_B))
