"""Log-probs of many completions per prompt, with the prompt computed once.

The paper's trainers repeat prompt and picture for each of the G completions of a group. Here the vision tower and the
language model run over each prompt once, with gradients; every layer's keys and values are then expanded to the
group's rows, and only completion tokens run through the language model again. Autograd sums the rows'
gradients into the one prefix, so log-probs and gradients equal those of `plain_logprobs` up to rounding
(docs/design.md#grpo).

    result = completion_logprobs(policy, [prompt], [[policy.encode_text("a"), policy.encode_text("b")]])
    loss = -(result.logprobs_B_T * result.mask_B_T).sum() / result.mask_B_T.sum()

Only stock modules of `transformers` run; the cache layer below is the one piece that is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import transformers
from packaging.version import Version
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from srpo.policy.head import token_logprobs
from srpo.policy.packed import Packed, can_pack, looks_of, packs, row_tokens
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.vision import picture_inputs

CACHE_NAME = "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"
"""Argument of a model's forward pass, by the release of transformers."""

Completions = Sequence[Sequence[Sequence[int]]]
"""Token ids of G completions for each of P prompts; G may differ between prompts."""


class Logprobs(NamedTuple):
    """Log-probs of B completions, prompt by prompt in the given order."""

    logprobs_B_T: Tensor
    """Natural log of the probability of each token, float32, 0 where there is none; carries gradients."""
    mask_B_T: Tensor
    """True where the completion has a token; completions are padded on the right."""
    entropy_B_T: Tensor | None
    """Entropy of the distribution each token was drawn from, in nats, without gradients; None unless asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptBatch:
    """P prompts padded on the right, where causal attention never looks: the prefix then needs no mask."""

    input_ids_P_L: Tensor
    lengths_P: Tensor
    """Tokens of each prompt."""
    positions: Tensor
    """Rotary positions: (3, P, L) for time, height and width, or (P, L) in families of one axis."""
    next_position_P: Tensor
    """Position of the first token after each prompt."""
    pictures: Mapping[str, Any]
    """The model's inputs beside the text, see `policy.vision`; none once they are part of what the model remembers."""


class Prefix(NamedTuple):
    """What the language model remembers of P prompts."""

    batch: PromptBatch
    keys: list[Tensor]
    """Per layer, shape (P, key-value heads, L, head size)."""
    values: list[Tensor]
    """Per layer, as `keys`."""
    last_hidden_P_D: Tensor
    """Final hidden state of each prompt's last token; it predicts the first completion token."""


class PrefixLayer(DynamicLayer):  # type: ignore[misc]
    """Cache layer that is written once, in the type of the computation; a layer that is computed again leaves it."""

    keys: Tensor | None
    values: Tensor | None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep the prompts' keys and values, and return them."""
        # Rotary embeddings lift keys to float32 under autocast, where attention takes them down again.
        keys, values = key_states.to(value_states.dtype).contiguous(), value_states.contiguous()
        if self.keys is None:
            self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        """Nothing stands before a prompt."""
        return 0


class ExpandingLayer(DynamicLayer):  # type: ignore[misc]
    """Cache layer that puts a row's prompt before its own keys and values; rows of one prompt share the tensors."""

    def __init__(self, keys: Tensor, values: Tensor, rows_B: Tensor) -> None:
        super().__init__()
        self.prefix_keys, self.prefix_values, self.rows_B = keys, values, rows_B

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return the keys and values that the new tokens may look at."""
        key_states = key_states.to(value_states.dtype)
        keys = torch.cat([self.prefix_keys.index_select(0, self.rows_B), key_states], dim=-2)
        values = torch.cat([self.prefix_values.index_select(0, self.rows_B), value_states], dim=-2)
        return keys, values

    def get_seq_length(self) -> int:
        """Length of the padded prompts."""
        return int(self.prefix_keys.shape[-2])


def completion_logprobs(
    policy: Policy,
    prompts: Sequence[EncodedPrompt],
    completions: Completions,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> Logprobs:
    """Log-probs of every completion token given its prompt, pictures and prompts computed once per group.

    Args:
        policy: the model; gradients flow into its trainable parameters.
        prompts: P encoded prompts.
        completions: for each prompt, token ids of its completions, end token included.
        temperature: divides the logits, as in sampling.
        entropy: also return the entropies.

    Raises:
        ValueError: counts differ, a completion is empty or holds a banned token, temperature is not positive.

    """
    rows = flatten(policy, prompts, completions, temperature)
    with policy.autocast():
        if policy.unshared or len(rows.tokens) == len(prompts):
            hidden_N_D = _joint_hidden(policy, prompts, rows)
        else:
            hidden_N_D = continued_hidden(policy, compute_prefix(policy, batch_prompts(policy, prompts)), rows)
    return finish(policy, rows, hidden_N_D, temperature=temperature, entropy=entropy)


def plain_logprobs(
    policy: Policy,
    prompts: Sequence[EncodedPrompt],
    completions: Completions,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> Logprobs:
    """The same numbers by the model's ordinary forward pass over every prompt-and-completion row: the reference.

    Arguments and errors as in `completion_logprobs`.
    """
    rows = flatten(policy, prompts, completions, temperature)
    device = policy.device
    full = [torch.cat([prompts[p].input_ids, torch.tensor(t)]) for p, t in zip(rows.prompt, rows.tokens, strict=True)]
    input_ids = _pad([row.tolist() for row in full], policy.pad_id).to(device)
    lengths = torch.tensor([len(row) for row in full], device=device)
    pictures = picture_inputs(policy, [prompts[p] for p in rows.prompt])
    if "image_grid_thw" in pictures:
        pictures["mm_token_type_ids"] = (input_ids == policy.image_token_id).int()
    if pictures and policy.family.looks_around:
        pictures["token_type_ids"] = (input_ids == policy.image_token_id).int()
    with policy.autocast():
        logits = policy.model(
            input_ids=input_ids,
            attention_mask=(torch.arange(input_ids.shape[1], device=device) < lengths[:, None]).long(),
            use_cache=False,
            **pictures,
        ).logits
    logits = (logits.float() / temperature).masked_fill(policy.banned_V, -torch.inf)
    all_logprobs = logits.log_softmax(-1)
    mask_B_T, tokens_B_T = rows.mask_B_T.to(device), rows.tokens_B_T.to(device)
    starts = torch.tensor([prompts[p].num_tokens for p in rows.prompt], device=device)
    places = (starts[:, None] - 1 + torch.arange(mask_B_T.shape[1], device=device)).clamp(max=input_ids.shape[1] - 1)
    picked = all_logprobs[torch.arange(len(full), device=device)[:, None], places]
    logprobs = picked.gather(-1, tokens_B_T[..., None])[..., 0].masked_fill(~mask_B_T, 0.0)
    entropies = None
    if entropy:
        entropies = torch.special.entr(picked.detach().exp()).sum(-1).masked_fill(~mask_B_T, 0.0)
    return Logprobs(logprobs, mask_B_T, entropies)


def batch_prompts(policy: Policy, prompts: Sequence[EncodedPrompt], size: int | None = None) -> PromptBatch:
    """Put prompts of any lengths, with and without pictures, into one batch on the policy's device, `size` long."""
    input_ids = _pad([prompt.input_ids.tolist() for prompt in prompts], policy.pad_id, size)
    lengths = torch.tensor([prompt.num_tokens for prompt in prompts])
    pictures = picture_inputs(policy, prompts)
    if pictures and policy.family.looks_around:
        pictures["token_type_ids"] = (input_ids == policy.image_token_id).int().to(policy.device)
    positions = policy.family.positions(
        policy.model, input_ids, lengths, policy.image_token_id, pictures.get("image_grid_thw")
    )
    return PromptBatch(
        input_ids_P_L=input_ids.to(policy.device),
        lengths_P=lengths.to(policy.device),
        positions=positions.prompts.to(policy.device),
        next_position_P=positions.next_P.to(policy.device),
        pictures=pictures,
    )


def compute_prefix(policy: Policy, batch: PromptBatch) -> Prefix:
    """Run vision tower and language model over each prompt once, with gradients where they are enabled."""
    cache = Cache(layers=[PrefixLayer() for _ in policy.model.model.language_model.layers])
    hidden_P_L_D = policy.model.model(
        input_ids=batch.input_ids_P_L,
        position_ids=batch.positions,
        use_cache=True,
        **{CACHE_NAME: cache},
        **batch.pictures,
    ).last_hidden_state
    rows = torch.arange(len(batch.lengths_P), device=batch.lengths_P.device)
    return Prefix(
        batch=replace(batch, pictures={}),
        keys=[layer.keys for layer in cache.layers],
        values=[layer.values for layer in cache.layers],
        last_hidden_P_D=hidden_P_L_D[rows, batch.lengths_P - 1],
    )


def suffix_mask(prefix_lengths_B: Tensor, prefix_size: int, num_tokens: int) -> Tensor:
    """True where a suffix token may look: its own prompt without padding, and its row up to itself."""
    device = prefix_lengths_B.device
    in_prompt = (torch.arange(prefix_size, device=device) < prefix_lengths_B[:, None])[:, None, None, :]
    causal = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).tril()[None, None]
    rows = len(prefix_lengths_B)
    return torch.cat(
        [in_prompt.expand(rows, 1, num_tokens, prefix_size), causal.expand(rows, 1, num_tokens, num_tokens)], dim=-1
    )


def suffix_hidden(policy: Policy, prefix: Prefix, cache: Cache, rows_B: Tensor, tokens_B_T: Tensor) -> Tensor:
    """Final hidden states of completion tokens that follow the prompts `rows_B`, shape (B, T, D)."""
    batch = prefix.batch
    num_tokens = tokens_B_T.shape[1]
    positions_B_T = batch.next_position_P[rows_B][:, None] + torch.arange(num_tokens, device=rows_B.device)
    hidden: Tensor = policy.model.model.language_model(
        inputs_embeds=policy.model.get_input_embeddings()(tokens_B_T),
        attention_mask=suffix_mask(batch.lengths_P[rows_B], batch.input_ids_P_L.shape[1], num_tokens),
        position_ids=policy.family.onward(positions_B_T),
        use_cache=True,
        **{CACHE_NAME: cache},
    ).last_hidden_state
    return hidden


class Rows(NamedTuple):
    """Completions as B rows, prompt by prompt."""

    prompt: list[int]
    tokens: list[Sequence[int]]
    tokens_B_T: Tensor
    mask_B_T: Tensor


def flatten(policy: Policy, prompts: Sequence[EncodedPrompt], completions: Completions, temperature: float) -> Rows:
    """Put completions one under the other, and check them."""
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts but completions for {len(completions)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive to have log-probs, got {temperature!r}")
    prompt = [p for p, group in enumerate(completions) for _ in group]
    tokens = [completion for group in completions for completion in group]
    if not tokens:
        raise ValueError("no completions given")
    if not all(tokens):
        raise ValueError(f"the completion in row {[bool(t) for t in tokens].index(False)} has no tokens")
    tokens_B_T = _pad(tokens, policy.end_id)
    lengths = torch.tensor([len(t) for t in tokens])
    mask_B_T = torch.arange(tokens_B_T.shape[1]) < lengths[:, None]
    banned = policy.banned_V.cpu()[tokens_B_T]
    if banned.any():
        ids = sorted(set(tokens_B_T[banned].tolist()))
        raise ValueError(f"completions hold banned tokens {policy.tokenizer.convert_ids_to_tokens(ids)} (ids {ids})")
    return Rows(prompt, tokens, tokens_B_T, mask_B_T)


def _joint_hidden(policy: Policy, prompts: Sequence[EncodedPrompt], rows: Rows) -> Tensor:
    """Hidden states that predict each token where no prompt is shared: one pass over prompt and completion."""
    joined = [
        replace(prompts[p], input_ids=torch.cat([prompts[p].input_ids, torch.tensor(tokens[:-1], dtype=torch.int64)]))
        for p, tokens in zip(rows.prompt, rows.tokens, strict=True)
    ]
    batch = batch_prompts(policy, joined)
    hidden_B_L_D = policy.model.model(
        input_ids=batch.input_ids_P_L,
        position_ids=batch.positions,
        use_cache=False,
        **batch.pictures,
    ).last_hidden_state
    starts = torch.tensor([prompts[p].num_tokens - 1 for p in rows.prompt])
    row_N, token_N = rows.mask_B_T.nonzero(as_tuple=True)
    hidden: Tensor = hidden_B_L_D[row_N.to(policy.device), (starts[row_N] + token_N).to(policy.device)]
    return hidden


def continued_hidden(policy: Policy, prefix: Prefix, rows: Rows) -> Tensor:
    """Hidden states that predict each token, from prompts that are computed already."""
    if can_pack(policy):
        return _packed_hidden(policy, prefix, rows)
    prompt_B = torch.tensor(rows.prompt, device=policy.device)
    lengths = rows.mask_B_T.sum(1)
    tokens_B_T, mask_B_T = rows.tokens_B_T.to(policy.device), rows.mask_B_T.to(policy.device)
    offsets = [0, *accumulate(lengths.tolist())]
    pieces: list[Tensor] = []
    places: list[Tensor] = []
    for chunk in _length_buckets(lengths):
        chunk_rows = prompt_B[chunk]
        size = int(lengths[chunk].max())
        hidden = prefix.last_hidden_P_D[chunk_rows][:, None]
        if size > 1:
            layers = [ExpandingLayer(k, v, chunk_rows) for k, v in zip(prefix.keys, prefix.values, strict=True)]
            rest = suffix_hidden(policy, prefix, Cache(layers=layers), chunk_rows, tokens_B_T[chunk, : size - 1])
            hidden = torch.cat([hidden, rest], dim=1)
        pieces.append(hidden[mask_B_T[chunk, :size]])
        places.extend(torch.arange(offsets[row], offsets[row + 1]) for row in chunk.tolist())
    order = torch.cat(places).argsort().to(policy.device)
    return torch.cat(pieces).index_select(0, order)


def _packed_hidden(policy: Policy, prefix: Prefix, rows: Rows) -> Tensor:
    """The same without padding, where the device has the kernels for it."""
    batch, run = prefix.batch, Packed(policy)
    # The last token of a completion predicts nothing, and the first is predicted by the prompt.
    sizes_B, prompt_sizes = [len(tokens) - 1 for tokens in rows.tokens], batch.lengths_P.tolist()
    next_P = batch.next_position_P.tolist()
    pieces: list[Tensor] = []
    for part in packs(sizes_B, row_tokens(policy.device)):
        prompt_B, given_B = rows.prompt[part], [tokens[:-1] for tokens in rows.tokens[part]]
        places = [torch.arange(next_P[p], next_P[p] + len(one)) for p, one in zip(prompt_B, given_B, strict=True)]
        first, last = prompt_B[0], prompt_B[-1] + 1
        keys, values = ([one[first:last] for one in states] for states in (prefix.keys, prefix.values))
        tokens_N = torch.tensor([one for given in given_B for one in given], dtype=torch.int64, device=policy.device)
        hidden_N_D = prefix.last_hidden_P_D[:0]
        if len(tokens_N):
            asked = [p - first for p in prompt_B], sizes_B[part], prompt_sizes[first:last], keys[0].shape[-2]
            hidden_N_D = run(tokens_N, torch.cat(places).to(policy.device), looks_of(policy, *asked), keys, values)
        for p, one in zip(prompt_B, hidden_N_D.split(sizes_B[part]), strict=True):
            pieces += [prefix.last_hidden_P_D[p : p + 1], one]
    return torch.cat(pieces)


def _length_buckets(lengths_B: Tensor) -> list[Tensor]:
    """Rows in at most 8 groups of similar length: little is computed on padding, and a group fits the CPU's caches."""
    order = lengths_B.argsort(descending=True, stable=True)
    return list(order.chunk(max(1, min(8, len(order) // 4))))


def finish(policy: Policy, rows: Rows, hidden_N_D: Tensor, *, temperature: float, entropy: bool) -> Logprobs:
    """Apply the LM head to the N positions that predict a token, and put the log-probs into their rows."""
    mask_B_T = rows.mask_B_T.to(policy.device)
    targets_N = rows.tokens_B_T[rows.mask_B_T].to(policy.device)
    logprobs_N, entropy_N = token_logprobs(policy, hidden_N_D, targets_N, temperature=temperature, entropy=entropy)
    empty = torch.zeros(mask_B_T.shape, device=policy.device)
    return Logprobs(
        logprobs_B_T=empty.masked_scatter(mask_B_T, logprobs_N),
        mask_B_T=mask_B_T,
        entropy_B_T=empty.masked_scatter(mask_B_T, entropy_N) if entropy else None,
    )


def _pad(rows: Sequence[Sequence[int]], value: int, size: int | None = None) -> Tensor:
    size = size or max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (size - len(row))] for row in rows])
