"""What a checkpoint's config.json must say before a model is built from it.

What it leaves out has a default in transformers, which for these families is a model of up to 72B parameters: the
memory would be gone before anything notices that the weights are of another size.
"""

from collections.abc import Mapping
from typing import Any

_TEXT = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_VISION = ("depth", "hidden_size")
_OTHER = {"hidden_size": "embed_dim", "depth": "num_hidden_layers"}
"""Qwen2-VL's name for the width of its vision tower, and InternVL's for its depth."""
_LEFT_OUT = {"gemma3": ("num_attention_heads", "vocab_size")}
"""Sizes that published checkpoints leave to the default, which is right for them; the widths are there."""


def check_sizes(config: Mapping[str, Any], name: str) -> None:
    """Raise ValueError that names the sizes which a config leaves out, or which are no positive numbers."""
    text = config.get("text_config")
    text = text if isinstance(text, Mapping) else config  # older checkpoints have them at the top
    vision = config.get("vision_config")
    vision = vision if isinstance(vision, Mapping) else {}
    left_out = _LEFT_OUT.get(str(config.get("model_type")), ())
    missing = [
        field for field in _TEXT if not _is_size(text.get(field)) and not (field in left_out and field not in text)
    ]
    missing += [
        f"vision_config.{field}"
        for field in _VISION
        if not _is_size(vision.get(field, vision.get(_OTHER.get(field, ""))))
    ]
    if missing:
        raise ValueError(
            f"checkpoint {name!r}: config.json does not say how large the model is: {', '.join(missing)} must be "
            "positive numbers. Copy config.json from the original checkpoint"
        )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
