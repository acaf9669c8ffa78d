"""Picture references as `data:` URIs: tiny pictures bit for bit, large ones scaled down to keep the file small."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from srpo.core.records import Trace
from srpo.report.model import Card, Picture

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE: Final = 640
"""Larger pictures are scaled down to this many pixels on their longer side."""
_LOSSLESS_UP_TO: Final = 200

MOST_BYTES: Final = 24_000_000
"""Bytes of all pictures of a page together; what comes after has the reason in place of its picture."""


class Album:
    """The pictures of one page: each is loaded once, and all together stay within a bound."""

    def __init__(self, load: "Callable[[str], Image] | None" = None, most_bytes: int = MOST_BYTES) -> None:
        self._load, self._left = load, most_bytes
        self._known: dict[str, Picture] = {}

    def card(self, run: str, trace: Trace) -> Card:
        """A trace with its pictures."""
        return Card(run=run, trace=trace, pictures=tuple(self._picture(ref) for ref in trace.problem.images))

    def _picture(self, ref: str) -> Picture:
        if ref not in self._known:
            if self._left <= 0:
                words = f"this page holds {MOST_BYTES // 1_000_000} MB of pictures already; `srpo view` shows all"
                return Picture(ref=ref, reason=words)
            self._known[ref] = embed(ref, self._load)
            self._left -= len(self._known[ref].uri or "")
        return self._known[ref]


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
