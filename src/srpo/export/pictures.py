"""Pictures as trainers get them: the file's own bytes where every reader sees the same in them, else a PNG."""

import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from srpo.core.records import DRAWN
from srpo.data.images import image_hash, open_picture, read_image

_PLAIN_FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
_PLAIN_MODES = frozenset({"RGB", "L"})
"""Modes that `convert("RGB")`, which every trainer calls, takes as we do; 16-bit grey and clear parts are not among
them."""


class PictureFile(NamedTuple):
    """One picture, ready to be written."""

    data: bytes
    suffix: str
    """`png`, `jpg` or `webp`."""
    width: int
    height: int
    sha256: str
    """Of `data`."""
    original_sha256: str
    """Of the source's own file, or of the pixels of a drawn picture."""

    @property
    def name(self) -> str:
        """Where it lies in a folder of pictures: spread over 256 folders, one file for each content."""
        return f"{self.sha256[:2]}/{self.sha256}.{self.suffix}"


@lru_cache(maxsize=64)
def read_picture(ref: str) -> PictureFile:
    """The picture behind `ref`; raises ImageError when there is none.

    The last few are kept, because the samples of one problem follow each other.
    """
    image = read_image(ref).image
    data, suffix = _plain_file(ref, image.size) or _as_png(image)
    return PictureFile(data, suffix, *image.size, hashlib.sha256(data).hexdigest(), image_hash(ref))


def _plain_file(ref: str, size: tuple[int, int]) -> tuple[bytes, str] | None:
    """The file as it is, if it holds just the picture that srpo showed to the models: no frames, rotation, padding."""
    if ref.startswith(DRAWN):
        return None
    data = Path(ref).read_bytes()
    with open_picture(data) as image:
        plain = (
            image.format in _PLAIN_FORMATS
            and image.mode in _PLAIN_MODES
            and "transparency" not in image.info
            and not getattr(image, "is_animated", False)
            and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            and image.size == size
        )
        return (data, _PLAIN_FORMATS[str(image.format)]) if plain else None


def _as_png(image: Image.Image) -> tuple[bytes, str]:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue(), "png"
