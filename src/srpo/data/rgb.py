"""Any picture to RGB of a shape that a Qwen-VL processor accepts; in strips, so that memory stays near the result's.

Bounds are in bytes and hold for what is made of a file, padding included: a file of 128 bytes can ask for gigabytes.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_DECODED_BYTES = 4 * 89_478_485
"""Bytes of the RGB picture (Pillow holds four for each pixel), after padding; Pillow's own bound on its input."""

MAX_ASPECT = 100
"""Longest side over shortest. Qwen's `smart_resize` refuses 200 and more; half of it leaves room for rounding when the
picture is scaled down afterwards."""

_STRIP_BYTES = 32 << 20
_WIDE_BYTES = 8
"""Bytes of a pixel while grey of many bits is scaled."""


def excess(size: tuple[int, int]) -> str | None:
    """Why a picture of this size is too large, or None; known from the header, before anything is decoded."""
    padded = padded_size(size)
    if 4 * padded[0] * padded[1] <= MAX_DECODED_BYTES:
        return None
    padding = "" if padded == size else f", padded to {padded[0]}x{padded[1]} (aspect ratio at most {MAX_ASPECT})"
    return f"{size[0]}x{size[1]} pixels{padding}, more than {MAX_DECODED_BYTES // 4:,}; scale it down"


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which the ratio of the sides is `MAX_ASPECT`, if it is larger now."""
    least = math.ceil(max(size) / MAX_ASPECT)
    return max(size[0], least), max(size[1], least)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; transparency on white, because figures with a clear background are drawn for paper."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return _from_wide_grey(image)
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def bound_aspect(image: Image.Image, notes: list[str]) -> Image.Image:
    """Pad the short side with white, centred, until the ratio is `MAX_ASPECT`."""
    width, height = image.size
    size = padded_size(image.size)
    if size == image.size:
        return image
    notes.append(f"{width}x{height} padded with white to {size[0]}x{size[1]} (aspect ratio at most {MAX_ASPECT})")
    padded = Image.new("RGB", size, (255, 255, 255))
    padded.paste(image, ((size[0] - width) // 2, (size[1] - height) // 2))
    return padded


def bound_area(image: Image.Image, max_pixels: int, notes: list[str]) -> Image.Image:
    """Scale down to at most `max_pixels`, keeping the aspect ratio; never up."""
    width, height = image.size
    if width * height <= max_pixels:
        return image
    factor = math.sqrt(max_pixels / (width * height))
    size = (max(1, math.floor(width * factor)), max(1, math.floor(height * factor)))
    notes.append(f"{width}x{height} scaled to {size[0]}x{size[1]} (max_pixels {max_pixels})")
    return bound_aspect(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0), notes)


def _on_white(image: Image.Image) -> Image.Image:
    made = Image.new("RGB", image.size)
    for box in _strips(image.size):
        clear = image.crop(box).convert("RGBA")
        paper = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        made.paste(Image.alpha_composite(paper, clear).convert("RGB"), box)
    return made


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey. Pillow's own conversion clips at 255: most of a 16-bit picture would be white."""
    ranges = [(float(values.min()), float(values.max())) for _, values in _wide_strips(image)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    offset, factor = 0.0, 1.0
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        factor = 1 / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        factor = 255.0
    elif low < 0 or high > 255:
        offset, factor = low, 255.0 / (high - low)
    made = Image.new("RGB", image.size)
    for box, values in _wide_strips(image):
        made.paste(Image.fromarray(np.rint((values - offset) * factor).astype(np.uint8)).convert("RGB"), box)
    return made


def _wide_strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], npt.NDArray[np.float64]]]:
    for box in _strips(image.size):
        values = np.asarray(image.crop(box)).astype(np.float64)
        yield box, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that cover a picture, each of `_STRIP_BYTES` or less while it is worked on."""
    width = max(1, min(size[0], _STRIP_BYTES // _WIDE_BYTES))
    height = max(1, _STRIP_BYTES // _WIDE_BYTES // width)
    for top in range(0, size[1], height):
        for left in range(0, size[0], width):
            yield left, top, min(left + width, size[0]), min(top + height, size[1])
