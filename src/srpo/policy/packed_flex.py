"""The looks of packed completions as FlexAttention takes them: one kernel with a mask of blocks, for GPUs.

All prompts stand before the row, one after the other, as keys of one sequence. A token may look at a key of its own
prompt, padding apart, and at one of its own completion up to itself; blocks of the mask in which nobody may look are
never computed. Keys are neither copied for every completion nor repeated for the query heads that share them.

Before a device is trusted with it, `works_on` compares a small case, forward and backward, with plain attention under
the same mask: where the kernel cannot be compiled, or says something else, batches with padding stay in use.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor

from srpo.runs.progress import note

FLEX_TOKENS = 8192
"""Tokens of a row, about: enough to fill a device, and few enough to ask the mask about every pair of them."""
_OUTSIDE = -1
"""Owner of padding, which nobody is."""
LookMask = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class FlexLooks(NamedTuple):
    """Which tokens look at which keys."""

    mask: LookMask
    """Whether query i may look at key j, as `create_block_mask` asks."""
    blocks: Any
    """The mask by blocks."""


def flex_looks(
    prompt_B: Sequence[int], length_B: Sequence[int], sizes: Sequence[int], padded: int, device: Any
) -> FlexLooks:
    """Looks of completions that stand one after the other.

    Args:
        prompt_B: the prompt of each completion.
        length_B: tokens of each completion.
        sizes: tokens of each prompt.
        padded: tokens to which the prompts' keys are padded.
        device: where the kernel runs.

    """
    from torch.nn.attention.flex_attention import create_block_mask

    count = len(sizes)
    place_P_L = torch.arange(padded).expand(count, padded)
    prompt_P_L = torch.where(place_P_L < torch.tensor(sizes)[:, None], torch.arange(count)[:, None], _OUTSIDE)
    lengths = torch.tensor(length_B)
    # Completions are numbered on from the prompts.
    row_N = torch.arange(count, count + len(length_B)).repeat_interleave(lengths)
    prompt_N = torch.tensor(prompt_B).repeat_interleave(lengths)
    place_N = torch.cat([torch.arange(size) for size in length_B])
    # Tensors, not numbers, so that one compiled kernel serves all of them.
    owner_K = torch.cat([prompt_P_L.flatten(), row_N]).to(device)
    place_K = torch.cat([torch.zeros(count * padded, dtype=torch.int64), place_N]).to(device)
    prompt_Q, row_Q, place_Q = (one.to(device) for one in (prompt_N, row_N, place_N))

    def mask(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (owner_K[key] == row_Q[query]) & (place_K[key] <= place_Q[query])
        return own | (owner_K[key] == prompt_Q[query])

    blocks = create_block_mask(mask, None, None, len(row_N), len(owner_K), device=device)
    return FlexLooks(mask, blocks)


def flex_attend(
    query: Tensor, key: Tensor, value: Tensor, keys_P: Tensor, values_P: Tensor, looks: FlexLooks, scale: float
) -> Tensor:
    """What each head takes: shapes (N, heads, head size), of prompts (P, heads, L, head size)."""
    keys, values = (
        torch.cat([prompts.to(value.dtype).transpose(0, 1).flatten(1, 2), own.transpose(0, 1)], dim=1)[None]
        for prompts, own in ((keys_P, key), (values_P, value))
    )
    seen: Tensor = _kernel(query.device.type)(
        query.transpose(0, 1)[None], keys, values, block_mask=looks.blocks, scale=scale, enable_gqa=True
    )
    return seen[0].transpose(0, 1)


@lru_cache
def _kernel(device: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    # Not compiled it holds every score at once; so it is for tests on a CPU alone.
    kernel: Callable[..., Any] = flex_attention
    return torch.compile(kernel, dynamic=True) if device == "cuda" else kernel


@lru_cache
def works_on(device: torch.device, heads: int, key_heads: int, size: int, dtype: torch.dtype) -> bool:
    """Whether the kernel runs on this device and says what plain attention does; a note says when not."""
    try:
        apart = _difference(device, heads, key_heads, size, dtype)
    # A compiler may fail in any way, and none of them is the user's business.
    except Exception as error:
        note(f"srpo: FlexAttention does not run here ({type(error).__name__}); responses are learned from with padding")
        return False
    if apart > (1e-3 if dtype == torch.float32 else 5e-2):
        note(f"srpo: FlexAttention is {apart:.2g} off plain attention here; responses are learned from with padding")
        return False
    return True


def _difference(device: torch.device, heads: int, key_heads: int, size: int, dtype: torch.dtype) -> float:
    """The largest difference of outputs and gradients, in units of the largest number."""
    lengths, sizes, padded = [130, 5, 64], [140, 33], 140
    looks = flex_looks([0, 0, 1], lengths, sizes, padded, device)
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, size, generator=random).to(device, dtype).requires_grad_()

    given = (
        drawn(sum(lengths), heads), drawn(sum(lengths), key_heads), drawn(sum(lengths), key_heads),
        drawn(len(sizes), key_heads, padded), drawn(len(sizes), key_heads, padded),
    )  # fmt: skip
    weight = torch.randn(sum(lengths), heads, size, generator=random).to(device, dtype)
    with torch.enable_grad():
        found = [flex_attend(*given, looks, size**-0.5), plain_attend(*given, looks, size**-0.5)]
        gradients = [torch.autograd.grad(one, given, weight) for one in found]
    pairs = [(found[0], found[1]), *zip(*gradients, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def plain_attend(
    query: Tensor, key: Tensor, value: Tensor, keys_P: Tensor, values_P: Tensor, looks: FlexLooks, scale: float
) -> Tensor:
    """`flex_attend` with a mask of all queries and keys: the reference."""
    from torch.nn.attention.flex_attention import create_mask

    keys, values = (
        torch.cat([prompts.transpose(0, 1).flatten(1, 2), own.transpose(0, 1)], dim=1)[None]
        for prompts, own in ((keys_P, key), (values_P, value))
    )
    mask = create_mask(looks.mask, 1, 1, len(query), keys.shape[2], device=str(query.device))
    seen = F.scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys, values, attn_mask=mask, scale=scale, enable_gqa=True
    )
    return seen[0].transpose(0, 1)
