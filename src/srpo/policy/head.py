"""Log-probs of given tokens from hidden states: the LM head, with at most `MAX_LOGITS` logits at a time.

The head of a small model with a real vocabulary is most of its cost. Logits are computed in slices, and one number of
each is kept for the backward pass; where more are asked for than may be held at once, they are computed again in it.
What a slice adds to the gradient of the head's weight goes into one tensor, so that slices may be small without costing
a gradient each.

    logprobs_N, entropy_N = token_logprobs(policy, hidden_N_D, targets_N, temperature=1.0, entropy=False)
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from srpo.policy.policy import Policy

MAX_LOGITS = 2**26
"""Logits held at once where none are computed twice."""
SLICE_LOGITS = 2**24
"""Logits of a slice."""
_BANNED = -1e30
"""Logit of a banned token: its share is nothing."""


def token_logprobs(
    policy: Policy, hidden_N_D: Tensor, targets_N: Tensor, *, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor]:
    """Log-prob of each target, float32, and entropy of what it was drawn from, in nats, without gradient.

    Args:
        policy: its head gives the logits, its banned ids have none.
        hidden_N_D: final hidden states, each of which predicts one target.
        targets_N: token ids.
        temperature: divides the logits.
        entropy: whether entropies are wanted; 0 where they are not.

    """

    def direct(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with policy.autocast():
            logits = policy.model.lm_head(hidden)
        logits = (logits.float() / temperature).masked_fill(policy.banned_V, -torch.inf)
        spread = logits.detach().softmax(-1) if entropy else logits.new_zeros(len(targets), 0)
        return -F.cross_entropy(logits, targets, reduction="none"), torch.special.entr(spread).sum(-1)

    head = policy.model.lm_head
    if _is_its_weight(head):
        dtype = policy.autocast_dtype or head.weight.dtype
        slices = _Slices(temperature, policy.banned_V, dtype, entropy, max(1, SLICE_LOGITS // policy.vocab_size))
        logprobs_N, entropy_N = _SlicedHead.apply(  # type: ignore[no-untyped-call]
            hidden_N_D, head.weight, targets_N, slices
        )
        return logprobs_N, entropy_N
    # A head with adapters, a bias or hooks computes its gradients by itself.
    if len(targets_N) * policy.vocab_size <= MAX_LOGITS:
        return direct(hidden_N_D, targets_N)
    step = max(1, MAX_LOGITS // policy.vocab_size)
    parts = [
        checkpoint(direct, hidden_N_D[i : i + step], targets_N[i : i + step], use_reentrant=False)
        for i in range(0, len(targets_N), step)
    ]
    logprobs_N, entropy_N = (torch.cat(column) for column in zip(*parts, strict=True))
    return logprobs_N, entropy_N


def _is_its_weight(head: nn.Module) -> bool:
    """Whether logits are the weight times the hidden states, and nothing else."""
    hooks = {*head._forward_hooks, *head._forward_pre_hooks}  # noqa: SLF001 - torch has no other way to ask
    return type(head) is nn.Linear and head.bias is None and not hooks


class _Slices:
    """How logits are made of hidden states, a slice at a time."""

    def __init__(
        self, temperature: float, banned_V: Tensor, dtype: torch.dtype, entropy: bool, num_tokens: int
    ) -> None:
        self.temperature, self.banned_V, self.dtype = temperature, banned_V, dtype
        self.entropy, self.num_tokens, self.bans = entropy, num_tokens, bool(banned_V.any())

    def of(self, hidden: Tensor) -> list[slice]:
        parts = [slice(begin, begin + self.num_tokens) for begin in range(0, len(hidden), self.num_tokens)]
        # To a memory plan a slice is like the next.
        return parts[:2] if isinstance(hidden, FakeTensor) else parts

    def logprobs(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """All log-probs of a slice, float32, shape (n, V)."""
        logits = F.linear(hidden, weight).float()
        if self.temperature != 1:
            logits.div_(self.temperature)
        if self.bans:
            logits.masked_fill_(self.banned_V, _BANNED)
        return logits.sub_(logits.logsumexp(-1, keepdim=True))

    @staticmethod
    def minus_target(shares: Tensor, targets: Tensor) -> Tensor:
        """Shares of all tokens less 1 at the target, in place."""
        return shares.scatter_add_(-1, targets[:, None], -torch.ones_like(shares[:, :1]))


class _SlicedHead(torch.autograd.Function):
    """Log-probs of targets and entropies; shares of tokens are kept for the backward pass, or computed in it again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, slices: _Slices) -> tuple[Tensor, Tensor]:
        low, own = hidden.to(slices.dtype), weight.to(slices.dtype)
        logprobs = hidden.new_zeros(len(targets), dtype=torch.float32)
        entropies = torch.zeros_like(logprobs)
        keeps = any(ctx.needs_input_grad) and len(targets) * len(weight) <= MAX_LOGITS
        kept = low.new_empty((len(targets), len(weight))) if keeps else None
        with torch.autocast(hidden.device.type, enabled=False):
            for part in slices.of(hidden):
                found = slices.logprobs(low[part], own)
                logprobs[part] = found.gather(-1, targets[part, None])[:, 0]
                if not slices.entropy and kept is None:
                    continue
                # As few copies of a slice's logits as there can be: they are most of what a step takes.
                own_place = kept[part] if kept is not None and kept.dtype == found.dtype else None
                shares = torch.exp(found, out=own_place)
                if slices.entropy:
                    # A banned token's log-prob is finite, so that nothing times it is nothing.
                    entropies[part] = -found.mul_(shares).sum(-1)
                if kept is not None:
                    spread = slices.minus_target(shares, targets[part])
                    if own_place is None:
                        kept[part] = spread
        ctx.save_for_backward(hidden, weight, targets, kept)
        ctx.slices = slices
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, targets, kept = ctx.saved_tensors
        slices: _Slices = ctx.slices
        low, own = hidden.to(slices.dtype), weight.to(slices.dtype)
        for_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        # d log p(target) / d logits = onehot - p, over the temperature; each row's factor goes to the small side.
        factor = -(gradient / slices.temperature)[:, None]
        with torch.autocast(hidden.device.type, enabled=False):
            for part in slices.of(hidden) if kept is None else [slice(None)]:
                if kept is None:
                    shares = slices.logprobs(low[part], own).exp_()
                    spread = slices.minus_target(shares, targets[part]).to(slices.dtype)
                else:
                    spread = kept
                if for_hidden is not None:
                    for_hidden[part] = (spread @ own) * factor[part]
                if for_weight is None:
                    continue
                scaled = (hidden[part] * factor[part]).to(slices.dtype)
                if for_weight.dtype == own.dtype:
                    for_weight.addmm_(spread.mT, scaled)
                else:  # Slices are added up in the type of the weights, as everywhere under autocast.
                    for_weight += spread.mT @ scaled
        return for_hidden, for_weight, None, None
