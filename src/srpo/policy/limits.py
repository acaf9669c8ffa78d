"""How much is computed at once: bounded by bytes of the device, never by a number of rows or prompts.

room = free_bytes(policy.device)
rows = num_rows(policy, capacity=prompt + completion, room=CACHE_SHARE * room)
for part in parts_that_fit([prompt_bytes(policy, one) for one in prompts], most): ...
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from srpo.policy.processor import CHANNELS

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt

CPU_BYTES = 2**29
"""What sampling and scoring take of a CPU's memory: more at a time is not faster there."""
GPU_SHARE = 0.85
"""Share of a GPU's free memory that they take; the rest is for what the allocator loses between blocks."""
CACHE_SHARE = 0.75
"""Share of it that keys and values may fill; the rest is for computing the prompts."""

_SCRATCH_PER_LOGIT = 32
"""Bytes that choosing a token takes for every id of the vocabulary: logits, log-probs, and sums in double precision."""

_FLOAT_BYTES = 4
"""Of a pixel's value, which is there twice while it becomes the tower's type."""


def free_bytes(device: torch.device) -> int:
    """What may be filled now, beside all that is there already."""
    if device.type != "cuda":
        return CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(GPU_SHARE * (free + unused))


def num_rows(policy: "Policy", capacity: int, room: float) -> int:
    """Rows of a cache for `capacity` tokens each that fit into `room` bytes, with what choosing their tokens takes."""
    row = capacity * cache_bytes_per_token(policy) + state_bytes(policy) + _SCRATCH_PER_LOGIT * policy.vocab_size
    return max(1, int(room) // row)


def cache_bytes_per_token(policy: "Policy") -> int:
    """Bytes of keys and values that the language model keeps of a token."""
    config = policy.model.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    num_layers = config.num_hidden_layers - _num_recurrent(config)
    values: int = 2 * num_layers * config.num_key_value_heads * head
    return values * policy.compute_dtype.itemsize


def state_bytes(policy: "Policy") -> int:
    """Bytes that the recurrent layers keep of a row, however long it is: one state in float32, and a few tokens."""
    config = policy.model.config.get_text_config()
    if not _num_recurrent(config):
        return 0
    key_width = config.linear_num_key_heads * config.linear_key_head_dim
    value_width = config.linear_num_value_heads * config.linear_value_head_dim
    tokens = (2 * key_width + value_width) * config.linear_conv_kernel_dim * policy.compute_dtype.itemsize
    state = value_width * config.linear_key_head_dim * _FLOAT_BYTES
    return int(_num_recurrent(config) * (tokens + state))


def _num_recurrent(config: Any) -> int:
    """Layers without keys and values."""
    return (getattr(config, "layer_types", None) or []).count("linear_attention")


def prompt_bytes(policy: "Policy", prompt: "EncodedPrompt") -> int:
    """Bytes that computing a prompt takes for a moment, in the widest layer of vision tower and language model."""
    text, vision = policy.model.config.get_text_config(), policy.model.config.vision_config
    item = policy.compute_dtype.itemsize
    patches = num_values = 0
    if prompt.pixel_values is not None:
        times = getattr(vision, "temporal_patch_size", 1)
        num_values = prompt.pixel_values.numel() * (1 if prompt.pixel_values.is_floating_point() else times)
        side = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
        patches = num_values // (CHANNELS * times * side**2)
    width = getattr(vision, "embed_dim", None) or vision.hidden_size
    inner = getattr(vision, "intermediate_size", None) or int(width * vision.mlp_ratio)
    tower = 2 * _FLOAT_BYTES * num_values + patches * item * (3 * inner + 8 * width)
    language = prompt.num_tokens * item * (3 * text.intermediate_size + 8 * text.hidden_size)
    return int(max(tower, language))


def parts_that_fit(sizes: Sequence[int], most: float) -> list[slice]:
    """Cut a sequence into parts whose members, each as large as the largest of its part, stay below `most`.

    A member that is larger alone is a part of its own.

    >>> parts_that_fit([2, 2, 3, 9, 1], most=6)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    parts: list[slice] = []
    begin = largest = 0
    for place, size in enumerate(sizes):
        if place > begin and max(largest, size) * (place + 1 - begin) > most:
            parts.append(slice(begin, place))
            begin, largest = place, 0
        largest = max(largest, size)
    if len(sizes) > begin:
        parts.append(slice(begin, len(sizes)))
    return parts
