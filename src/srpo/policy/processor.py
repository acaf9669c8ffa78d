"""Chat text and pictures in, model input out: a thin processor for Qwen's families (`policy.tiles`: InternVL).

It needs neither torchvision nor `AutoProcessor` (which, without torchvision, returns a bare tokenizer and no error). It
uses the checkpoint's own tokenizer, chat template and image settings, never truncates, and checks that the number of
image tokens equals the number of image features (docs/design.md#traps). Pixel values are bit-identical to those of
`Qwen2VLImageProcessorPil`: a picture has 256 values per channel, so rescaling and normalising is a table look-up, and
pictures of equal size are cut into patches together. A prompt keeps a picture's bytes, an eighth of what the vision
tower reads; the look-up comes when it is read, on the device.

    processor = load_processor(checkpoint_dir)
    prompt = processor.encode([("user", "How many bars?")], [image])
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from srpo.policy.template_check import check_template

CHANNELS = 3
OPENED_THOUGHT = "<think>"
"""What the templates of thinking models begin the assistant's turn with."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedPrompt:
    """One prompt, tokenised once, with its pictures preprocessed once, for all samples of its group."""

    input_ids: Tensor
    """Token ids, shape (L,), int64, image tokens expanded."""
    pixel_values: Tensor | None = None
    """Patches of all pictures of the prompt, shape (patches, channels, patch * patch), or squares, shape (squares,
    channels, height, width): uint8, of which `Processor.values` makes what the vision tower reads; values themselves
    have a floating type."""
    image_grid_thw: Tensor | None = None
    """Patches per picture along time, height, width, shape (images, 3), int64; None for squares."""
    num_image_tokens: int = 0
    """Image tokens among `input_ids`."""
    features: dict[str, Any] | None = None
    """What a vision tower that does not train made of the pictures (`policy.vision`); None where it has not yet."""

    @property
    def num_tokens(self) -> int:
        """Length L of the prompt in tokens."""
        return int(self.input_ids.shape[0])

    @property
    def num_bytes(self) -> int:
        """What tokens and pictures take."""
        return self.input_ids.nbytes + (0 if self.pixel_values is None else self.pixel_values.nbytes)


class CutPicture(NamedTuple):
    """A picture as a model takes it."""

    pixels: npt.NDArray[np.uint8]
    """See `EncodedPrompt.pixel_values`."""
    grid: tuple[int, int] | None
    """Patches along height and width; None for squares."""
    token_ids: list[int]
    """What stands in the prompt in its place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Processor:
    """Tokenizer and image settings of one checkpoint."""

    IMAGE_TOKEN: ClassVar[str] = "<|image_pad|>"  # noqa: S105 - a token of the vocabulary, not a secret

    tokenizer: Any
    """The checkpoint's `PreTrainedTokenizer`, padding on the left."""
    image_processor: Any
    """The checkpoint's `Qwen2VLImageProcessorPil`."""
    image_token_id: int
    """Id of the token that stands for one image feature."""
    control: re.Pattern[str]
    """The control tokens of the tokenizer, as texts could hold them."""
    value_table: npt.NDArray[np.float32] = field(repr=False)
    """Pixel value after rescaling and normalising, shape (channels, 256)."""

    def encode(self, messages: Sequence[tuple[str, str]], images: Sequence[Image.Image] = ()) -> EncodedPrompt:
        """Encode one conversation of (role, text) turns; see `encode_many`."""
        return self.encode_many([(messages, images)])[0]

    def encode_many(
        self, conversations: Sequence[tuple[Sequence[tuple[str, str]], Sequence[Image.Image]]]
    ) -> list[EncodedPrompt]:
        """Encode conversations with their pictures, ready for the model to continue as the assistant.

        The pictures of a conversation stand before the text of its first user turn. Pictures of equal size are
        preprocessed together. Control tokens in the texts are encoded as the text that they are: a question that holds
        `<|im_end|>` ends no turn, one that holds `<|image_pad|>` asks for no picture.

        Raises:
            ValueError: a picture cannot be brought to the model's size, or the chat template fails.

        """
        pictures = [image for _, images in conversations for image in images]
        cut = iter(self.cut(pictures))
        return [self.assemble(messages, [next(cut) for _ in images]) for messages, images in conversations]

    def num_tokens(self, messages: Sequence[tuple[str, str]], sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens that `encode` makes of a conversation with pictures of these sizes (width, height), none processed."""
        ids = self._token_ids(messages, len(sizes))
        return len(ids) - len(sizes) + sum(map(self.picture_tokens, sizes))

    def picture_tokens(self, size: tuple[int, int]) -> int:
        """Tokens that a picture of this width and height becomes."""
        cell: int = self.image_processor.patch_size * self.image_processor.merge_size
        width, height = self._size(size)
        return (height // cell) * (width // cell)

    def render(self, messages: Sequence[tuple[str, str]], num_images: int) -> str:
        """Apply the checkpoint's chat template, one image placeholder per picture, and open the assistant's turn."""
        first_user = next((i for i, (role, _) in enumerate(messages) if role == "user"), None)
        if first_user is None and num_images:
            raise ValueError(f"pictures need a user turn, got roles {[role for role, _ in messages]!r}")
        chat = [
            {
                "role": role,
                "content": [{"type": "image"}] * (num_images if i == first_user else 0)
                + [{"type": "text", "text": text}],
            }
            for i, (role, text) in enumerate(messages)
        ]
        try:
            rendered = str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        # Templates are programs: jinja's errors, and any of Python's.
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"the chat template fails: {what}") from error
        return _without_opened_thought(rendered)

    def _token_ids(self, messages: Sequence[tuple[str, str]], num_images: int) -> list[int]:
        """Ids of the rendered conversation, the texts' own control tokens as text.

        Such a token is set between two marks before the template sees it, and what lies between marks is encoded
        apart. Tokenizers cut texts at control tokens first of all, so that everything else gets the ids it always had.
        """
        texts = [text for _, text in messages]
        if not any(self.control.search(text) for text in texts):
            return self._encoded(self.render(messages, num_images), as_text=False)
        mark = _unused_character(texts)
        marked = [(role, self.control.sub(lambda found: f"{mark}{found[0]}{mark}", text)) for role, text in messages]
        pieces = self.render(marked, num_images).split(mark)
        return [token for at, piece in enumerate(pieces) for token in self._encoded(piece, as_text=at % 2 == 1)]

    def _encoded(self, text: str, *, as_text: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=as_text)["input_ids"]
        return ids

    def assemble(self, messages: Sequence[tuple[str, str]], pictures: Sequence[CutPicture]) -> EncodedPrompt:
        """A conversation with pictures that are cut already; see `encode_many`."""
        ids = self._token_ids(messages, len(pictures))
        if ids.count(self.image_token_id) != len(pictures):
            raise ValueError(
                f"the rendered prompt holds {ids.count(self.image_token_id)} image placeholders for {len(pictures)} "
                "pictures; use a checkpoint whose chat template places pictures"
            )
        remaining = iter(pictures)
        expanded: list[int] = []
        for token in ids:
            expanded.extend(next(remaining).token_ids if token == self.image_token_id else [token])
        if not pictures:
            return EncodedPrompt(input_ids=torch.tensor(expanded))
        grids = [[1, *one.grid] for one in pictures if one.grid is not None]
        return EncodedPrompt(
            input_ids=torch.tensor(expanded),
            pixel_values=torch.from_numpy(np.concatenate([one.pixels for one in pictures])),
            image_grid_thw=torch.tensor(grids) if grids else None,
            num_image_tokens=expanded.count(self.image_token_id),
        )

    def values(self, pixels: Tensor) -> Tensor:
        """Patches as the vision tower reads them, shape (patches, channels * temporal * patch * patch)."""
        times = self.image_processor.temporal_patch_size
        return self.looked_up(pixels)[:, :, None].expand(-1, -1, times, -1).flatten(1)

    def looked_up(self, pixels: Tensor) -> Tensor:
        """Pixels, shape (any, channels, ..), rescaled and normalised."""
        table = torch.from_numpy(self.value_table).to(pixels.device)
        columns = [table[channel][pixels[:, channel].int()] for channel in range(CHANNELS)]
        return torch.stack(columns, dim=1)

    def cut(self, images: Sequence[Image.Image]) -> list[CutPicture]:
        """The patches of each picture."""
        arrays = [self.resized(image) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for i, array in enumerate(arrays):
            by_shape.setdefault(array.shape, []).append(i)
        found: dict[int, CutPicture] = {}
        patch, merged = self.image_processor.patch_size, self.image_processor.merge_size**2
        for (height, width, _), indices in by_shape.items():
            grid = height // patch, width // patch
            token_ids = [self.image_token_id] * (grid[0] * grid[1] // merged)
            stacked = self._patchify(np.stack([arrays[i] for i in indices]))
            found |= {i: CutPicture(patches, grid, token_ids) for i, patches in zip(indices, stacked, strict=True)}
        return [found[i] for i in range(len(images))]

    def resized(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The picture as the model sees it, shape (height, width, channels)."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        if (size := self._size(image.size)) != image.size:
            image = image.resize(size, resample=Image.Resampling(self.image_processor.resample))
        return np.asarray(image, dtype=np.uint8)

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height to which a picture of `size` is brought."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        settings = self.image_processor
        width, height = size
        height, width = smart_resize(
            height,
            width,
            factor=settings.patch_size * settings.merge_size,
            min_pixels=settings.size["shortest_edge"],
            max_pixels=settings.size["longest_edge"],
        )
        return width, height

    def _patchify(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut N pictures of one size, shape (N, patches, channels, patch * patch), in the vision tower's order."""
        patch, merge = self.image_processor.patch_size, self.image_processor.merge_size
        count, height, width, _ = images_nhwc.shape
        grid_h, grid_w = height // patch, width // patch
        blocks = images_nhwc.reshape(
            count, grid_h // merge, merge, patch, grid_w // merge, merge, patch, CHANNELS
        ).transpose(0, 1, 4, 2, 5, 7, 3, 6)
        return blocks.reshape(count, grid_h * grid_w, CHANNELS, patch * patch)

    @staticmethod
    def read_settings(checkpoint: str | Path) -> Any:
        """The image settings of a checkpoint directory."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        return Qwen2VLImageProcessorPil.from_pretrained(str(checkpoint))

    @staticmethod
    def check_settings(settings: Any, place: str) -> None:
        """ValueError where pictures could not be cut into patches by these settings."""
        sizes = {name: getattr(settings, name) for name in ("patch_size", "merge_size", "temporal_patch_size")}
        sizes |= {name: settings.size[name] for name in ("shortest_edge", "longest_edge")}
        if wrong := {name: size for name, size in sizes.items() if not isinstance(size, int) or size < 1}:
            raise ValueError(f"the image settings in {place!r} have {wrong}; each must be a whole number of 1 or more")


def load_processor(checkpoint: str | Path, kind: type[Processor] = Processor, **more: Any) -> Processor:
    """Read tokenizer, chat template and image settings of a checkpoint directory.

    Args:
        checkpoint: the directory.
        kind: how the family's pictures are cut.
        more: further fields of this kind.

    Raises:
        ValueError: the directory lacks a tokenizer, a chat template or image settings that we support, or they are
            damaged.

    """
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(checkpoint), padding_side="left")
        image_processor = kind.read_settings(checkpoint)
    # OSError says what is missing; damaged files raise whatever their parser raises, plain Exception in one case.
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"tokenizer or image settings in {str(checkpoint)!r} cannot be read: {what}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(f"no tokenizer in {str(checkpoint)!r}: found {type(tokenizer).__name__}")
    return make_processor(tokenizer, image_processor, str(checkpoint), kind, **more)


def make_processor(
    tokenizer: Any, image_processor: Any, place: str, kind: type[Processor] = Processor, **more: Any
) -> Processor:
    """Put a tokenizer and image settings together; `place` names them in errors."""
    if not tokenizer.chat_template:
        template = _template_file(place)
        if template is None:
            raise ValueError(f"{place!r} has no chat template; add chat_template.jinja to the directory")
        tokenizer.chat_template = template
    image_token_id = tokenizer.get_vocab().get(kind.IMAGE_TOKEN)
    if image_token_id is None:
        raise ValueError(f"the tokenizer in {place!r} has no {kind.IMAGE_TOKEN} token; is it of another family?")
    if not image_processor.do_resize:
        raise ValueError(f"the image settings in {place!r} have do_resize=false, which is not supported")
    kind.check_settings(image_processor, place)
    processor = kind(
        tokenizer=tokenizer,
        image_processor=image_processor,
        image_token_id=image_token_id,
        control=_control_pattern(tokenizer),
        value_table=_value_table(image_processor),
        **more,
    )
    try:
        check_template(str(tokenizer.chat_template))
        processor.render([("user", "How many?")], 1)
    except ValueError as error:
        raise ValueError(f"{place!r}: {error}") from error
    return processor


def _control_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Tags such as `<think>` are tokens of some tokenizers, but no control tokens: prompts are full of them."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(special, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _without_opened_thought(rendered: str) -> str:
    """The prompt without a `<think>` that the template writes for the assistant, as those of thinking models do.

    It is the first thing that a response of ours holds, so the model writes it itself; what it then sees is the same.
    """
    bare = rendered.rstrip()
    return bare.removesuffix(OPENED_THOUGHT) if bare.endswith(OPENED_THOUGHT) else rendered


def _unused_character(texts: Sequence[str]) -> str:
    """A character of Unicode's private area that none of these texts has."""
    used = set().union(*texts)
    return next(mark for mark in map(chr, range(0xE000, 0xF900)) if mark not in used)


def _template_file(place: str) -> str | None:
    """Templates of older checkpoints live beside the tokenizer, in a file of their own."""
    path = Path(place) / "chat_template.json"
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_bytes())["chat_template"])
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ValueError(f"{str(path)!r} cannot be read: {type(error).__name__}: {error}") from error


def _value_table(settings: Any) -> npt.NDArray[np.float32]:
    """What the stock image processor makes of each of the 256 values, per channel."""
    ramp: npt.NDArray[Any] = np.broadcast_to(np.arange(256, dtype=np.uint8), (CHANNELS, 1, 256))
    if settings.do_rescale:
        ramp = settings.rescale(ramp, settings.rescale_factor)
    if settings.do_normalize:
        ramp = settings.normalize(ramp, settings.image_mean, settings.image_std)
    return np.ascontiguousarray(ramp[:, 0, :], dtype=np.float32)
