"""Picture references as `data:` URIs: tiny pictures bit for bit, large ones scaled down to keep the file small."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from srpo.report.model import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE: Final = 640
"""Larger pictures are scaled down to this many pixels on their longer side."""
_LOSSLESS_UP_TO: Final = 200


def embed(ref: str, load: "Callable[[str], Image] | None" = None) -> Picture:
    """Load the picture that `ref` names and embed it; a picture that cannot be loaded keeps the reason instead.

    `load` is `srpo.data.images.load_image` unless given.
    """
    from srpo.data.images import load_image

    try:
        image = (load or load_image)(ref)
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    except (ValueError, OSError) as error:
        return Picture(ref=ref, reason=str(error) or type(error).__name__)
    data = io.BytesIO()
    if max(image.size) <= _LOSSLESS_UP_TO:
        kind = "png"
        image.save(data, "PNG", optimize=True)
    else:
        kind = "jpeg"
        image.save(data, "JPEG", quality=85, optimize=True)
    uri = f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
    return Picture(ref=ref, uri=uri, width=image.width, height=image.height)
