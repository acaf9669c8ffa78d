"""Memory for time in learning: activations are computed again, and responses are scored a few at a time.

`recompute_layers` keeps only the input of every block of the model and computes its inside again in the backward pass;
a Hugging Face model's own switch is without effect in evaluation mode and fails on caches. `logprobs_in_pieces` makes
one response the smallest unit of learning: the prompt's keys and values are leaves to which the pieces add gradient,
and one backward pass takes the sum through prompt and picture. Neither changes a number beyond rounding.

    recompute_layers(policy.model)
    for rows, result in logprobs_in_pieces(policy, prompts, completions, micro_responses=2):
        loss(rows, result).backward()
"""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from srpo.policy.families import family_of
from srpo.policy.packed import FORGETS
from srpo.policy.policy import Policy
from srpo.policy.prefix import (
    Completions,
    Logprobs,
    Prefix,
    Rows,
    batch_prompts,
    completion_logprobs,
    compute_prefix,
    continued_hidden,
    finish,
    flatten,
)
from srpo.policy.processor import EncodedPrompt


def recompute_layers(model: Any) -> None:
    """Let every block of the language model, and of a vision tower that learns, forget its activations."""
    blocks, family = list(model.model.language_model.layers), family_of(model)
    if family.vision_trains(model):
        blocks += list(model.model.get_submodule(family.vision_blocks))
    for block in blocks:
        block.forward = _forgetful(block.forward)
        setattr(block, FORGETS, True)


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # There is no dropout, so there is no state of randomness to keep.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run


def logprobs_in_pieces(
    policy: Policy,
    prompts: Sequence[EncodedPrompt],
    completions: Completions,
    *,
    micro_responses: int | None,
    micro_tokens: int | None = None,
    temperature: float = 1.0,
    entropy: bool = False,
) -> Iterator[tuple[slice, Logprobs]]:
    """Log-probs of at most `micro_responses` completions and `micro_tokens` of their tokens, and the rows they are.

    The caller calls `backward` on every piece before it asks for the next, and asks until there is none: that is when
    the gradient goes on into the prompts. Arguments and errors otherwise as in `completion_logprobs`.
    """
    rows = flatten(policy, prompts, completions, temperature)
    parts = cut_rows([len(tokens) for tokens in rows.tokens], micro_responses, micro_tokens)
    if policy.unshared or len(parts) == 1 or len(rows.tokens) == len(prompts):
        # Where no prompt is shared, a piece is computed together with its prompts.
        for part in parts:
            own = prompts if len(parts) == 1 else [prompts[p] for p in rows.prompt[part]]
            texts = completions if len(parts) == 1 else [[tokens] for tokens in rows.tokens[part]]
            yield part, completion_logprobs(policy, own, texts, temperature=temperature, entropy=entropy)
        return
    with policy.autocast():
        prefix = compute_prefix(policy, batch_prompts(policy, prompts))
    leaves = _leaves(prefix)
    for part in parts:
        piece = _piece(rows, part)
        with policy.autocast():
            hidden_N_D = continued_hidden(policy, leaves, piece)
        yield part, finish(policy, piece, hidden_N_D, temperature=temperature, entropy=entropy)
    _go_on_into_prompts(prefix, leaves)


def cut_rows(length_B: Sequence[int], most_rows: int | None, most_tokens: int | None) -> list[slice]:
    """Neighbouring rows, at most so many and of at most so many tokens together; one row at the least.

    >>> cut_rows([4, 4, 4, 9, 1], most_rows=2, most_tokens=8)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    parts: list[slice] = []
    begin = total = 0
    for place, size in enumerate(length_B):
        is_full = most_rows is not None and place - begin >= most_rows
        if place > begin and (is_full or (most_tokens is not None and total + size > most_tokens)):
            parts.append(slice(begin, place))
            begin, total = place, 0
        total += size
    return [*parts, slice(begin, len(length_B))]


def _leaves(prefix: Prefix) -> Prefix:
    """The same numbers, from which gradients do not flow on."""
    keys, values = ([one.detach().requires_grad_(one.requires_grad) for one in part] for part in prefix[1:3])
    last = prefix.last_hidden_P_D
    return Prefix(prefix.batch, keys, values, last.detach().requires_grad_(last.requires_grad))


def _go_on_into_prompts(prefix: Prefix, leaves: Prefix) -> None:
    """One backward pass through the prompts with all that the pieces have added up."""
    pairs: list[tuple[Tensor, Tensor]] = [
        (ours, theirs.grad)
        for ours, theirs in zip(_tensors(prefix), _tensors(leaves), strict=True)
        if theirs.grad is not None
    ]
    if pairs:
        torch.autograd.backward([ours for ours, _ in pairs], [gradient for _, gradient in pairs])


def _tensors(prefix: Prefix) -> list[Tensor]:
    return [*prefix.keys, *prefix.values, prefix.last_hidden_P_D]


def _piece(rows: Rows, part: slice) -> Rows:
    """Some of the rows, without columns that none of them fills."""
    size = int(rows.mask_B_T[part].sum(1).max())
    return Rows(rows.prompt[part], rows.tokens[part], rows.tokens_B_T[part, :size], rows.mask_B_T[part, :size])
