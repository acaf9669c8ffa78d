"""Models of the published sizes with random weights: what memory and time depend on, without a download.

    model = random_model("3b", device="cuda", dtype=torch.bfloat16)
    model = random_model("3b", device="cpu", dtype=torch.bfloat16, num_layers=2, vision_depth=2)

The numbers are those of the published config.json files of Qwen2.5-VL.
"""

from typing import Any, Literal

import torch

Size = Literal["tiny", "3b", "7b"]

_VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
_TEXT: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 2,
             "num_key_value_heads": 1, "vocab_size": 151936},
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
           "num_key_value_heads": 2, "vocab_size": 151936},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064},
}  # fmt: skip
"""By size; `tiny` proves the script, and has heads of the real size, which M-RoPE's sections divide."""

QWEN_IDS = {
    "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|vision_start|>": 151652,
    "<|vision_end|>": 151653, "<|vision_pad|>": 151654, "<|image_pad|>": 151655, "<|video_pad|>": 151656,
}  # fmt: skip
"""Where the control tokens stand in the published vocabularies."""


def shape_config(
    size: Size, *, ids: dict[str, int] = QWEN_IDS, num_layers: int | None = None, vision_depth: int | None = None
) -> Any:
    """The model's config; fewer layers keep all widths."""
    import transformers

    text = {"max_position_embeddings": 128000, "initializer_range": 0.02, **_TEXT[size]}
    text["num_hidden_layers"] = num_layers or text["num_hidden_layers"]
    text |= {"bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"], "pad_token_id": None}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]}
    vision: dict[str, Any] = _VISION | {"out_hidden_size": text["hidden_size"]}
    if size == "tiny":
        vision |= {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4}
    vision["depth"] = vision_depth or vision["depth"]
    vision["fullatt_block_indexes"] = sorted({min(at, vision["depth"] - 1) for at in (7, 15, 23, 31)})
    return transformers.Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=size != "7b",
    )


def random_model(config: Any, *, device: str, dtype: torch.dtype, seed: int = 0) -> Any:
    """A model of this config, made on its device in its type: no copy in host memory, no file."""
    import transformers

    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        with torch.device(device):
            return transformers.AutoModelForImageTextToText.from_config(config, dtype=dtype)


def image_settings() -> Any:
    """The published preprocessor_config.json."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 3136, "longest_edge": 12845056}
    )
