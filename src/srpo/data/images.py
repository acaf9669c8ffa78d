"""Pictures in: whatever file a user has becomes an RGB picture that a Qwen-VL processor accepts, or a named error.

>>> load_image("drawn:pairs/1/7").mode
'RGB'
>>> check_image("missing.png")
'missing.png: no such file'
"""

import hashlib
import io
import os
import stat
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from srpo.core.records import DRAWN
from srpo.data.disturbed import DISTURBED, disturb, read_ref
from srpo.data.rgb import MAX_ASPECT, bound_area, bound_aspect, excess, to_rgb

__all__ = ["MAX_ASPECT", "ImageError", "LoadedImage", "StoreError", "load_image", "open_picture", "read_image"]

READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read, by content. Pillow knows 40 more; one of them hands the file to Ghostscript."""

MAX_FILE_BYTES = 256 << 20
"""Larger files are refused before they are read."""

_LARGE_BYTES = 64 << 20
"""Decoded; of pictures beyond it one is worked on at a time, because runs read them in many threads."""
_ONE_LARGE = threading.Lock()
_SHOWN = 300
"""Characters of a reference in a message."""


class ImageError(ValueError):
    """A picture that cannot be used; the text names the file and the reason."""


class StoreError(ValueError):
    """Embedded pictures cannot be kept: no room, no right to write. Not the row's fault."""


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
    if ref.startswith(DRAWN):
        return _bounded(_draw(ref), [], max_pixels)
    if (change := read_ref(ref)) is not None:
        whole = read_image(change.ref, max_pixels=max_pixels)
        return LoadedImage(disturb(whole.image, change), (*whole.notes, f"replaced by a probe: {change.how}"))
    return _decode(_read_bytes(ref), ref, max_pixels)


def check_image(ref: str) -> str | None:
    """Return why the picture cannot be used, or None when it can. Decodes it in full."""
    try:
        read_image(ref)
    except ValueError as error:
        return str(error)
    return None


def image_hash(ref: str) -> str:
    """SHA-256 in hex: of a file's bytes, or of the pixels of a picture that is made. ImageError when there is none."""
    if ref.startswith((DRAWN, DISTURBED)):
        image = load_image(ref)
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return hashlib.sha256(_read_bytes(ref)).hexdigest()


def open_picture(data: bytes) -> Image.Image:
    """A picture of one of `READ_FORMATS`, its pixels not read yet; raises what Pillow raises."""
    return Image.open(io.BytesIO(data), formats=READ_FORMATS)


def store_image(data: bytes, directory: Path) -> Path:
    """Write an embedded picture once, under the hash of its bytes, and return where it lies.

    Raises:
        ImageError: the bytes are not a picture.
        StoreError: it cannot be written.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"embedded picture: {_too_many_bytes(len(data))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(data) as image:
                suffix = str(image.format).lower()
    # There is no common base class of what Pillow's plugins raise on damaged files.
    except Exception as error:
        raise ImageError(f"embedded picture: {_reason(error)}") from error
    digest = hashlib.sha256(data).hexdigest()
    path = directory / digest[:2] / f"{digest}.{suffix}"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A killed writer must not leave half a picture under a name that promises the whole one, and two writers
            # at once not take each other's.
            part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise StoreError(f"{directory}: embedded pictures cannot be kept there: {error.strerror}") from error
    return path


def _draw(ref: str) -> Image.Image:
    from srpo.data.drawn import render_ref

    try:
        return render_ref(ref).convert("RGB")
    except ValueError as error:
        raise ImageError(str(error)) from error


def file_kind(path: str | Path) -> str:
    """`file`, or why what lies at `path` is none; never raises, whatever the text."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError) as error:
        # ValueError: a NUL, or half of a surrogate pair.
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        return str(reason).lower()
    if stat.S_ISDIR(mode):
        return "is a directory"
    return "file" if stat.S_ISREG(mode) else "not a plain file"


def shown(ref: str) -> str:
    """A reference as messages show it: what a data set has in a picture's place can be megabytes."""
    return ref if len(ref) <= _SHOWN else f"{ref[: _SHOWN // 2]}..({len(ref):,} characters)"


def _read_bytes(ref: str) -> bytes:
    """The file's bytes; every way in which there are none is an ImageError."""
    if (kind := file_kind(ref)) != "file":
        name = repr(shown(ref)) if kind == "not a file name" else shown(ref)
        raise ImageError(f"{name}: {kind}" + (", not a picture" if kind == "is a directory" else ""))
    try:
        with Path(ref).open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
                raise ImageError(f"{shown(ref)}: {_too_many_bytes(size)}")
            data = file.read(size)
    except OSError as error:
        raise ImageError(f"{shown(ref)}: cannot be read ({error.strerror})") from error
    if not data:
        raise ImageError(f"{shown(ref)}: empty file (0 bytes)")
    return data


def _too_many_bytes(size: int) -> str:
    return f"{size:,} bytes, more than {MAX_FILE_BYTES:,}"


def _decode(data: bytes, ref: str, max_pixels: int | None) -> LoadedImage:
    """Decode in full, rotate as EXIF says, convert to RGB, bound."""
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            # Pillow warns where we refuse, and about metadata that has no influence on the pixels.
            warnings.simplefilter("ignore")
            with open_picture(data) as image, _turn(image.size):
                if (reason := excess(image.size)) is not None:
                    raise ImageError(f"{shown(ref)}: {reason}")
                if image.width == 0 or image.height == 0:
                    raise ImageError(f"{shown(ref)}: {image.width}x{image.height} pixels")
                # Not how many: to count them Pillow walks through all, half a millisecond each.
                if getattr(image, "is_animated", False):
                    notes.append("first frame used, there are others")
                image.load()
                return _bounded(to_rgb(_rotate(image, notes)), notes, max_pixels)
    except ImageError:
        raise
    except Exception as error:  # as in `store_image`
        raise ImageError(f"{shown(ref)}: {_reason(error)}") from error


def _turn(size: tuple[int, int]) -> AbstractContextManager[object]:
    return _ONE_LARGE if 4 * size[0] * size[1] > _LARGE_BYTES else nullcontext()


def _bounded(image: Image.Image, notes: list[str], max_pixels: int | None) -> LoadedImage:
    image = bound_aspect(image, notes)
    if max_pixels is not None:
        image = bound_area(image, max_pixels, notes)
    return LoadedImage(image, tuple(notes))


def _reason(error: BaseException) -> str:
    """Pillow's complaint in a user's words."""
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture; read are {', '.join(READ_FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are read; scale it down"
    text = str(error) or type(error).__name__
    return f"truncated picture ({text})" if "truncated" in text.lower() else f"damaged picture ({text})"


def _rotate(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block costs the rotation, not the picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as in `store_image`
        notes.append("EXIF block is damaged: rotation not applied")
        return image
