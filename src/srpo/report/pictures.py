"""Picture references as `data:` URIs: tiny pictures bit for bit, large ones scaled down to keep the file small.

A page holds each picture once, and no more of them than `MOST_BYTES`.
"""

import base64
import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from srpo.core.records import Trace
from srpo.report.model import Card, Picture

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE: Final = 640
"""Larger pictures are scaled down to this many pixels on their longer side."""
_LOSSLESS_UP_TO: Final = 200
MOST_BYTES: Final = 24_000_000
"""Of all pictures of a page together; what comes later has the reason in place of its picture."""


class Album:
    """The pictures of one page."""

    def __init__(self, load: "Callable[[str], Image] | None" = None, *, most_bytes: int = MOST_BYTES) -> None:
        self._load, self._left = load, most_bytes
        self._known: dict[str, Picture] = {}

    def cards(self, traces: Iterable[tuple[str, Trace]]) -> tuple[Card, ...]:
        """Labelled traces with their pictures."""
        return tuple(
            Card(run=label, trace=trace, pictures=tuple(self._picture(ref) for ref in trace.problem.images))
            for label, trace in traces
        )

    def _picture(self, ref: str) -> Picture:
        if (known := self._known.get(ref)) is not None:
            return known
        if self._left <= 0:
            return Picture(ref=ref, reason="this page holds as many pictures as it may; `srpo view` shows them all")
        picture = self._known[ref] = embed(ref, self._load)
        self._left -= len(picture.uri or "")
        return picture


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
