"""The language model over many completions at once, without padding: all their tokens stand in one row.

In a layer every token looks at its prompt, which all completions of a group share, and at its own completion up to
itself. Both looks are one kernel each, without a mask and without a copy of the prompt's keys for every completion. The
two are joined by their log-sum-exps, and so are their gradients: the kernel needs no more than the joined ones. What
is the same for every token (norms, products) runs over the whole row.

    if can_pack(policy):
        hidden_N_D = Packed(policy)(tokens_N, position_N, layout_of(prompt_B, length_B, sizes), keys, values)

Only CPU kernels give their log-sum-exps in this form. On a GPU both looks are one call of FlexAttention
(`policy.packed_flex`), where that works; other devices keep to `policy.prefix`'s batches.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from srpo.policy.lean import is_known, rotate
from srpo.policy.packed_flex import FLEX_TOKENS, FlexLooks, flex_attend, flex_looks, works_on
from srpo.policy.policy import Policy

PACK_TOKENS = 2048
"""Tokens of a row, about: the activations of more do not stay in a processor's cache."""

FORGETS = "computes_its_inside_again"
"""Mark of a layer whose activations are not kept (`policy.recompute`)."""

ATTEND = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
"""The kernel that tells its log-sum-exps."""
_ATTEND_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward  # noqa: SLF001


class Look(NamedTuple):
    """Queries that look at the same keys, and where both stand."""

    begin: int
    end: int
    which: int
    """Which prompt; or how many completions of equal length stand here."""
    size: int
    """Tokens of the prompt, or of each completion."""


class Layout(NamedTuple):
    """Where completions stand in a row of N tokens."""

    prompts: list[Look]
    """Tokens that share a prompt."""
    own: list[Look]
    """Neighbours of equal length."""


def can_pack(policy: Policy) -> bool:
    """Whether this policy's device and family are known here."""
    if not is_known(policy):
        return False
    # A plan for a GPU is of batches with padding: whether FlexAttention works is known on the GPU alone.
    return policy.kernels == "cpu" or (policy.kernels == policy.device.type == "cuda" and _can_flex(policy))


def _can_flex(policy: Policy) -> bool:
    attention = policy.model.model.language_model.layers[0].self_attn
    config, dtype = policy.model.model.language_model.config, policy.autocast_dtype or policy.model.dtype
    heads = config.num_attention_heads, config.num_key_value_heads
    return works_on(policy.device, *heads, attention.head_dim, dtype)


def row_tokens(device: torch.device) -> int:
    """Tokens of a row, about, on this device."""
    return PACK_TOKENS if device.type == "cpu" else FLEX_TOKENS


def looks_of(
    policy: Policy, prompt_B: Sequence[int], length_B: Sequence[int], sizes: Sequence[int], padded: int
) -> "Layout | FlexLooks":
    """`layout_of` for the kernels of the policy's device; `padded` is the length of the prompts' keys."""
    if policy.device.type == "cpu":
        return layout_of(prompt_B, length_B, sizes)
    return flex_looks(prompt_B, length_B, sizes, padded, policy.device)


def layout_of(prompt_B: Sequence[int], length_B: Sequence[int], prompt_sizes: Sequence[int]) -> Layout:
    """Completions one after the other, those of a prompt side by side.

    >>> layout_of([0, 0, 1], [3, 3, 2], [7, 9])
    Layout(prompts=[Look(begin=0, end=6, which=0, size=7), Look(begin=6, end=8, which=1, size=9)], \
own=[Look(begin=0, end=6, which=2, size=3), Look(begin=6, end=8, which=1, size=2)])
    """
    ends = [0, *accumulate(length_B)]
    prompts = [
        Look(ends[rows[0]], ends[rows[-1] + 1], prompt, prompt_sizes[prompt]) for prompt, rows in _runs(prompt_B)
    ]
    own = [Look(ends[rows[0]], ends[rows[-1] + 1], len(rows), size) for size, rows in _runs(length_B)]
    # The kernels are not made for nothing at all.
    return Layout(*([one for one in looks if one.begin < one.end] for looks in (prompts, own)))


def _runs(values: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Each value and the neighbouring places where it stands."""
    return [(value, list(places)) for value, places in groupby(range(len(values)), key=values.__getitem__)]


def packs(length_B: Sequence[int], most: int | None = None) -> list[slice]:
    """Neighbouring completions, about `most` tokens together; None takes `PACK_TOKENS`.

    >>> packs([5, 5, 5, 5], most=12)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    ends = [0, *accumulate(length_B)]
    count, total = max(1, round(ends[-1] / (most or PACK_TOKENS))), max(1, ends[-1])
    number_B = [min(count - 1, int((ends[at] + size / 2) * count / total)) for at, size in enumerate(length_B)]
    return [slice(rows[0], rows[-1] + 1) for _, rows in _runs(number_B)]


class Packed:
    """The language model's layers for tokens that stand in one row."""

    def __init__(self, policy: Policy) -> None:
        self._model = policy.model.model.language_model
        self._embed = policy.model.get_input_embeddings()

    def __call__(
        self,
        tokens_N: Tensor,
        position_N: Tensor,
        layout: Layout | FlexLooks,
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
    ) -> Tensor:
        """Final hidden states, shape (N, D).

        Args:
            tokens_N: token ids.
            position_N: their positions; those of text are the same in time, height and width.
            layout: which of them look at what.
            keys: of the prompts, per layer, shape (P, key-value heads, L, head size).
            values: as `keys`.

        """
        hidden = self._embed(tokens_N)
        cos, sin = (one[0] for one in self._model.rotary_emb(hidden[None], position_N[None, None].expand(3, 1, -1)))
        for layer, keys_P, values_P in zip(self._model.layers, keys, values, strict=True):
            given = (layer, hidden, cos[:, None], sin[:, None], layout, keys_P, values_P)
            if getattr(layer, FORGETS, False) and torch.is_grad_enabled():
                hidden = checkpoint(_layer, *given, use_reentrant=False, preserve_rng_state=False)
            else:
                hidden = _layer(*given)
        final: Tensor = self._model.norm(hidden)
        return final


def _layer(
    layer: Any,
    hidden: Tensor,
    cos: Tensor,
    sin: Tensor,
    layout: Layout | FlexLooks,
    keys_P: Tensor,
    values_P: Tensor,
) -> Tensor:
    attention, mlp = layer.self_attn, layer.mlp
    normed = layer.input_layernorm(hidden)
    query, key, value = (
        getattr(attention, name)(normed).unflatten(-1, (-1, attention.head_dim))
        for name in ("q_proj", "k_proj", "v_proj")
    )
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm(query), attention.k_norm(key)
    if isinstance(layout, FlexLooks):
        query, key = (rotate(one, cos, sin).to(value.dtype) for one in (query, key))
        seen = flex_attend(query, key, value, keys_P, values_P, layout, attention.scaling)
    else:
        seen = _Attention.apply(query, key, value, keys_P, values_P, (cos, sin, layout, attention.scaling))  # type: ignore[no-untyped-call]
    hidden = hidden + attention.o_proj(seen.flatten(1))
    normed = layer.post_attention_layernorm(hidden)
    return hidden + mlp.down_proj(mlp.act_fn(mlp.gate_proj(normed)) * mlp.up_proj(normed))  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    """Rotates queries and keys, and attends: shapes (N, heads, head size), of prompts (P, heads, L, head size)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, keys_P: Tensor, values_P: Tensor, how: Any
    ) -> Tensor:
        cos, sin, layout, scale = how
        query, key = (rotate(one, cos, sin).to(value.dtype) for one in (query, key))
        keys_P, values_P = keys_P.to(value.dtype), values_P.to(value.dtype)
        theirs, their_sums = _joined(
            [ATTEND(*_prompt_look(one, query, keys_P, values_P), scale=scale) for one in layout.prompts]
        )
        ours, our_sums = _joined(
            [ATTEND(*_own_look(one, query, key, value), 0.0, True, scale=scale) for one in layout.own]
        )
        share = torch.sigmoid(their_sums - our_sums)[..., None].to(ours.dtype)
        seen = torch.lerp(ours, theirs, share)
        ctx.save_for_backward(query, key, value, keys_P, values_P, seen, torch.logaddexp(their_sums, our_sums))
        ctx.how = how
        return seen

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, keys_P, values_P, seen, sums = ctx.saved_tensors
        cos, sin, layout, scale = ctx.how
        gradient = gradient.to(value.dtype)
        for_keys, for_values = torch.zeros_like(keys_P), torch.zeros_like(values_P)
        for_query, for_key, for_value = (torch.empty_like(one) for one in (query, key, value))
        for one in layout.own:
            found = _ATTEND_BACKWARD(
                _batched(one, gradient), *_own_look(one, query, key, value), _batched(one, seen),
                _batched(one, sums[..., None])[..., 0], 0.0, True, scale=scale,
            )  # fmt: skip
            for into, part in zip((for_query, for_key, for_value), found, strict=True):
                into[one.begin : one.end] = part.transpose(1, 2).flatten(0, 1)
        for one in layout.prompts:
            place = slice(one.begin, one.end)
            more, keys, values = _ATTEND_BACKWARD(
                _heads_first(gradient[place]), *_prompt_look(one, query, keys_P, values_P), _heads_first(seen[place]),
                sums[place].T[None], 0.0, False, scale=scale,
            )  # fmt: skip
            for_query[place] += more[0].transpose(0, 1)
            for_keys[one.which, :, : one.size] += keys[0]
            for_values[one.which, :, : one.size] += values[0]
        return rotate(for_query, cos, -sin), rotate(for_key, cos, -sin), for_value, for_keys, for_values, None


def _prompt_look(one: Look, query: Tensor, keys_P: Tensor, values_P: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    keys, values = (part[one.which : one.which + 1, :, : one.size] for part in (keys_P, values_P))
    return _heads_first(query[one.begin : one.end]), keys, values


def _own_look(one: Look, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    return tuple(_batched(one, part) for part in (query, key, value))


def _heads_first(tokens: Tensor) -> Tensor:
    """(n, heads, head size) as a batch of one."""
    return tokens.transpose(0, 1)[None]


def _batched(one: Look, tokens: Tensor) -> Tensor:
    """Completions of equal length as a batch: (B, heads, T, head size)."""
    batch: Tensor = tokens[one.begin : one.end].unflatten(0, (one.which, one.size)).transpose(1, 2)
    return batch


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Outputs (N, heads, head size) and log-sum-exps (N, heads) of looks that follow each other."""
    outputs = [output.transpose(1, 2).flatten(0, 1) for output, _ in parts]
    sums = [one.transpose(1, 2).flatten(0, 1) for _, one in parts]
    return (outputs[0], sums[0]) if len(parts) == 1 else (torch.cat(outputs), torch.cat(sums))
