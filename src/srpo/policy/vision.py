"""What the vision tower is given of prompts, and what it made of them.

Rollout, refills, reference and learning show the same pictures to the same tower. While it does not train its answer
stays the same, so `see` asks it once and puts the answer into the prompts, in this machine's memory: it goes from hand
to hand with them and ends with them, after the step.

    prompts = see(policy, prompts)
"""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srpo.policy.limits import CACHE_SHARE, free_bytes, parts_that_fit, prompt_bytes

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt

MOST_SEEN_BYTES = 2**31
"""Of this machine's memory, for what the tower made of a step's pictures; a megapixel takes 5 to 35 million."""

Features = dict[str, Any]
"""By the names of transformers' output: tensors of each picture, as a list, or for each of several layers as lists."""
_NAMES = ("pooler_output", "deepstack_features")


def see(policy: "Policy", prompts: "Sequence[EncodedPrompt]", most: float = MOST_SEEN_BYTES) -> "list[EncodedPrompt]":
    """The prompts with what the tower makes of their pictures; as they are where it trains, or beyond `most` bytes."""
    found = list(prompts)
    if policy.family.vision_trains(policy.model):
        return found
    unseen = [place for place, one in enumerate(found) if one.pixel_values is not None and one.features is None]
    room = (1 - CACHE_SHARE) * free_bytes(policy.device)
    for part in parts_that_fit([prompt_bytes(policy, found[place]) for place in unseen], room):
        with policy.autocast():
            made = _features(policy, [found[place] for place in unseen[part]])
        for place, features in zip(unseen[part], made, strict=True):
            kept = _moved(features, torch.device("cpu"))
            most -= features_bytes(kept)
            if most < 0:
                return found
            found[place] = replace(found[place], features=kept)
    return found


def features_bytes(features: Features | None) -> int:
    """What they take."""
    return 0 if features is None else sum(one.nbytes for value in features.values() for one in _tensors(value))


def picture_inputs(policy: "Policy", prompts: "Sequence[EncodedPrompt]") -> dict[str, Any]:
    """The model's inputs beside the text: none, or the pictures of all prompts, or what the tower made of them."""
    seeing = [prompt for prompt in prompts if prompt.pixel_values is not None]
    if not seeing:
        return {}
    if all(prompt.features is None for prompt in seeing):
        return _pixels(policy, seeing)
    unseen = [prompt for prompt in seeing if prompt.features is None]
    made = iter(_features(policy, unseen) if unseen else [])
    given = [_moved(next(made) if one.features is None else one.features, policy.device) for one in seeing]
    return {"mm_encoder_outputs": {"image": SimpleNamespace(**_joined(given))}} | _grids(policy, seeing)


def pixel_values(policy: "Policy", prompt: "EncodedPrompt") -> Tensor:
    """What the vision tower reads of a prompt with pictures, on the policy's device."""
    assert prompt.pixel_values is not None
    pixels = prompt.pixel_values.to(policy.device)
    return pixels if pixels.is_floating_point() else policy.processor.values(pixels)


def _pixels(policy: "Policy", seeing: "Sequence[EncodedPrompt]") -> dict[str, Tensor]:
    return {"pixel_values": torch.cat([pixel_values(policy, prompt) for prompt in seeing])} | _grids(policy, seeing)


def _grids(policy: "Policy", seeing: "Sequence[EncodedPrompt]") -> dict[str, Tensor]:
    grids = [prompt.image_grid_thw for prompt in seeing if prompt.image_grid_thw is not None]
    return {"image_grid_thw": torch.cat(grids).to(policy.device)} if grids else {}


def _features(policy: "Policy", seeing: "Sequence[EncodedPrompt]") -> list[Features]:
    """What the tower makes of each prompt's pictures, all of them in one pass."""
    # A sampler's tensors, made in inference mode, could not be learned from.
    with torch.inference_mode(mode=False), torch.no_grad():
        made = policy.model.model.get_image_features(**_pixels(policy, seeing), return_dict=True)
    counts = [len(one.pixel_values if one.image_grid_thw is None else one.image_grid_thw) for one in seeing]  # type: ignore[arg-type]
    parts = {name: _cut(value, counts) for name in _NAMES if (value := getattr(made, name, None)) is not None}
    return [{name: cut[place] for name, cut in parts.items()} for place in range(len(seeing))]


def _cut(value: Any, counts: Sequence[int]) -> list[Any]:
    """A family's tensor of all pictures, or list of theirs, or lists of layers, by prompt."""
    if isinstance(value, Tensor):
        return list(value.split(list(counts)))
    if not value:
        return [[] for _ in counts]
    if not isinstance(value[0], Tensor):
        return [list(layers) for layers in zip(*(_cut(layer, counts) for layer in value), strict=True)]
    ends = [sum(counts[: place + 1]) for place in range(len(counts))]
    assert ends[-1] == len(value), "one tensor for each picture"
    return [list(value[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def _joined(given: Sequence[Features]) -> Features:
    """The features of several prompts, as the tower would have made them."""
    return {name: _together([one[name] for one in given]) for name in given[0]}


def _together(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    if values[0] and not isinstance(values[0][0], Tensor):
        return [_together(layer) for layer in zip(*values, strict=True)]
    return [one for value in values for one in value]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(one, device) for name, one in value.items()}
    return [_moved(one, device) for one in value]


def _tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [one for part in value for one in _tensors(part)]
