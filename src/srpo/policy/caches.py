"""Keys and values while completions are decoded: a copy of the prompt for every row, or one prompt for all of its rows.

`PreallocatedLayer` puts a row's prompt before its own tokens, so that any attention can read both; with G rows of a
prompt the prompt is there G times and is read G times a token. `SharedLayer` keeps it once: a row looks at its prompt
together with the other rows of that prompt, at its own tokens alone, and the two looks are joined by their
log-sum-exps, which only the CPU's kernel gives.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from srpo.policy.packed import ATTEND


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Cache layer with room for the longest completion: writes in place, returns views, drops rows in place."""

    def __init__(self, keys_P: Tensor, values_P: Tensor, rows_R: Tensor, capacity: int) -> None:
        super().__init__()
        self.length = keys_P.shape[-2]
        self.keys, self.values = (
            prefix_P.new_empty((len(rows_R), prefix_P.shape[1], capacity, prefix_P.shape[-1]))
            for prefix_P in (keys_P, values_P)
        )
        self.keys[:, :, : self.length] = keys_P.index_select(0, rows_R)
        self.values[:, :, : self.length] = values_P.index_select(0, rows_R)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens' keys and values and return all that there are."""
        begin, self.length = self.length, self.length + key_states.shape[-2]
        self.keys[:, :, begin : self.length] = key_states
        self.values[:, :, begin : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        """Append one token of every row, and look: see `policy.lean.CacheLayer`."""
        keys, values = self.update(key[:, :, None], value[:, :, None])
        # The queries that share a key are tokens of one head that may all look everywhere.
        grouped = query.to(values.dtype).unflatten(1, (keys.shape[1], -1))
        return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale).flatten(1)

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def move_rows(self, to: Tensor, source: Tensor, num_rows: int) -> None:
        """Copy rows `source` over rows `to`, then keep the first `num_rows`."""
        self.keys, self.values = (_moved(one, to, source, num_rows, self.length) for one in (self.keys, self.values))


class Seats(NamedTuple):
    """Which of R rows look at which of P prompts: every prompt has S seats."""

    row_P_S: Tensor
    """The row in each seat; in one that is empty, any."""
    seat_R: Tensor
    """Each row's seat, counted through all prompts."""
    bias_P: Tensor | None
    """What is added to the scores of a prompt's tokens, shape (P, 1, 1, L): minus infinity at padding; None where there
    is none."""
    prompts: Tensor | None = None
    """The prompts that still have rows, where some have none any more."""


def take_seats(prompt_R: Tensor, length_P: Tensor, size: int, dtype: torch.dtype) -> Seats:
    """Seats for rows of these prompts, whose lengths are given and whose keys are padded to `size`."""
    prompts, index_R, count_P = prompt_R.unique(return_inverse=True, return_counts=True)
    order_R = index_R.argsort(stable=True)
    begin_P = count_P.cumsum(0) - count_P
    most = int(count_P.max())
    place_R = torch.empty_like(order_R)
    place_R[order_R] = torch.arange(len(order_R), device=order_R.device) - begin_P.repeat_interleave(count_P)
    seat_R = index_R * most + place_R
    row_P_S = torch.zeros(len(prompts) * most, dtype=torch.int64, device=order_R.device)
    row_P_S[seat_R] = torch.arange(len(order_R), device=order_R.device)
    lengths = length_P[prompts]
    bias = None
    if bool((lengths < size).any()):
        outside = torch.arange(size, device=lengths.device) >= lengths[:, None]
        bias = torch.zeros(outside.shape, dtype=dtype, device=lengths.device).masked_fill(outside, -torch.inf)
        bias = bias[:, None, None]
    return Seats(row_P_S.view(-1, most), seat_R, bias, prompts if len(prompts) < len(length_P) else None)


class SharedLayer:
    """One copy of every prompt, and room for what the rows add."""

    def __init__(self, keys_P: Tensor, values_P: Tensor, num_rows: int, capacity: int) -> None:
        self._prompt_keys, self._prompt_values = keys_P, values_P
        self.length = 0
        self.keys, self.values = (
            one.new_empty((num_rows, one.shape[1], capacity, one.shape[-1])) for one in (keys_P, values_P)
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seats: Seats, scale: float) -> Tensor:
        """Append one token of every row, and look: see `policy.lean.CacheLayer`."""
        self.keys[:, :, self.length], self.values[:, :, self.length] = key, value
        self.length += 1
        heads, size = self.keys.shape[1], seats.row_P_S.shape[1]
        grouped = query.to(self.values.dtype).unflatten(1, (heads, -1))
        # Rows of a prompt are tokens of one sequence that may all look at all of it.
        seated = grouped[seats.row_P_S].transpose(1, 2).flatten(2, 3)
        prompt, sums = ATTEND(seated, self._prompt_keys, self._prompt_values, attn_mask=seats.bias_P, scale=scale)
        prompt, sums = (
            one.unflatten(2, (size, -1)).transpose(1, 2).flatten(0, 1)[seats.seat_R] for one in (prompt, sums)
        )
        keys, values = (one.flatten(0, 1)[:, : self.length] for one in (self.keys, self.values))
        if keys.dtype == torch.float32:
            # All that the prompt has is one more score beside those of a row's own tokens.
            scores = torch.bmm((grouped * scale).flatten(0, 1), keys.mT)
            shares = torch.cat([scores, sums.flatten(0, 1)[..., None]], dim=-1).softmax(-1)
            seen = torch.baddbmm(prompt.flatten(0, 1) * shares[..., -1:], shares[..., :-1], values)
            return seen.view(len(query), -1)
        own, own_sums = ATTEND(grouped, self.keys[:, :, : self.length], self.values[:, :, : self.length], scale=scale)
        return torch.lerp(own, prompt, torch.sigmoid(sums - own_sums)[..., None].to(own.dtype)).flatten(1)

    def move_rows(self, to: Tensor, source: Tensor, num_rows: int) -> None:
        """Copy rows `source` over rows `to`, then keep the first `num_rows`."""
        self.keys, self.values = (_moved(one, to, source, num_rows, self.length) for one in (self.keys, self.values))

    def keep_prompts(self, prompts: Tensor) -> None:
        """Let go of the others."""
        self._prompt_keys, self._prompt_values = self._prompt_keys[prompts], self._prompt_values[prompts]


def _moved(states: Tensor, to: Tensor, source: Tensor, num_rows: int, length: int) -> Tensor:
    states[to, :, :length] = states[source, :, :length]
    return states[:num_rows]
