r"""Policy-gradient losses: one small pure function per variant, and one that adds clipping statistics and KL.

With A_t the advantage of a token and r_t = exp(logprob - old logprob), a token's surrogate is
min(r_t A_t, clip(r_t, 1 - clip_low, 1 + clip_high) A_t) (paper eq. 9). The variants differ in how the tokens add up:

* `grpo`: mean over the tokens of each response, then over responses (the paper).
* `dr_grpo`: sum over tokens, divided by a constant (responses x max_tokens): long answers are not diluted
  (Liu et al. 2025, eq. 4; give it advantages that were not divided by their deviation).
* `dapo`: mean over all tokens, usually with clip_high > clip_low (Yu et al. 2025, eq. 8).
* `gspo`: one importance ratio per response, the geometric mean of its tokens' (Zheng et al. 2025, eq. 7; in its
  token form, eq. 13, so that advantages may differ within a response). Its ratios stay much closer to 1, so it wants
  clip bounds of 3e-4 rather than 0.2.
* `cispo`: mean over all tokens of sg(clip(r_t)) A_t logprob_t, sg being the value without gradient (MiniMax-M1, 2025,
  eq. 4 and 5): clipping bounds a token's weight and never takes its gradient away. Its authors set no lower bound
  (clip_low 1).

Where sampler and trainer are two programs, the responses come from another policy than the old one. Truncated
importance sampling mends that: every token's surrogate is weighted by min(old / sampler, `importance_cap`), without
gradient (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

Minibatches that are processed in pieces pass the `Normalizer` of the whole minibatch, and their losses add up to its
loss. Advantages are one per token (credit `segment`) or one per response. Shape suffixes: B responses, T tokens.

    >>> logprobs_B_T = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5]])).requires_grad_()
    >>> loss, stats = policy_loss("grpo", logprobs_B_T=logprobs_B_T, old_logprobs_B_T=logprobs_B_T.detach(),
    ...     advantages=torch.tensor([1.0, 0.0]), mask_B_T=torch.ones(2, 2, dtype=torch.bool))
    >>> loss.item(), stats.ratio
    (-0.5, 1.0)
"""

from typing import NamedTuple

import torch
from torch import Tensor

from srpo.rl.config import LossVariant


class Normalizer(NamedTuple):
    """What sums over a minibatch are divided by; the same for all its pieces."""

    num_responses: int
    num_tokens: int
    """Completion tokens of all responses."""


class LossStats(NamedTuple):
    """What to log; means over the tokens of this call, so pieces are to be weighted by `num_tokens`."""

    num_tokens: int
    ratio: float
    """Mean importance ratio; 1 when sampler and trainer agree and no step has been taken."""
    ratio_max: float
    clip_fraction: float
    """Share of tokens whose surrogate is clipped, which get no gradient (but for `cispo`)."""
    old_kl: float
    """k3 estimate of KL(old policy || policy), nats per token: how far the minibatch has moved."""
    reference_kl: float
    """k3 estimate of KL(policy || reference), nats per token; 0 without a reference."""
    importance: float = 1.0
    """Mean weight of truncated importance sampling; 1 without it, and where sampler and trainer agree."""
    importance_capped: float = 0.0
    """Share of tokens whose weight is the cap."""


class Loss(NamedTuple):
    """A differentiable scalar and its statistics."""

    loss: Tensor
    stats: LossStats


def normalizer(mask_B_T: Tensor) -> Normalizer:
    """The normalizer of a minibatch whose completion tokens are where `mask_B_T` is true."""
    return Normalizer(num_responses=mask_B_T.shape[0], num_tokens=int(mask_B_T.sum()))


def policy_loss(
    variant: LossVariant,
    *,
    logprobs_B_T: Tensor,
    old_logprobs_B_T: Tensor,
    advantages: Tensor,
    mask_B_T: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    max_tokens: int | None = None,
    normalizer_of_batch: Normalizer | None = None,
    reference_logprobs_B_T: Tensor | None = None,
    kl_coef: float = 0.0,
    kl_mask_B_T: Tensor | None = None,
    sampler_logprobs_B_T: Tensor | None = None,
    importance_cap: float | None = None,
) -> Loss:
    """The loss to minimise.

    Args:
        variant: See the module.
        logprobs_B_T: Log-probabilities (nats) of the sampled tokens under the policy, with gradient.
        old_logprobs_B_T: The same under the policy before the first update on them, without gradient.
        advantages: Shape B or B x T.
        mask_B_T: True where there is a completion token. What stands elsewhere is never read.
        clip_low: The ratio is clipped at 1 - clip_low.
        clip_high: The ratio is clipped at 1 + clip_high.
        max_tokens: Longest response, the constant of `dr_grpo`.
        normalizer_of_batch: Of the whole minibatch, when this is a piece of it.
        reference_logprobs_B_T: The same under the reference policy.
        kl_coef: Weight of the KL to the reference, which adds up over tokens as the variant's surrogate does.
        kl_mask_B_T: True where tokens pay for the KL; None for all of them.
        sampler_logprobs_B_T: The same as the sampler had them when it drew the tokens.
        importance_cap: Largest weight of a token by old policy and sampler; None leaves all weights at 1.

    Raises:
        ValueError: `dr_grpo` without `max_tokens`, `kl_coef` without reference, or `importance_cap` without sampler.
    """
    _check_complete(variant, max_tokens, kl_coef, reference_logprobs_B_T, importance_cap, sampler_logprobs_B_T)
    batch = normalizer_of_batch or normalizer(mask_B_T)
    # Outside the mask anything may stand, -inf included; where() keeps it out of values and gradients alike.
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_B_T = torch.where(mask_B_T, old_logprobs_B_T, 0.0)
    advantages_B_T = advantages[:, None].expand_as(logprobs_B_T) if advantages.dim() == 1 else advantages
    advantages_B_T = torch.where(mask_B_T, advantages_B_T, 0.0)
    log_ratio_B_T = logprobs_B_T - old_B_T
    if variant == "gspo":
        log_ratio_B_T = _sequence_log_ratio(log_ratio_B_T, logprobs_B_T, mask_B_T)
    if variant == "cispo":
        surrogate_B_T, clipped_B_T = weighted_logprobs(log_ratio_B_T, logprobs_B_T, advantages_B_T, clip_low, clip_high)
    else:
        surrogate_B_T, clipped_B_T = clipped_surrogate(log_ratio_B_T.exp(), advantages_B_T, clip_low, clip_high)
    importance_B_T = _importance(old_B_T, sampler_logprobs_B_T, mask_B_T, importance_cap)
    objective_B_T = surrogate_B_T * importance_B_T
    reference_kl_B_T = torch.zeros_like(logprobs_B_T)
    if reference_logprobs_B_T is not None:
        reference_kl_B_T = k3(logprobs_B_T, torch.where(mask_B_T, reference_logprobs_B_T, 0.0))
        objective_B_T = objective_B_T - kl_coef * _where(kl_mask_B_T, reference_kl_B_T)
    objective = _mean_of(variant, objective_B_T, mask_B_T, batch, max_tokens)
    stats = _stats(log_ratio_B_T, clipped_B_T, k3(old_B_T, logprobs_B_T), reference_kl_B_T, mask_B_T)
    return Loss(-objective, _with_importance(stats, importance_B_T, mask_B_T, importance_cap))


def _importance(old_B_T: Tensor, sampler_B_T: Tensor | None, mask_B_T: Tensor, cap: float | None) -> Tensor:
    """Weight of each token by old policy and sampler; 1 everywhere without a cap."""
    if sampler_B_T is None or cap is None:
        return torch.ones_like(old_B_T)
    return truncated_importance(old_B_T, torch.where(mask_B_T, sampler_B_T, 0.0), cap)


def _where(mask_B_T: Tensor | None, values_B_T: Tensor) -> Tensor:
    """The values, 0 outside of a mask if there is one."""
    return values_B_T if mask_B_T is None else torch.where(mask_B_T, values_B_T, 0.0)


def _check_complete(
    variant: LossVariant,
    max_tokens: int | None,
    kl_coef: float,
    reference: Tensor | None,
    importance_cap: float | None,
    sampler: Tensor | None,
) -> None:
    if variant == "dr_grpo" and max_tokens is None:
        raise ValueError("loss 'dr_grpo' divides by the longest response; give max_tokens")
    if kl_coef and reference is None:
        raise ValueError(f"kl_coef {kl_coef!r} needs the reference's log-probabilities; give them or set kl_coef 0")
    if importance_cap is not None and sampler is None:
        raise ValueError(
            f"importance_cap {importance_cap!r} needs the sampler's log-probabilities; give them or leave it out"
        )


def _mean_of(
    variant: LossVariant, objective_B_T: Tensor, mask_B_T: Tensor, batch: Normalizer, max_tokens: int | None
) -> Tensor:
    """The tokens' objective as one number, divided as the variant says."""
    match variant:
        case "grpo" | "gspo":
            return sequence_mean(objective_B_T, mask_B_T, batch.num_responses)
        case "dr_grpo":
            assert max_tokens is not None
            return token_sum(objective_B_T, mask_B_T) / (batch.num_responses * max_tokens)
        case "dapo" | "cispo":
            return token_sum(objective_B_T, mask_B_T) / max(batch.num_tokens, 1)
        case _:
            raise ValueError(f"unknown loss {variant!r}; use one of grpo, dr_grpo, dapo, gspo, cispo")


def clipped_surrogate(
    ratio_B_T: Tensor, advantages_B_T: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate of each token, and where clipping took effect."""
    free_B_T = ratio_B_T * advantages_B_T
    clipped_B_T = ratio_B_T.clamp(1 - clip_low, 1 + clip_high) * advantages_B_T
    return torch.minimum(free_B_T, clipped_B_T), clipped_B_T < free_B_T


def weighted_logprobs(
    log_ratio_B_T: Tensor, logprobs_B_T: Tensor, advantages_B_T: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """CISPO's objective of each token, and where its weight is clipped. The gradient is weight x advantage."""
    ratio_B_T = log_ratio_B_T.detach().exp()
    weight_B_T = ratio_B_T.clamp(1 - clip_low, 1 + clip_high)
    return weight_B_T * advantages_B_T * logprobs_B_T, weight_B_T != ratio_B_T


def truncated_importance(old_logprobs_B_T: Tensor, sampler_logprobs_B_T: Tensor, cap: float) -> Tensor:
    """Weight of each token, min(old / sampler, cap): how much likelier the trainer's policy was to draw it."""
    return (old_logprobs_B_T - sampler_logprobs_B_T).detach().exp().clamp(max=cap)


def k3(logprobs_B_T: Tensor, other_logprobs_B_T: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(p || q) from samples of p = `logprobs`: exp(q - p) - (q - p) - 1, never negative."""
    difference_B_T = other_logprobs_B_T - logprobs_B_T
    return torch.expm1(difference_B_T) - difference_B_T


def sequence_mean(values_B_T: Tensor, mask_B_T: Tensor, num_responses: int) -> Tensor:
    """Mean over each response's tokens, then over responses; a response without tokens counts as 0."""
    lengths_B = mask_B_T.sum(1).clamp(min=1)
    return (torch.where(mask_B_T, values_B_T, 0.0).sum(1) / lengths_B).sum() / num_responses


def token_sum(values_B_T: Tensor, mask_B_T: Tensor) -> Tensor:
    """Sum over all completion tokens."""
    return torch.where(mask_B_T, values_B_T, 0.0).sum()


def _sequence_log_ratio(log_ratio_B_T: Tensor, logprobs_B_T: Tensor, mask_B_T: Tensor) -> Tensor:
    """GSPO's ratio of the whole response at every token, with the gradient of that token."""
    mean_B_1 = log_ratio_B_T.sum(1, keepdim=True) / mask_B_T.sum(1, keepdim=True).clamp(min=1)
    return mean_B_1.detach() + logprobs_B_T - logprobs_B_T.detach()


def _stats(
    log_ratio_B_T: Tensor, clipped_B_T: Tensor, old_kl_B_T: Tensor, reference_kl_B_T: Tensor, mask_B_T: Tensor
) -> LossStats:
    num_tokens = int(mask_B_T.sum())

    def mean(values_B_T: Tensor) -> float:
        return float(token_sum(values_B_T.detach().float(), mask_B_T)) / max(num_tokens, 1)

    ratio_B_T = log_ratio_B_T.detach().exp()
    largest = float(torch.where(mask_B_T, ratio_B_T, 0.0).max()) if num_tokens else 0.0
    return LossStats(num_tokens, mean(ratio_B_T), largest, mean(clipped_B_T), mean(old_kl_B_T), mean(reference_kl_B_T))


def _with_importance(stats: LossStats, importance_B_T: Tensor, mask_B_T: Tensor, cap: float | None) -> LossStats:
    if cap is None:
        return stats
    num_tokens = max(stats.num_tokens, 1)
    return stats._replace(
        importance=float(token_sum(importance_B_T, mask_B_T)) / num_tokens,
        importance_capped=float(token_sum((importance_B_T >= cap).float(), mask_B_T)) / num_tokens,
    )
