"""Untrained tiny checkpoints of the families that `srpo.tiny` does not build, weights large enough that attention is
not flat; each begins from the tokenizer of a tiny Qwen2.5-VL.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers


def qwen2_vl(other: Path, out: Path) -> Path:
    """The older family, which `build_tiny` does not offer, with the tokenizer and picture settings of `other`."""
    shutil.copytree(other, out)
    newer = transformers.AutoConfig.from_pretrained(other)
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "bos_token_id", "eos_token_id", "pad_token_id", "rope_parameters",
             "initializer_range")  # fmt: skip
    config = transformers.Qwen2VLConfig(
        text_config={name: getattr(newer.text_config, name) for name in names},
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14,
                       "initializer_range": 0.15},
        **{name: getattr(newer, name) for name in _TOKEN_IDS},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen2VLForConditionalGeneration(config).save_pretrained(out)
    return out


def internvl(other: Path, out: Path) -> Path:
    """A vision tower over squares of 28 pixels, four tokens each, and a language model with one axis of positions."""
    from tokenizers import AddedToken
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    newer = transformers.AutoConfig.from_pretrained(other).text_config
    tokenizer = transformers.AutoTokenizer.from_pretrained(other)
    edges = [AddedToken(token, special=True, normalized=False) for token in ("<img>", "</img>", "<IMG_CONTEXT>")]
    tokenizer.add_tokens(edges)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n"
    )
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
             "eos_token_id", "pad_token_id", "initializer_range")  # fmt: skip
    config = transformers.InternVLConfig(
        text_config={name: getattr(newer, name) for name in names}
        | {"model_type": "qwen2", "vocab_size": len(tokenizer), "tie_word_embeddings": True},
        vision_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                       "image_size": [28, 28], "patch_size": [7, 7], "initializer_range": 0.15},
        image_token_id=tokenizer.get_vocab()["<IMG_CONTEXT>"],
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.InternVLForConditionalGeneration(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    GotOcr2ImageProcessorPil(size={"height": 28, "width": 28}, max_patches=4).save_pretrained(out)
    return out


def qwen3_5(other: Path, out: Path) -> Path:
    """Recurrent layers around one of full attention, rotary positions on half of a head."""
    newer = transformers.AutoConfig.from_pretrained(other)
    tokenizer = transformers.AutoTokenizer.from_pretrained(other)
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
             "eos_token_id", "pad_token_id", "initializer_range")  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            "mrope_interleaved": True}  # fmt: skip
    kinds = ["linear_attention", "full_attention", "linear_attention"]
    text: dict[str, Any] = {name: getattr(newer.text_config, name) for name in names} | {
        "num_hidden_layers": len(kinds), "layer_types": kinds, "head_dim": 16, "rope_parameters": rope,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 16,
        "tie_word_embeddings": True,
    }  # fmt: skip
    config = transformers.Qwen3_5Config(
        text_config=text,
        vision_config={"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "patch_size": 14,
                       "out_hidden_size": text["hidden_size"], "num_position_embeddings": 36,
                       "initializer_range": 0.15},
        **{name: getattr(newer, name) for name in _TOKEN_IDS},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen3_5ForConditionalGeneration(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    shutil.copy(other / "preprocessor_config.json", out)
    return out


def windows(other: Path, out: Path) -> Path:
    """A Qwen2.5-VL whose last layer looks back over a few tokens only."""
    shutil.copytree(other, out)
    path = out / "config.json"
    config = json.loads(path.read_text())
    config["text_config"] |= {
        "layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": True, "sliding_window": 6,
        "max_window_layers": 1,
    }  # fmt: skip
    path.write_text(json.dumps(config))
    return out


_TOKEN_IDS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "tie_word_embeddings")
BUILDERS: dict[str, Callable[[Path, Path], Path]] = {
    "qwen2_vl": qwen2_vl,
    "internvl": internvl,
    "qwen3_5": qwen3_5,
    "windows": windows,
}
"""By `model_type`, and `windows`."""
