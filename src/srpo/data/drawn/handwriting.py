"""Real handwritten digits: 1,797 grey 8x8 pictures from 13 writers.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998),
doi 10.24432/C50P49, CC BY 4.0; the copy that scikit-learn ships, converted by `scripts/make_handwriting.py`.

The source does not name the writers, but keeps each writer's digits together. The training split takes the front of
the file, the held-out splits its end, and the rows between, which may be of a writer of either side, are left out.
"""

import functools
import gzip
from importlib import resources
from typing import Final

from PIL import Image

_TRAIN_END: Final = 1250
_HELD_OUT_START: Final = 1400
_LEVELS: Final = "0123456789abcdefg"


def digit_image(value: int, *, held_out: bool, pick: float) -> Image.Image:
    """One sample of the digit `value` (0..9): an 8x8 grey picture, dark ink on white.

    `pick`, between 0 and 1, chooses among the samples of the split's writers.
    """
    samples = _samples(held_out)[value]
    pixels = samples[int(pick * len(samples))]
    grey = bytes(255 - round(_LEVELS.index(level) * 255 / 16) for level in pixels)
    return Image.frombytes("L", (8, 8), grey)


@functools.cache
def _samples(held_out: bool) -> tuple[tuple[str, ...], ...]:
    """The 64-character pictures of one side of the split, by digit."""
    packed = resources.files(__package__).joinpath("handwriting.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split()
    side = lines[_HELD_OUT_START:] if held_out else lines[:_TRAIN_END]
    return tuple(tuple(line[1:] for line in side if line[0] == str(value)) for value in range(10))
