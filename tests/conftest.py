"""Fixtures that several rings share. Torch is imported only by the tests that ask for a tiny model."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

# `device: auto` must mean the CPU on every machine; tests of a GPU set the variable themselves.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Under nohup, and under many a CI, SIGHUP is ignored, and children inherit that; tests send it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine must not fail a property, and a failure must be the same on every machine.
settings.register_profile("srpo", deadline=None, derandomize=True)
settings.load_profile("srpo")

CORPUS = ["How many bars? red=5\nblue=3\n5+3=8", "Which two bars add up to 12?", "I guess 7\n"] * 20


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Untrained tiny checkpoints by family, with weights large enough that attention is not flat."""
    built: dict[str, Path] = {}

    def checkpoint(family: str) -> Path:
        if family not in built:
            out = tmp_path_factory.mktemp("tiny") / family
            match family:
                case "qwen2_vl":
                    built[family] = _qwen2_vl(checkpoint("qwen2_5_vl"), out)
                case "internvl":
                    built[family] = _internvl(checkpoint("qwen2_5_vl"), out)
                case "qwen2_5_vl" | "qwen3_vl":
                    import torch

                    from srpo.tiny.model import TinyConfig, build_tiny

                    torch.set_num_threads(1)
                    config = TinyConfig(
                        family=family, hidden_size=64, num_layers=2, num_merges=30, initializer_range=0.15
                    )
                    built[family] = build_tiny(config, CORPUS, out, seed=0)
        return built[family]

    return checkpoint


def _qwen2_vl(other: Path, out: Path) -> Path:
    """The older family, which `build_tiny` does not offer, with the tokenizer and picture settings of `other`."""
    import shutil

    import torch
    import transformers

    shutil.copytree(other, out)
    newer = transformers.AutoConfig.from_pretrained(other)
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "bos_token_id", "eos_token_id", "pad_token_id", "rope_parameters",
             "initializer_range")  # fmt: skip
    ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "tie_word_embeddings")
    config = transformers.Qwen2VLConfig(
        text_config={name: getattr(newer.text_config, name) for name in names},
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14,
                       "initializer_range": 0.15},
        **{name: getattr(newer, name) for name in ids},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen2VLForConditionalGeneration(config).save_pretrained(out)
    return out


def _internvl(other: Path, out: Path) -> Path:
    """A vision tower over squares of 28 pixels, four tokens each, and a language model with one axis of positions."""
    import torch
    import transformers
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


@pytest.fixture
def tiny_policy(tiny_checkpoint: Callable[[str], Path]) -> "Policy":
    """A fresh tiny Qwen2.5-VL policy, vision tower trainable."""
    from srpo.policy.load import load_policy

    return load_policy(tiny_checkpoint("qwen2_5_vl"), freeze_vision=False)
