"""Pictures in: whatever file a user has becomes an RGB picture that a Qwen-VL processor accepts, or a named error.

>>> load_image("drawn:pairs/1/7").mode
'RGB'
>>> check_image("missing.png")
'missing.png: no such file'
"""

import hashlib
import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srpo.core.records import DRAWN

MAX_PIXELS = 89_478_485
"""Larger files are refused before they are decoded (a decompression bomb is a few kB on disk); Pillow's own bound."""

MAX_ASPECT = 100
"""Longest side over shortest. Qwen's `smart_resize` refuses 200 and more; half of it leaves room for rounding when the
picture is scaled down afterwards."""

_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow's plugins raise on damaged files; there is no common base class."""


class ImageError(ValueError):
    """A picture that cannot be used; the text names the file and the reason."""


class LoadedImage(NamedTuple):
    """A usable picture and what had to be done to it."""

    image: Image.Image
    """Mode RGB, at most `MAX_ASPECT` times as long as wide."""
    notes: tuple[str, ...]
    """Changes of substance, for the user to know: padding, frames left out, a damaged EXIF block, scaling."""


def load_image(ref: str, *, max_pixels: int | None = None) -> Image.Image:
    """Return the picture behind `ref` as RGB; see `read_image`."""
    return read_image(ref, max_pixels=max_pixels).image


def read_image(ref: str, *, max_pixels: int | None = None) -> LoadedImage:
    """Read a file path or draw a `drawn:` reference, and make it an RGB picture.

    Transparency is laid on white, 16-bit grey is scaled to 8 bits, EXIF rotation is applied, extreme aspect ratios are
    padded with white. `max_pixels` scales larger pictures down to that area, keeping the aspect ratio.

    Raises:
        ImageError: the file is missing, empty, no picture, damaged, too large, or of a mode that has no RGB form.
    """
    notes: list[str]
    if ref.startswith(DRAWN):
        image, notes = _draw(ref), []
    else:
        image, notes = _decode(_read_bytes(ref), ref)
    image = _bound_aspect(image, notes)
    if max_pixels is not None:
        image = _bound_area(image, max_pixels, notes)
    return LoadedImage(image, tuple(notes))


def check_image(ref: str) -> str | None:
    """Return why the picture cannot be used, or None when it can. Decodes it in full."""
    try:
        read_image(ref)
    except ValueError as error:
        return str(error)
    return None


def image_hash(ref: str) -> str:
    """SHA-256 in hex: of a file's bytes, or of the pixels of a drawn picture. Raises ImageError when there is none."""
    if ref.startswith(DRAWN):
        image = load_image(ref)
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return hashlib.sha256(_read_bytes(ref)).hexdigest()


def store_image(data: bytes, directory: Path) -> Path:
    """Write an embedded picture once, under the hash of its bytes, and return where it lies.

    Raises:
        ImageError: the bytes are not a picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            suffix = (image.format or "bin").lower()
    except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise ImageError(f"embedded picture: {_reason(error)}") from error
    digest = hashlib.sha256(data).hexdigest()
    path = directory / digest[:2] / f"{digest}.{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # A killed writer must not leave half a picture under a name that promises the whole one.
        part = path.with_suffix(f".{suffix}.part")
        part.write_bytes(data)
        part.replace(path)
    return path


def _draw(ref: str) -> Image.Image:
    from srpo.data.drawn import render_ref

    try:
        return render_ref(ref).convert("RGB")
    except ValueError as error:
        raise ImageError(str(error)) from error


def _read_bytes(ref: str) -> bytes:
    """The file's bytes; every way in which there are none is an ImageError."""
    if "\0" in ref:
        raise ImageError(f"{ref!r}: not a file name")
    path = Path(ref)
    if path.is_dir():
        raise ImageError(f"{ref}: is a directory, not a picture")
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ImageError(f"{ref}: cannot be read ({error.strerror})") from error
    if data is None:
        raise ImageError(f"{ref}: no such file")
    if not data:
        raise ImageError(f"{ref}: empty file (0 bytes)")
    return data


def _decode(data: bytes, ref: str) -> tuple[Image.Image, list[str]]:
    """Decode in full, rotate as EXIF says, convert to RGB."""
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            # Pillow warns where we refuse, and about metadata that has no influence on the pixels.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(
                        f"{ref}: {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}; scale it down"
                    )
                if image.width == 0 or image.height == 0:
                    raise ImageError(f"{ref}: {image.width}x{image.height} pixels")
                if (frames := getattr(image, "n_frames", 1)) > 1:
                    notes.append(f"first of {frames} frames used")
                image.load()
                return _to_rgb(_rotate(image, notes)), notes
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{ref}: more than {MAX_PIXELS:,} pixels; scale it down") from error
    except _DECODER_ERRORS as error:
        raise ImageError(f"{ref}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Pillow's complaint in a user's words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that Pillow reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    text = str(error) or type(error).__name__
    return f"truncated picture ({text})" if "truncated" in text.lower() else f"damaged picture ({text})"


def _rotate(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block costs the rotation, not the picture."""
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        notes.append("EXIF block is damaged: rotation not applied")
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; transparency on white, because figures with a clear background are drawn for paper."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return _from_wide_grey(image)
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey. Pillow's own conversion clips at 255: most of a 16-bit picture would be white."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        values = values / 257.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255.0
    elif low < 0 or high > 255:
        values = (values - low) / (high - low) * 255.0
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")


def _bound_aspect(image: Image.Image, notes: list[str]) -> Image.Image:
    """Pad the short side with white, centred, until the ratio is `MAX_ASPECT`."""
    width, height = image.size
    least = math.ceil(max(width, height) / MAX_ASPECT)
    if min(width, height) >= least:
        return image
    size = (max(width, least), max(height, least))
    notes.append(f"{width}x{height} padded with white to {size[0]}x{size[1]} (aspect ratio at most {MAX_ASPECT})")
    padded = Image.new("RGB", size, (255, 255, 255))
    padded.paste(image, ((size[0] - width) // 2, (size[1] - height) // 2))
    return padded


def _bound_area(image: Image.Image, max_pixels: int, notes: list[str]) -> Image.Image:
    """Scale down to at most `max_pixels`, keeping the aspect ratio; never up."""
    width, height = image.size
    if width * height <= max_pixels:
        return image
    factor = math.sqrt(max_pixels / (width * height))
    size = (max(1, math.floor(width * factor)), max(1, math.floor(height * factor)))
    notes.append(f"{width}x{height} scaled to {size[0]}x{size[1]} (max_pixels {max_pixels})")
    return _bound_aspect(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0), notes)
