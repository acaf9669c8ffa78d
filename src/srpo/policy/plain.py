"""Rows that share no prompt: for models that remember it by more than keys and values that anyone can look at.

A recurrent layer ends a prompt in a state that every response goes on from and overwrites, and a sliding window moves
on over it. Learning then computes a prompt again with each of its responses (`prefix.completion_logprobs`); sampling
computes it once and copies what the model's own cache holds to every row. `families.why_unshared` says when.

    rows = PlainRows(policy, prompts, prompt_B, starts)
    rows.hidden_R_D                                   # predicts each row's next token
    rows.advance(embeds_R_D, position_R)              # .. and the one after that
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor
from transformers import DynamicCache

from srpo.policy.policy import Policy
from srpo.policy.prefix import CACHE_NAME, PromptBatch, batch_prompts
from srpo.policy.processor import EncodedPrompt


class PlainRows:
    """What a model's own cache holds of R rows, each a prompt and the tokens that its completion begins with."""

    def __init__(
        self, policy: Policy, prompts: Sequence[EncodedPrompt], prompt_B: Tensor, starts: Sequence[Sequence[int]]
    ) -> None:
        """Compute every different beginning once, and copy it to its rows.

        Args:
            policy: the model.
            prompts: prompts of the rows.
            prompt_B: which of them each row has.
            starts: tokens that follow it; of different numbers, and there may be none.

        """
        self._policy = policy
        keys = [(prompt, tuple(start)) for prompt, start in zip(prompt_B.tolist(), starts, strict=True)]
        different = list(dict.fromkeys(keys))
        begun = [
            replace(prompts[p], input_ids=torch.cat([prompts[p].input_ids, torch.tensor(start, dtype=torch.int64)]))
            for p, start in different
        ]
        batch = batch_prompts(policy, begun)
        hidden_K_L_D, shown_K_L = self._compute(batch)
        device = policy.device
        row_B = torch.tensor([different.index(key) for key in keys], device=device)
        self.cache.reorder_cache(row_B)
        self.shown_R_S = shown_K_L[row_B]
        count_B = torch.tensor([len(start) for start in starts], device=device)
        self.next_position_B = batch.next_position_P[row_B] - count_B
        """Position of the first token after each prompt."""
        size = int(count_B.max())
        places_B_F = hidden_K_L_D.shape[1] - 1 - count_B[:, None] + torch.arange(size, device=device)
        # Rows with a shorter beginning have no use for what stands behind it.
        self.before_start_B_F_D = hidden_K_L_D[row_B[:, None], places_B_F.clamp(max=hidden_K_L_D.shape[1] - 1)]
        """Hidden states that predict the tokens of the beginnings."""
        self.hidden_R_D = hidden_K_L_D[row_B, -1]
        """Hidden state that predicts the next token."""

    def _compute(self, batch: PromptBatch) -> tuple[Tensor, Tensor]:
        """Hidden states of all prompts, padded on the left so that they end together, and where they are no padding."""
        size = batch.input_ids_P_L.shape[1]
        columns = torch.arange(size, device=batch.lengths_P.device)
        first_P = size - batch.lengths_P
        source_P_L = (columns - first_P[:, None]) % size
        shown_P_L = (columns >= first_P[:, None]).long()
        model = self._policy.model
        self.cache: Any = DynamicCache(config=model.config.get_text_config())
        hidden_P_L_D: Tensor = model.model(
            input_ids=batch.input_ids_P_L.gather(-1, source_P_L),
            attention_mask=shown_P_L,
            position_ids=batch.positions.gather(-1, source_P_L.expand_as(batch.positions)),
            use_cache=True,
            **{CACHE_NAME: self.cache},
            **batch.pictures,
        ).last_hidden_state
        return hidden_P_L_D, shown_P_L

    def advance(self, embeds_R_D: Tensor, position_R: Tensor) -> None:
        """Run one further token of every row through the language model."""
        self.shown_R_S = F.pad(self.shown_R_S, (0, 1), value=1)
        self.hidden_R_D = self._policy.model.model.language_model(
            inputs_embeds=embeds_R_D[:, None],
            attention_mask=self.shown_R_S,
            position_ids=self._policy.family.onward(position_R[:, None]),
            use_cache=True,
            **{CACHE_NAME: self.cache},
        ).last_hidden_state[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Keep these rows, in this order; what predicts their next token is made by the next `advance`."""
        self.cache.reorder_cache(rows)
        self.shown_R_S = self.shown_R_S[rows]
