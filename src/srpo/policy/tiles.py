"""Pictures cut into squares of one size, each of which becomes the same number of tokens: InternVL.

As `processor` does for Qwen's patches: the checkpoint's own settings, values bit-identical to those of the stock image
processor, and no torchvision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from srpo.policy.processor import CHANNELS, CutPicture, Processor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiledProcessor(Processor):
    """Tokenizer and image settings of an InternVL checkpoint."""

    IMAGE_TOKEN: ClassVar[str] = "<IMG_CONTEXT>"  # noqa: S105 - a token of the vocabulary, not a secret
    _EDGES: ClassVar[tuple[str, str]] = ("<img>", "</img>")
    """Tokens before and behind those of a picture."""

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
        # The family's own processor crops whatever the settings' file says.
        made = self.image_processor([image], crop_to_patches=True, do_rescale=False, do_normalize=False)
        tiles = np.stack([np.asarray(tile, dtype=np.uint8) for tile in made["pixel_values"]])
        assert tiles.shape[1] == CHANNELS
        return CutPicture(tiles, None, [first, *[self.image_token_id] * (self.tokens_per_tile * len(tiles)), last])


def tokens_per_tile(config: Any) -> int:
    """Tokens that a square becomes, by a model's config."""
    side, patch = (_one(getattr(config.vision_config, name)) for name in ("image_size", "patch_size"))
    return int((side // patch) ** 2 * config.downsample_ratio**2)


def _one(size: Any) -> int:
    """Height of a size that is given as one number or as two."""
    return int(size[0] if isinstance(size, list | tuple) else size)
