"""A vision-language model of the real architecture, small enough to train on a laptop's CPU.

`build_tiny` writes an untrained checkpoint directory with all that a large one has: weights, config, a BPE tokenizer
trained on the given texts, chat template, generation config and image settings. An 84x84 picture becomes 9 image
tokens. Nothing else in srpo knows that a model is tiny. Importing this module does not import torch.

    build_tiny(TinyConfig(), ["How many bars?", "<think>a=3</think><answer>3</answer>"], Path("tiny"), seed=0)
    policy = load_policy("tiny", freeze_vision=False)
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAG_TOKENS = ("<think>", "</think>", "<answer>", "</answer>", "<reflection>", "</reflection>")
"""One token each, but not special: they are part of the text and survive decoding."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's layout without the default system turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyConfig:
    """Size of a tiny model. The defaults have 0.9 million parameters."""

    family: Literal["qwen2_5_vl", "qwen3_vl"] = "qwen2_5_vl"
    """Architecture: Qwen2.5-VL or Qwen3-VL."""
    hidden_size: int = 128
    """Width of the language model."""
    num_layers: int = 4
    """Layers of the language model."""
    num_heads: int = 4
    """Query heads."""
    num_kv_heads: int = 2
    """Key and value heads."""
    ffn_size: int = 256
    """Width of the feed-forward layers."""
    vision_depth: int = 2
    """Layers of the vision tower."""
    vision_size: int = 64
    """Width of the vision tower."""
    vision_heads: int = 4
    """Heads of the vision tower."""
    vision_ffn_size: int = 128
    """Width of the vision tower's feed-forward layers."""
    patch_size: int = 14
    """Pixels along one side of a patch."""
    merge_size: int = 2
    """Patches along one side of an image token."""
    image_size: int = 84
    """Pictures are scaled to about this many pixels squared; 84 gives 9 image tokens."""
    num_merges: int = 256
    """BPE merges learned from the corpus, beyond the 256 bytes."""
    max_positions: int = 4096
    """Longest sequence in tokens."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""


def build_tiny(config: TinyConfig, corpus: Iterable[str], out: Path, seed: int) -> Path:
    """Write an untrained checkpoint directory and return it.

    Args:
        config: sizes and family.
        corpus: texts like those that the model will read and write; the tokenizer learns its merges from them.
        out: directory to write; created if need be.
        seed: seed of the initial weights; the same corpus and seed give the same files.

    Raises:
        ValueError: sizes that do not fit together.

    """
    import torch

    from srpo.policy.load import quiet_transformers, save_parts

    _check(config)
    quiet_transformers()
    tokenizer = train_tokenizer(corpus, config.num_merges)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make_model(config, tokenizer)
    model.generation_config.update(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None
    )
    out.mkdir(parents=True, exist_ok=True)
    save_parts(model, tokenizer, _image_settings(config), out)
    return out


def train_tokenizer(corpus: Iterable[str], num_merges: int) -> Any:
    """Train a byte-level BPE tokenizer with Qwen's pre-tokenizer; each tag of the reflective format is one token."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + num_merges, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(_without_tags(corpus), trainer)
    vocabulary, merges = _parts(trained)
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=None,
        eos_token="<|im_end|>",  # noqa: S106 - a token of the vocabulary, not a secret
        pad_token="<|endoftext|>",  # noqa: S106
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TAG_TOKENS])
    return tokenizer


def _without_tags(corpus: Iterable[str]) -> Iterable[str]:
    """Yield the texts between the tags, so that no merge is spent on a tag, and the template's role names, often."""
    for text in corpus:
        for tag in TAG_TOKENS:
            text = text.replace(tag, "\n")  # noqa: PLW2901
        yield text
        yield "user\nassistant\n"


def _parts(trained: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _check(config: TinyConfig) -> None:
    if config.hidden_size % (2 * config.num_heads):
        raise ValueError(f"hidden_size {config.hidden_size!r} must be a multiple of 2 * num_heads {config.num_heads!r}")
    if config.num_heads % config.num_kv_heads:
        raise ValueError(f"num_heads {config.num_heads!r} must be a multiple of num_kv_heads {config.num_kv_heads!r}")
    if config.vision_size % (4 * config.vision_heads):
        raise ValueError(
            f"vision_size {config.vision_size!r} must be a multiple of 4 * vision_heads {config.vision_heads!r}"
        )
    if config.image_size % (config.patch_size * config.merge_size):
        raise ValueError(
            f"image_size {config.image_size!r} must be a multiple of patch_size * merge_size "
            f"({config.patch_size * config.merge_size})"
        )


def _mrope_section(head_dim: int) -> list[int]:
    """Split the rotary frequencies between time, height and width in about Qwen's proportion 2 : 3 : 3."""
    half = head_dim // 2
    time = half // 4
    height = (half - time) // 2
    return [time, height, half - time - height]


def _make_model(config: TinyConfig, tokenizer: Any) -> Any:
    import transformers

    ids = tokenizer.get_vocab()
    head_dim = config.hidden_size // config.num_heads
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": _mrope_section(head_dim), "rope_theta": 10_000.0}
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "max_position_embeddings": config.max_positions,
        "initializer_range": config.initializer_range,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "rope_parameters": rope,
    }
    vision: dict[str, Any] = {
        "depth": config.vision_depth,
        "hidden_size": config.vision_size,
        "intermediate_size": config.vision_ffn_size,
        "num_heads": config.vision_heads,
        "patch_size": config.patch_size,
        "spatial_merge_size": config.merge_size,
        "out_hidden_size": config.hidden_size,
        "initializer_range": config.initializer_range,
    }
    shared = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": True,
    }
    if config.family == "qwen2_5_vl":
        vision["fullatt_block_indexes"] = list(range(config.vision_depth))
        vision["window_size"] = 4 * config.patch_size * config.merge_size
        outer = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **shared)
        return transformers.Qwen2_5_VLForConditionalGeneration(outer)
    rope["mrope_interleaved"] = True
    text["head_dim"] = head_dim
    vision["num_position_embeddings"] = (config.image_size // config.patch_size) ** 2
    # What is added after the last language layer reaches no prediction.
    vision["deepstack_visual_indexes"] = list(range(min(config.vision_depth, config.num_layers - 1)))
    outer = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **shared)
    return transformers.Qwen3VLForConditionalGeneration(outer)


def _image_settings(config: TinyConfig) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    side = config.patch_size * config.merge_size
    return Qwen2VLImageProcessorPil(
        patch_size=config.patch_size,
        merge_size=config.merge_size,
        size={"shortest_edge": (2 * side) ** 2, "longest_edge": config.image_size**2},
    )
