"""Sample completions: each prompt is computed once, its rows are decoded together, finished rows leave the batch.

What a row becomes depends on its own random numbers alone (one uniform number per token, drawn before decoding starts),
so neither the size of the batch nor the moment at which finished rows are dropped changes a result, and a run that
restores the generator's state samples the same texts again. Banned ids are those of the trainer's log-softmax.

    generator = torch.Generator().manual_seed(0)
    groups = sample(policy, prompts, num_samples=8, sampling=Sampling(max_tokens=96), generator=generator)
    texts = [[policy.decode(completion.token_ids) for completion in group] for group in groups]
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor
from transformers.cache_utils import Cache

from srpo.core.records import Sampling
from srpo.policy.caches import PreallocatedLayer, Seats, SharedLayer, take_seats
from srpo.policy.draw import draw
from srpo.policy.lean import LeanStep, lean_step
from srpo.policy.limits import CACHE_SHARE, free_bytes, num_rows, parts_that_fit, prompt_bytes
from srpo.policy.packed import can_pack
from srpo.policy.plain import PlainRows
from srpo.policy.policy import Policy
from srpo.policy.prefix import CACHE_NAME, Prefix, PromptBatch, batch_prompts, compute_prefix, suffix_hidden
from srpo.policy.processor import EncodedPrompt

SHARED_FROM = 48
"""Tokens of a prompt from which its rows read it together; two looks at fewer cost more than they save."""
MIN_FINISHED_SHARE = 0.1
"""Share of finished rows from which dropping them pays for moving the others."""

Forced = Sequence[Sequence[Sequence[int]]]
"""For each prompt and sample, the tokens that its completion must begin with (may be empty)."""


class SampledCompletion(NamedTuple):
    """One completion."""

    token_ids: tuple[int, ...]
    """Forced and sampled tokens; the end token is the last one unless `truncated`."""
    logprobs: tuple[float, ...]
    """Log-prob of each token at the sampling temperature (at temperature 1 for greedy decoding), before top-p."""
    truncated: bool
    """True when `max_tokens` ended it."""


def sample(
    policy: Policy,
    prompts: Sequence[EncodedPrompt],
    *,
    num_samples: int | Sequence[int],
    sampling: Sampling,
    generator: torch.Generator,
    forced: Forced | None = None,
    max_bytes: int | None = None,
    among: tuple[int, int] | None = None,
) -> list[list[SampledCompletion]]:
    """Sample `num_samples` completions for each prompt, in order.

    Args:
        policy: the model.
        prompts: P encoded prompts.
        num_samples: completions per prompt; one number for all, or one for each.
        sampling: temperature, top-p and the largest number of tokens, forced ones included; its seed is not used.
        generator: source of all randomness; advanced by the same amount whatever is sampled.
        forced: tokens that the completions must begin with.
        max_bytes: bound on keys, values and what is computed beside them; None takes what the device has free. One
            row is decoded at a time at the least.
        among: rows before these and rows of all, where other processes sample the others: each row gets the random
            numbers that it would have if one sampled all.

    Raises:
        ValueError: sampling settings out of range, or forced tokens that are too many, banned or an end token.

    """
    counts = [num_samples] * len(prompts) if isinstance(num_samples, int) else list(num_samples)
    _check(policy, len(prompts), counts, sampling, forced)
    row_prompts = [p for p, count in enumerate(counts) for _ in range(count)]
    starts = [list(tokens) for group in forced for tokens in group] if forced else [[] for _ in row_prompts]
    before, whole = among or (0, len(row_prompts))
    uniform_B_T = torch.rand(
        (whole, sampling.max_tokens), generator=generator, dtype=torch.float64, device=generator.device
    )[before : before + len(row_prompts)].to(policy.device)
    done: list[SampledCompletion] = []
    room = free_bytes(policy.device) if max_bytes is None else max_bytes
    capacity = max((one.num_tokens for one in prompts), default=0) + max(map(len, starts), default=0)
    max_rows = num_rows(policy, capacity + sampling.max_tokens, CACHE_SHARE * room)
    with torch.inference_mode(), policy.autocast():
        step = lean_step(policy)
        for rows in _batches(policy, prompts, row_prompts, max_rows, (1 - CACHE_SHARE) * room):
            first, last = row_prompts[rows][0], row_prompts[rows][-1]
            own = prompts[first : last + 1]
            make: Callable[..., _Rows]
            if policy.unshared:
                make = partial(_PlainDecoder, policy, own)
            else:
                make = partial(_Decoder, policy, _compute_prompts(policy, own, (1 - CACHE_SHARE) * room), step)
            decoder = make(
                prompt_B=torch.tensor([p - first for p in row_prompts[rows]], device=policy.device),
                starts=starts[rows],
                uniform_B_T=uniform_B_T[rows],
                sampling=sampling,
            )
            done.extend(decoder.run())
    remaining = iter(done)
    return [[next(remaining) for _ in range(count)] for count in counts]


def _batches(
    policy: Policy, prompts: Sequence[EncodedPrompt], row_prompts: list[int], max_rows: int, room: float
) -> list[slice]:
    """Rows that are decoded together; their prompts too are computed at once where none is shared."""
    parts = [slice(0, len(prompts))]
    if policy.unshared:
        parts = parts_that_fit([prompt_bytes(policy, prompt) for prompt in prompts], room)
    ends = [(bisect_left(row_prompts, part.start), bisect_left(row_prompts, part.stop)) for part in parts]
    return [slice(at, min(at + max_rows, end)) for begin, end in ends for at in range(begin, end, max_rows)]


def _compute_prompts(policy: Policy, prompts: Sequence[EncodedPrompt], room: float) -> Prefix:
    """The prefix of all prompts, computed a few at a time where they are too many for `room` bytes."""
    size = max(prompt.num_tokens for prompt in prompts)
    parts = parts_that_fit([prompt_bytes(policy, prompt) for prompt in prompts], room)
    found = [compute_prefix(policy, batch_prompts(policy, prompts[part], size)) for part in parts]
    return found[0] if len(found) == 1 else _joined(found)


def _joined(parts: list[Prefix]) -> Prefix:
    """One prefix of several; each layer's pieces are let go as soon as they are joined."""
    keys, values = (
        [torch.cat([getattr(part, name).pop(0) for part in parts]) for _ in range(len(getattr(parts[0], name)))]
        for name in ("keys", "values")
    )
    batches = [part.batch for part in parts]
    batch = PromptBatch(
        input_ids_P_L=torch.cat([one.input_ids_P_L for one in batches]),
        lengths_P=torch.cat([one.lengths_P for one in batches]),
        positions=torch.cat([one.positions for one in batches], dim=-2),
        next_position_P=torch.cat([one.next_position_P for one in batches]),
        pictures={},
    )
    return Prefix(batch, keys, values, torch.cat([part.last_hidden_P_D for part in parts]))


def _check(policy: Policy, num_prompts: int, counts: list[int], sampling: Sampling, forced: Forced | None) -> None:
    if len(counts) != num_prompts or min(counts, default=0) < 0:
        raise ValueError(f"num_samples {counts!r} does not give one number >= 0 for each of {num_prompts} prompts")
    if sampling.temperature < 0:
        raise ValueError(f"temperature must be 0 (greedy) or positive, got {sampling.temperature!r}")
    if not 0 < sampling.top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {sampling.top_p!r}")
    if sampling.max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {sampling.max_tokens!r}")
    if forced is None:
        return
    if [len(group) for group in forced] != counts:
        raise ValueError(f"forced has {[len(group) for group in forced]!r} rows per prompt, num_samples is {counts!r}")
    unwanted = {*policy.banned_ids, policy.end_id}
    for tokens in (tokens for group in forced for tokens in group):
        if len(tokens) >= sampling.max_tokens:
            raise ValueError(f"{len(tokens)} forced tokens leave no room within max_tokens {sampling.max_tokens!r}")
        if found := unwanted & set(tokens):
            names = policy.tokenizer.convert_ids_to_tokens(sorted(found))
            raise ValueError(f"forced tokens hold {names}, which may not stand within a completion")


class _Rows(ABC):
    """The state of one batch of rows while it is decoded; R of its B rows have not been dropped yet."""

    base_position_R: Tensor
    """Position of the first token of each completion."""
    hidden_R_D: Tensor
    """Hidden state that predicts each row's next token."""

    def __init__(self, policy: Policy, starts: list[list[int]], uniform_B_T: Tensor, sampling: Sampling) -> None:
        self.policy, self.sampling = policy, sampling
        num_rows, device = len(starts), policy.device
        # One column more than a completion can fill takes what finished rows go on writing until they are dropped.
        self.tokens_B_T = torch.zeros((num_rows, sampling.max_tokens + 1), dtype=torch.int64, device=device)
        self.logprobs_B_T = torch.zeros((num_rows, sampling.max_tokens + 1), device=device)
        self.length_B = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self.row_R = torch.arange(num_rows, device=device)
        self.alive_R = torch.ones(num_rows, dtype=torch.bool, device=device)
        self.count_R = torch.tensor([len(start) for start in starts], device=device)
        self.uniform_B_T = F.pad(uniform_B_T, (0, 1))
        size = max(len(start) for start in starts)
        padded = [[*start, *[policy.end_id] * (size - len(start))] for start in starts]
        self.forced_B_F = torch.tensor(padded, dtype=torch.int64, device=device)

    @abstractmethod
    def _move_rows(self, to: Tensor, source: Tensor, keep: Tensor) -> None:
        """Copy what is remembered of rows `source` over rows `to`, then leave the first as many as `keep` names.

        `keep` names the same rows by where they stand now.
        """

    @abstractmethod
    def _advance(self, chosen_R: Tensor) -> None:
        """Run the chosen tokens through the language model."""

    def run(self) -> list[SampledCompletion]:
        """Decode until every row has ended."""
        while True:
            chosen_R = self._choose()
            num_alive = int(self.alive_R.sum())
            finished = len(self.row_R) - num_alive
            if not num_alive:
                break
            if finished >= MIN_FINISHED_SHARE * len(self.row_R):
                chosen_R = self._drop_finished(chosen_R, num_alive)
            self._advance(chosen_R)
        self.length_B[self.row_R] = self.count_R
        lengths, tokens, logprobs = self.length_B.tolist(), self.tokens_B_T.tolist(), self.logprobs_B_T.tolist()
        return [
            SampledCompletion(tuple(ids[:size]), tuple(values[:size]), ids[size - 1] != self.policy.end_id)
            for size, ids, values in zip(lengths, tokens, logprobs, strict=True)
        ]

    def _force(self, hidden_B_F_D: Tensor) -> None:
        """Write the forced tokens down, with their log-probs by the hidden states that predict them."""
        size = self.forced_B_F.shape[1]
        self.tokens_B_T[:, :size] = self.forced_B_F
        self.logprobs_B_T[:, :size] = self._logprobs(hidden_B_F_D).gather(-1, self.forced_B_F[..., None])[..., 0]

    def _logprobs(self, hidden: Tensor) -> Tensor:
        """Log-probs of all tokens at the sampling temperature, banned ones at minus infinity."""
        logits: Tensor = self.policy.model.lm_head(hidden).float()
        if self.sampling.temperature not in (0, 1):
            logits = logits.div_(self.sampling.temperature)
        return logits.masked_fill_(self.policy.banned_V, -torch.inf).log_softmax(-1)

    def _choose(self) -> Tensor:
        """Choose the next token of every row, write it down, and note which rows it ends."""
        logprobs_R_V = self._logprobs(self.hidden_R_D)
        if self.sampling.temperature == 0:
            chosen_R = logprobs_R_V.argmax(-1)
        else:
            chosen_R = draw(logprobs_R_V.exp(), self.uniform_B_T[self.row_R, self.count_R], self.sampling.top_p)
        self.tokens_B_T[self.row_R, self.count_R] = chosen_R
        self.logprobs_B_T[self.row_R, self.count_R] = logprobs_R_V.gather(-1, chosen_R[:, None])[:, 0]
        self.count_R = self.count_R + self.alive_R
        self.alive_R = self.alive_R & (chosen_R != self.policy.end_id) & (self.count_R < self.sampling.max_tokens)
        return chosen_R

    def _drop_finished(self, chosen_R: Tensor, num_alive: int) -> Tensor:
        """Fill the places of finished rows with rows from the end of the batch, then cut the end off."""
        self.length_B[self.row_R] = self.count_R
        index_R = torch.arange(len(self.row_R), device=chosen_R.device)
        holes = index_R[:num_alive][~self.alive_R[:num_alive]]
        movers = index_R[num_alive:][self.alive_R[num_alive:]]
        index_R[holes] = movers
        keep = index_R[:num_alive]
        self._move_rows(holes, movers, keep)
        self.row_R, self.count_R, self.alive_R = self.row_R[keep], self.count_R[keep], self.alive_R[keep]
        self.base_position_R = self.base_position_R[keep]
        return chosen_R[keep]


class _Decoder(_Rows):
    """Rows that go on from prompts whose keys and values are computed."""

    def __init__(
        self,
        policy: Policy,
        prefix: Prefix,
        step: LeanStep | None,
        *,
        prompt_B: Tensor,
        starts: list[list[int]],
        uniform_B_T: Tensor,
        sampling: Sampling,
    ) -> None:
        super().__init__(policy, starts, uniform_B_T, sampling)
        self.step = step
        batch, prefix_size, start_size = prefix.batch, prefix.batch.input_ids_P_L.shape[1], self.forced_B_F.shape[1]
        capacity = prefix_size + start_size + sampling.max_tokens
        self.prompt_R, self.prompt_lengths, self.prefix_size = prompt_B, batch.lengths_P, prefix_size
        self.seats: Seats | None = None
        self.layers: list[SharedLayer] | list[PreallocatedLayer]
        states = list(zip(prefix.keys, prefix.values, strict=True))
        is_shared = prefix_size >= SHARED_FROM and len(starts) > len(batch.lengths_P) and not start_size
        if is_shared and step is not None and policy.device.type == "cpu" and can_pack(policy):
            self.layers = [SharedLayer(keys, values, len(starts), sampling.max_tokens) for keys, values in states]
            self._seat()
        else:
            self.layers = [PreallocatedLayer(keys, values, prompt_B, capacity) for keys, values in states]
            self.cache = Cache(layers=self.layers)
        self.base_position_R = batch.next_position_P[prompt_B]
        columns = torch.arange(capacity, device=policy.device)
        self.visible_R_S = (columns < batch.lengths_P[prompt_B][:, None]) | (columns >= prefix_size)
        self.hidden_R_D = prefix.last_hidden_P_D[prompt_B]
        if start_size:
            rest_B_F_D = suffix_hidden(policy, prefix, self.cache, prompt_B, self.forced_B_F)
            hidden_B_F_D = torch.cat([self.hidden_R_D[:, None], rest_B_F_D], dim=1)
            self._force(hidden_B_F_D[:, :-1])
            self.hidden_R_D = hidden_B_F_D[self.row_R, self.count_R]
            self.visible_R_S &= (columns < prefix_size + self.count_R[:, None]) | (columns >= prefix_size + start_size)
        # Attention without a mask runs in a faster kernel.
        self.needs_mask = not bool(self.visible_R_S.all())

    def _move_rows(self, to: Tensor, source: Tensor, keep: Tensor) -> None:
        for layer in self.layers:
            layer.move_rows(to, source, len(keep))
        self.prompt_R, self.visible_R_S = self.prompt_R[keep], self.visible_R_S[keep]
        if self.seats is not None:
            self._seat()

    def _seat(self) -> None:
        """Say which rows look at which prompts, and let go of prompts that no row looks at."""
        seats = take_seats(self.prompt_R, self.prompt_lengths, self.prefix_size, self.policy.compute_dtype)
        if seats.prompts is not None:
            for layer in self.layers:
                assert isinstance(layer, SharedLayer)
                layer.keep_prompts(seats.prompts)
            self.prompt_lengths = self.prompt_lengths[seats.prompts]
            self.prompt_R = torch.searchsorted(seats.prompts, self.prompt_R)
        self.seats = seats

    def _advance(self, chosen_R: Tensor) -> None:
        # `count_R` includes the chosen token, whose position is one less.
        position_R = self.base_position_R + self.count_R - 1
        columns = self.layers[0].length + 1
        mask = self.visible_R_S[:, None, None, :columns] if self.needs_mask else None
        embeds_R_D = self.policy.model.get_input_embeddings()(chosen_R)
        if self.step is not None:
            looks = mask if self.seats is None else self.seats
            self.hidden_R_D = self.step(embeds_R_D, position_R, self.layers, looks)
            return
        self.hidden_R_D = self.policy.model.model.language_model(
            inputs_embeds=embeds_R_D[:, None],
            attention_mask=mask,
            position_ids=self.policy.family.onward(position_R[:, None]),
            use_cache=True,
            **{CACHE_NAME: self.cache},
        ).last_hidden_state[:, 0]


class _PlainDecoder(_Rows):
    """Rows of a model whose own cache holds what it remembers."""

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[EncodedPrompt],
        *,
        prompt_B: Tensor,
        starts: list[list[int]],
        uniform_B_T: Tensor,
        sampling: Sampling,
    ) -> None:
        super().__init__(policy, starts, uniform_B_T, sampling)
        self.memory = PlainRows(policy, prompts, prompt_B, starts)
        self.base_position_R, self.hidden_R_D = self.memory.next_position_B, self.memory.hidden_R_D
        self._force(self.memory.before_start_B_F_D)

    def _move_rows(self, to: Tensor, source: Tensor, keep: Tensor) -> None:  # noqa: ARG002 - it copies what it keeps
        self.memory.keep(keep)

    def _advance(self, chosen_R: Tensor) -> None:
        embeds_R_D = self.policy.model.get_input_embeddings()(chosen_R)
        # `count_R` includes the chosen token, whose position is one less.
        self.memory.advance(embeds_R_D, self.base_position_R + self.count_R - 1)
        self.hidden_R_D = self.memory.hidden_R_D
