"""`Policy`: a vision-language model with its processor, and the token rules that sampler and trainer share.

The same ids are banned in every sampler and in the trainer's log-softmax: a policy that emits an image token makes the
next forward pass fail, and a ban on one side only makes their log-probs disagree (docs/design.md#traps).

    policy = load_policy(checkpoint_dir)
    prompt = policy.encode("How many bars?", [image])
    completion = policy.encode_text("<think>a=3</think><answer>3</answer>")
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from srpo.core.response import first_attempt_end, leading_tokens
from srpo.policy.families import family_of, why_unshared
from srpo.policy.processor import EncodedPrompt, Processor

CONTROL_TOKENS = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|im_start|>",
    "<IMG_CONTEXT>",
    "<img>",
    "</img>",
    "<video>",
    "<start_of_image>",
    "<image_soft_token>",
    "<end_of_image>",
    "<start_of_turn>",
    "<bos>",
    "<eos>",
)
"""Tokens that structure the input and that no completion may contain."""

END_TOKENS = ("<|im_end|>", "<end_of_turn>")
"""Tokens that end a turn, by family; where there is none of them, the tokenizer's end-of-sequence token does."""


class Policy:
    """A vision-language model, its processor, and what must hold for every completion."""

    def __init__(
        self,
        model: Any,
        processor: Processor,
        *,
        name: str,
        autocast: str | None = None,
        saved_dtype: str | None = None,
        kernels: str | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: one of the classes in `policy.families`.
            processor: the checkpoint's processor.
            name: checkpoint directory or model name, as it goes into `Origin`.
            autocast: dtype name for mixed precision, e.g. "bfloat16"; None computes in the dtype of the weights.
            saved_dtype: dtype name in which `save_policy` writes the weights; None takes the one they have.
            kernels: type of the device that a memory plan's shapes stand for; None is the one that the weights are on.

        """
        self.model = model
        self.family = family_of(model)
        self.unshared = why_unshared(model.config)
        """Why a prompt is computed again for each of its responses; None where one computation is enough."""
        self.processor = processor
        self.name = name
        self.autocast_dtype: torch.dtype | None = getattr(torch, autocast) if autocast else None
        self.saved_dtype: torch.dtype = getattr(torch, saved_dtype) if saved_dtype else model.dtype
        self.kernels: str = kernels or self.device.type
        self.end_id: int = end_id(self.tokenizer)
        pad_id = self.tokenizer.pad_token_id
        self.pad_id: int = self.end_id if pad_id is None else pad_id
        self.image_token_id = processor.image_token_id
        rows = int(model.get_input_embeddings().weight.shape[0])
        self.banned_ids: tuple[int, ...] = banned_ids(self.tokenizer, rows)
        banned_V = torch.zeros(rows, dtype=torch.bool)
        banned_V[list(self.banned_ids)] = True
        self.banned_V: Tensor = banned_V.to(self.device)

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    @property
    def vocab_size(self) -> int:
        """Rows V of the embedding."""
        return int(self.banned_V.shape[0])

    @property
    def compute_dtype(self) -> torch.dtype:
        """Type in which forward passes compute, and keep keys and values."""
        dtype: torch.dtype = self.autocast_dtype or self.model.dtype
        return dtype

    @property
    def picture_kernel(self) -> str:
        """Kernel of the vision tower's attention, as transformers names it."""
        return str(self.model.config.vision_config._attn_implementation)  # noqa: SLF001 - it has no other name

    def describe(self) -> str:
        """Where the weights are, of which type they are, and how many of them train."""
        weights = list(self.model.parameters())
        trained = sum(weight.numel() for weight in weights if weight.requires_grad)
        parts = [
            f"{self.name} on {self.device}",
            f"weights of type {str(self.model.dtype).removeprefix('torch.')}",
            *([f"computing in {str(self.autocast_dtype).removeprefix('torch.')}"] if self.autocast_dtype else []),
            *([f"pictures by {kernel}"] if (kernel := self.picture_kernel) != "sdpa" else []),
            *([f"{trained / 1e6:,.1f} million of them train"] if trained else []),
            *([f"each response computes its own prompt: {self.unshared}"] if self.unshared else []),
        ]
        return ", ".join(parts)

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which forward passes run."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)

    def encode(self, text: str, images: Sequence[Image.Image] = ()) -> EncodedPrompt:
        """Encode one user turn: `images` first, then `text`, then the opened assistant turn."""
        return self.processor.encode([("user", text)], images)

    def encode_many(self, items: Sequence[tuple[str, Sequence[Image.Image]]]) -> list[EncodedPrompt]:
        """Encode many user turns; pictures of equal size are preprocessed together."""
        return self.processor.encode_many([([("user", text)], images) for text, images in items])

    def encode_text(self, completion: str) -> list[int]:
        """Token ids of a completion, the end token included.

        Raises:
            ValueError: the text contains a banned token.

        """
        ids: list[int] = self.tokenizer(completion, add_special_tokens=False)["input_ids"]
        if banned := set(ids) & set(self.banned_ids):
            tokens = sorted(self.tokenizer.convert_ids_to_tokens(sorted(banned)))
            raise ValueError(
                f"completion {completion[:80]!r} contains {tokens}, which a completion may not; remove them"
            )
        return [*ids, self.end_id]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a completion without end token and other special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def token_index(self, token_ids: Sequence[int], char_offset: int) -> int:
        """Smallest number of leading tokens whose text has at least `char_offset` characters."""
        return leading_tokens(self.decode, token_ids, char_offset)


def end_id(tokenizer: Any) -> int:
    """The token that ends a completion."""
    vocabulary = tokenizer.get_vocab()
    return int(next((vocabulary[token] for token in END_TOKENS if token in vocabulary), tokenizer.eos_token_id))


def banned_ids(tokenizer: Any, num_rows: int) -> tuple[int, ...]:
    """Ids that no completion may contain: control tokens, padding, and rows of the embedding that no token has."""
    vocabulary, end = tokenizer.get_vocab(), end_id(tokenizer)
    control = {vocabulary[token] for token in CONTROL_TOKENS if token in vocabulary}
    unused = set(range(num_rows)) - set(vocabulary.values())
    padding = set() if tokenizer.pad_token_id is None else {tokenizer.pad_token_id}
    return tuple(sorted((control | unused | padding) - {end}))


def first_attempt_tokens(policy: "Policy", token_ids: Sequence[int], text: str) -> int | None:
    """Tokens of the first attempt of a response whose decoding is `text`; None when no first answer ends.

    A token that holds the last character of the first `</answer>` still belongs to the first attempt.
    """
    end = first_attempt_end(text)
    return None if end is None else policy.token_index(token_ids, end)
