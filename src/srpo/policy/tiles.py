"""Pictures cut into squares of one size, each of which becomes the same number of tokens: InternVL, and Gemma 3, where
a picture is brought to one square.

As `processor` does for Qwen's patches: the checkpoint's own settings, values bit-identical to those of the stock image
processor, and no torchvision.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from srpo.policy.processor import CHANNELS, MARKS, CutPicture, Processor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiledProcessor(Processor):
    """Tokenizer and image settings of an InternVL checkpoint."""

    IMAGE_TOKEN: ClassVar[str] = "<IMG_CONTEXT>"  # noqa: S105 - a token of the vocabulary, not a secret
    _EDGES: ClassVar[tuple[str, str]] = ("<img>", "</img>")
    """Tokens before and behind those of a picture."""
    _CUTTING: ClassVar[dict[str, bool]] = {"crop_to_patches": True}
    """How the image processor is called: the families' own processors cut so whatever the settings' file says."""

    tokens_per_tile: int
    """Tokens that a square becomes."""

    @staticmethod
    def read_settings(checkpoint: str | Path) -> Any:
        """The image settings of a checkpoint directory."""
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

        return GotOcr2ImageProcessorPil.from_pretrained(str(checkpoint))

    @staticmethod
    def check_settings(settings: Any, place: str) -> None:
        """ValueError where pictures could not be cut by these settings."""
        sizes = {"height": settings.size["height"], "width": settings.size["width"]}
        sizes |= {"min_patches": settings.min_patches, "max_patches": settings.max_patches}
        if wrong := {name: size for name, size in sizes.items() if not isinstance(size, int) or size < 1}:
            raise ValueError(f"the image settings in {place!r} have {wrong}; each must be a whole number of 1 or more")

    def values(self, pixels: Tensor) -> Tensor:
        """Squares as the vision tower reads them, shape (squares, channels, height, width)."""
        return self.looked_up(pixels)

    def resized(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Squares have no common picture that a server could be sent.

        Raises:
            ValueError: always.

        """
        raise ValueError(
            f"a picture of {image.width}x{image.height} is cut into squares by this family and cannot be handed to a "
            "server as the model sees it; sample with the policy itself"
        )

    def cut(self, images: Sequence[Image.Image]) -> list[CutPicture]:
        """The squares of each picture, and a small copy of the whole where they are several."""
        vocabulary = self.tokenizer.get_vocab()
        first, last = (vocabulary[token] for token in self._EDGES)
        return [self._cut(image, first, last) for image in images]

    def picture_tokens(self, size: tuple[int, int]) -> int:
        """Tokens that a picture of this width and height becomes, its edges included."""
        width, height = size
        tiles: int = self.image_processor.get_number_of_image_patches(height, width, {"crop_to_patches": True})
        return tiles * self.tokens_per_tile + len(self._EDGES)

    def _cut(self, image: Image.Image, first: int, last: int) -> CutPicture:
        image = image if image.mode == "RGB" else image.convert("RGB")
        made = self.image_processor([image], do_rescale=False, do_normalize=False, **self._CUTTING)
        tiles = np.stack([np.asarray(tile, dtype=np.uint8) for tile in made["pixel_values"]])
        assert tiles.shape[1] == CHANNELS
        return CutPicture(tiles, None, [first, *[self.image_token_id] * (self.tokens_per_tile * len(tiles)), last])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SquareProcessor(TiledProcessor):
    """Tokenizer and image settings of a Gemma 3 checkpoint: every picture is brought to one square."""

    IMAGE_TOKEN: ClassVar[str] = "<image_soft_token>"  # noqa: S105 - a token of the vocabulary, not a secret
    _EDGES: ClassVar[tuple[str, str]] = ("<start_of_image>", "<end_of_image>")
    _CUTTING: ClassVar[dict[str, bool]] = {"do_pan_and_scan": False}

    @property
    def placeholder_id(self) -> int:
        """The template writes the first edge of a picture alone."""
        return int(self.tokenizer.convert_tokens_to_ids(self._EDGES[0]))

    @staticmethod
    def read_settings(checkpoint: str | Path) -> Any:
        """The image settings of a checkpoint directory."""
        from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

        return Gemma3ImageProcessorPil.from_pretrained(str(checkpoint))

    @staticmethod
    def check_settings(settings: Any, place: str) -> None:
        """ValueError where pictures could not be brought to a square by these settings."""
        sizes = [settings.size["height"], settings.size["width"]]
        if not all(isinstance(size, int) and size > 0 for size in sizes) or settings.do_pan_and_scan:
            raise ValueError(
                f"the image settings in {place!r} have size {sizes} and do_pan_and_scan {settings.do_pan_and_scan!r}; "
                "use whole numbers of 1 or more, and false"
            )

    def render(self, messages: Sequence[tuple[str, str]], num_images: int) -> str:
        """Apply the chat template; blank lines stand around every picture, as the family's own processor sets them."""
        # What a text holds of this name stands between marks, and is no picture.
        placeholder = rf"(?<![{MARKS[0]}-{MARKS[1]}]){re.escape(self._EDGES[0])}"
        return re.sub(placeholder, r"\n\n\g<0>\n\n", Processor.render(self, messages, num_images))

    def picture_tokens(self, size: tuple[int, int]) -> int:  # noqa: ARG002 - as in Processor
        """Tokens that any picture becomes, its edges included."""
        return self.tokens_per_tile + len(self._EDGES)


def tokens_per_tile(config: Any) -> int:
    """Tokens that a square becomes, by a model's config."""
    if hasattr(config, "mm_tokens_per_image"):
        return int(config.mm_tokens_per_image)
    side, patch = (_one(getattr(config.vision_config, name)) for name in ("image_size", "patch_size"))
    return int((side // patch) ** 2 * config.downsample_ratio**2)


def _one(size: Any) -> int:
    """Height of a size that is given as one number or as two."""
    return int(size[0] if isinstance(size, list | tuple) else size)
