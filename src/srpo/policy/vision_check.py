"""Does the picture matter to the policy? Checked before training starts, because a dropped picture raises no error.

Peers' users have trained for hours on a vision tower that the model never saw (docs/design.md#traps).

    effect = image_effect(policy, prompts, completions)
    if effect.max_abs < MIN_EFFECT: raise ValueError(...)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from srpo.policy.limits import CACHE_SHARE, free_bytes, parts_that_fit, prompt_bytes
from srpo.policy.policy import Policy
from srpo.policy.prefix import Completions, completion_logprobs
from srpo.policy.processor import EncodedPrompt
from srpo.policy.vision import pixel_values

MIN_EFFECT = 1e-5
"""Largest change of a token's log-prob, in nats, below which a picture counts as ignored; an ignored one gives 0."""


class ImageEffect(NamedTuple):
    """Change of the completions' token log-probs when every prompt gets another prompt's picture."""

    max_abs: float
    """Largest absolute change over all tokens, in nats."""
    mean_abs: float
    """Mean absolute change over all tokens, in nats."""
    num_prompts: int
    """Prompts with pictures, on which this was measured."""


def image_effect(policy: Policy, prompts: Sequence[EncodedPrompt], completions: Completions) -> ImageEffect:
    """Swap the pictures within the batch and measure how much the completions' log-probs move.

    A prompt without a partner of the same picture sizes and different content gets blank (mean grey) pictures.

    Args:
        policy: the model.
        prompts: P prompts; those without pictures are left out.
        completions: at least one completion for each prompt.

    Raises:
        ValueError: no prompt has a picture.

    """
    own = [prompt for prompt in prompts if prompt.pixel_values is not None]
    if not own:
        raise ValueError(f"none of the {len(prompts)} prompts has a picture, so their effect cannot be measured")
    texts = [text for prompt, text in zip(prompts, completions, strict=True) if prompt.pixel_values is not None]
    change = torch.cat(image_changes(policy, own, texts))
    return ImageEffect(max_abs=float(change.max()), mean_abs=float(change.mean()), num_prompts=len(own))


def image_changes(policy: Policy, prompts: Sequence[EncodedPrompt], completions: Completions) -> list[Tensor]:
    """Absolute changes (T,) of each completion's token log-probs, in nats, under another picture; see `image_effect`.

    All prompts have pictures.
    """
    swapped = [_with_other_picture(policy, place, prompts) for place in range(len(prompts))]
    changes: list[Tensor] = []
    room = (1 - CACHE_SHARE) * free_bytes(policy.device)
    with torch.no_grad():
        for part in parts_that_fit([prompt_bytes(policy, prompt) for prompt in prompts], room):
            before = completion_logprobs(policy, prompts[part], completions[part])
            after = completion_logprobs(policy, swapped[part], completions[part])
            moved_B_T = (before.logprobs_B_T - after.logprobs_B_T).abs()
            changes += [row[mask] for row, mask in zip(moved_B_T, before.mask_B_T, strict=True)]
    return changes


def _with_other_picture(policy: Policy, index: int, prompts: Sequence[EncodedPrompt]) -> EncodedPrompt:
    prompt = prompts[index]
    for step in range(1, len(prompts)):
        other = prompts[(index + step) % len(prompts)]
        if _same(other.image_grid_thw, prompt.image_grid_thw) and _is_other(other.pixel_values, prompt.pixel_values):
            return replace(prompt, pixel_values=other.pixel_values, features=other.features)
    return replace(prompt, pixel_values=torch.zeros_like(pixel_values(policy, prompt)), features=None)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _is_other(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    return one.shape == other.shape and not torch.equal(one, other)
