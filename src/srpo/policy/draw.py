"""Draw tokens by one uniform number each.

chosen_R = draw(probs_R_V, uniform_R, top_p=0.9)
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor

DRAW_BLOCK = 512
"""Tokens of the vocabulary that are looked through together when one is drawn."""


def draw(probs_R_V: Tensor, uniform_R: Tensor, top_p: float = 1.0) -> Tensor:
    """Draw one token per row by inverting the cumulative distribution; a token of probability 0 is never drawn.

    Args:
        probs_R_V: probabilities.
        uniform_R: float64 numbers in [0, 1).
        top_p: keep the most probable tokens until their sum reaches this.

    """
    if top_p < 1:
        sorted_R_V, order_R_V = probs_R_V.sort(dim=-1, descending=True)
        outside = sorted_R_V.cumsum(-1) - sorted_R_V >= top_p
        probs_R_V = torch.zeros_like(probs_R_V).scatter(-1, order_R_V, sorted_R_V.masked_fill(outside, 0.0))
    if probs_R_V.shape[1] <= 2 * DRAW_BLOCK:
        return _invert(probs_R_V, uniform_R[:, None] * probs_R_V.sum(-1, True, dtype=torch.float64))
    # First the block of the vocabulary, then the token in it: the sum over all of it in double precision is what costs.
    blocks_R_K_V = F.pad(probs_R_V, (0, -probs_R_V.shape[1] % DRAW_BLOCK)).unflatten(-1, (-1, DRAW_BLOCK))
    size_R_K = blocks_R_K_V.sum(-1, dtype=torch.float64)
    target_R = uniform_R[:, None] * size_R_K.sum(-1, True)
    block_R = _invert(size_R_K, target_R)
    before_R = (size_R_K.cumsum(-1) - size_R_K).gather(-1, block_R[:, None])
    rows = torch.arange(len(probs_R_V), device=probs_R_V.device)
    return block_R * DRAW_BLOCK + _invert(blocks_R_K_V[rows, block_R], target_R - before_R)


def _invert(probs_R_V: Tensor, target_R: Tensor) -> Tensor:
    """The first place of every row at which the sum exceeds the row's target; never one of probability 0."""
    cumulative_R_V = probs_R_V.double().cumsum(-1)
    total_R = cumulative_R_V[:, -1:]
    # Rounding could lift the target to the total itself, beyond the last place, or below what stands before the first.
    target_R = torch.minimum(target_R, total_R.nextafter(torch.zeros_like(total_R))).clamp(min=0)
    return torch.searchsorted(cumulative_R_V, target_R, right=True)[:, 0]
