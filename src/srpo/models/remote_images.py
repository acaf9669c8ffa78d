"""Pictures as data URLs, the way servers of the OpenAI kind take them."""

import base64
import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from srpo.core.records import DRAWN
from srpo.data.images import image_hash, read_image
from srpo.models.config import ImageFormat

_JPEG_QUALITY = 92
_AS_IS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"RIFF": "webp"}
"""First bytes of the formats that every server reads."""
_KEPT_BYTES = 64 * 2**20


class EncodedPicture(NamedTuple):
    """A picture ready to be sent."""

    data_url: str
    digest: str
    """Hash of the source and of how it was encoded: the picture's part of a cache key."""
    num_pixels: int
    """Area as sent."""
    notes: tuple[str, ...]
    """What had to be done to it beyond the scaling that was asked for."""


class PictureEncoder:
    """Encodes pictures by one rule and keeps the latest ones, since every picture is asked about several times."""

    def __init__(self, max_pixels: int | None, image_format: ImageFormat) -> None:
        """Scale down to `max_pixels`, send as `image_format`."""
        self._max_pixels = max_pixels
        self._format = image_format
        self._kept: OrderedDict[str, EncodedPicture] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def encode(self, ref: str) -> EncodedPicture:
        """The picture behind a path or a `drawn:` reference; thread-safe.

        Raises:
            ImageError: it cannot be used (see `srpo.data.images`).
        """
        with self._lock:
            if ref in self._kept:
                self._kept.move_to_end(ref)
                return self._kept[ref]
        picture = self._encode(ref)
        with self._lock:
            if ref not in self._kept:
                self._num_bytes += len(picture.data_url)
            self._kept[ref] = picture
            while self._num_bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._num_bytes -= len(self._kept.popitem(last=False)[1].data_url)
        return picture

    def _encode(self, ref: str) -> EncodedPicture:
        image, notes = read_image(ref, max_pixels=self._max_pixels)
        # Scaling that was asked for is not worth a note.
        others = tuple(note for note in notes if "max_pixels" not in note)
        kind, data = "", b""
        if self._format == "as-is" and not notes and not ref.startswith(DRAWN):
            data = Path(ref).read_bytes()
            kind = next((name for head, name in _AS_IS.items() if data.startswith(head)), "")
        if not kind:
            kind, data = _file(image, self._format)
        url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        digest = f"{image_hash(ref)} {self._format} {self._max_pixels}"
        return EncodedPicture(url, digest, image.width * image.height, others)


def _file(image: Image.Image, image_format: ImageFormat) -> tuple[str, bytes]:
    file = io.BytesIO()
    if image_format == "jpeg":
        # Full chroma: thin coloured lines and letters are what figures are made of.
        image.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return "jpeg", file.getvalue()
    image.save(file, "PNG", compress_level=1)
    return "png", file.getvalue()
