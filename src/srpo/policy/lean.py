"""One decoding step of the Qwen-VL language models without their modules: fewer and larger operations, same numbers.

A step of decoding is short, and most of its time goes into calling modules. Here a layer is a handful of operations:
query, key and value in one product, gate and up in one, norms in one kernel, keys not repeated for their query heads.
What a layer has beyond plain weights (adapters, four-bit weights) is called as it is. A family that is not known here
takes its own forward pass.

    step = lean_step(policy)          # None for other families
    hidden_R_D = step(embeds_R_D, position_R, layers, looks)
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn

from srpo.policy.policy import Policy

KNOWN_LAYERS = ("Qwen2VLDecoderLayer", "Qwen2_5_VLDecoderLayer", "Qwen3VLTextDecoderLayer")
"""Classes of transformers that compute what `_Layer` does."""
JOINED_BYTES = 2**28
"""Weights up to this size are joined, which copies them; in larger ones the products take the time, not the calls."""

Product = Callable[[Tensor], Tensor]


class CacheLayer(Protocol):
    """What a step asks of a layer's keys and values."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, looks: Any, scale: float) -> Tensor:
        """Append one token of every row, and return what its heads take from all that the row may look at.

        Shapes are (R, heads, head size), that of the result is (R, query heads * head size).
        """


class LeanStep:
    """The language model for one new token of every row."""

    def __init__(self, policy: Policy) -> None:
        model = policy.model.model.language_model
        size = sum(weight.nbytes for weight in model.layers.parameters())
        dtype = policy.autocast_dtype if size <= JOINED_BYTES else None
        self._layers = [_Layer(layer, join=size <= JOINED_BYTES, dtype=dtype) for layer in model.layers]
        self._norm = _norm(model.norm)
        self._rotary = model.rotary_emb

    def __call__(self, embeds_R_D: Tensor, position_R: Tensor, cache: Sequence[CacheLayer], looks: Any) -> Tensor:
        """Final hidden states, shape (R, D).

        Args:
            embeds_R_D: embeddings of the tokens.
            position_R: their positions; those of text are the same in time, height and width.
            cache: keys and values of each layer, to which the step adds one column.
            looks: where rows may look, as the cache's layers take it: a mask, seats, or None for everywhere.

        """
        cos, sin = self._rotary(embeds_R_D[:, None], position_R[None, :, None].expand(3, -1, -1))
        hidden = embeds_R_D
        for layer, states in zip(self._layers, cache, strict=True):
            hidden = layer(hidden, cos, sin, states, looks)
        return self._norm(hidden)


class _Layer:
    """One decoder layer."""

    def __init__(self, layer: Any, *, join: bool, dtype: torch.dtype | None) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._head = attention.head_dim
        self._scale = attention.scaling
        self._before, self._between = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self._query_key_value = _product([attention.q_proj, attention.k_proj, attention.v_proj], join, dtype)
        self._num_key_heads = attention.k_proj.out_features // self._head
        self._query_norm, self._key_norm = (
            _norm(getattr(attention, name)) if hasattr(attention, name) else None for name in ("q_norm", "k_norm")
        )
        self._out = _product([attention.o_proj], join, dtype)
        self._gate_up = _product([mlp.gate_proj, mlp.up_proj], join, dtype)
        self._activate = mlp.act_fn
        self._down = _product([mlp.down_proj], join, dtype)

    def __call__(self, hidden: Tensor, cos: Tensor, sin: Tensor, states: CacheLayer, looks: Any) -> Tensor:
        hidden = hidden + self._out(self._attend(self._before(hidden), cos, sin, states, looks))
        gate, up = self._gate_up(self._between(hidden)).chunk(2, dim=-1)
        return hidden + self._down(self._activate(gate) * up)

    def _attend(self, hidden: Tensor, cos: Tensor, sin: Tensor, states: CacheLayer, looks: Any) -> Tensor:
        """What each head takes from the tokens so far, shape (R, heads * head size)."""
        rows, num_keys = len(hidden), self._num_key_heads
        heads = self._query_key_value(hidden).view(rows, -1, self._head)
        num_queries = heads.shape[1] - 2 * num_keys
        query, key, value = heads.split([num_queries, num_keys, num_keys], dim=1)
        if self._query_norm is not None and self._key_norm is not None:
            rotated = rotate(torch.cat([self._query_norm(query), self._key_norm(key)], dim=1), cos, sin)
        else:
            rotated = rotate(heads[:, : num_queries + num_keys], cos, sin)
        query, key = rotated.split([num_queries, num_keys], dim=1)
        return states.attend(query, key, value, looks, self._scale)


def lean_step(policy: Policy) -> LeanStep | None:
    """The lean step for a policy's language model as its weights are now; None where its family is not known."""
    return LeanStep(policy) if is_known(policy) else None


def is_known(policy: Policy) -> bool:
    """Whether every layer of the language model computes what `_Layer` does."""
    model = policy.model.model.language_model
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and all(type(layer).__name__ in KNOWN_LAYERS for layer in model.layers)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (R, heads, head size); with -sin its inverse."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin


def _norm(module: Any) -> Product:
    """A root-mean-square norm in one kernel, in float32; in other types the module rounds in its own order."""

    def norm(hidden: Tensor) -> Tensor:
        if hidden.dtype != torch.float32 or module.weight.dtype != torch.float32:
            return module(hidden)  # type: ignore[no-any-return]
        return F.rms_norm(hidden, hidden.shape[-1:], module.weight, module.variance_epsilon)

    return norm


def _product(modules: Sequence[Any], join: bool, dtype: torch.dtype | None) -> Product:
    """The outputs of some linear layers side by side."""
    if join and all(type(module) is nn.Linear for module in modules):
        weight = torch.cat([module.weight for module in modules]).to(dtype or modules[0].weight.dtype)
        biases = [module.bias for module in modules]
        bias = None if biases[0] is None else torch.cat(biases).to(weight.dtype)
        return lambda hidden: F.linear(hidden, weight, bias)
    if len(modules) == 1:
        only: Product = modules[0]
        return only
    return lambda hidden: torch.cat([module(hidden) for module in modules], dim=-1)
