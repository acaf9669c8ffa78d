"""Pictures that a probe has taken something from, named by references like any other picture.

    >>> ref = disturbed_ref("noise", 3, "drawn:pairs/1/7")
    >>> ref, read_ref(ref)
    ('disturbed:noise/3:drawn:pairs/1/7', Disturbance(how='noise', seed=3, ref='drawn:pairs/1/7'))

Size and number of the pictures stay as they are, so that prompts keep their lengths.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from PIL.Image import Image

Disturbed = Literal["blank", "noise"]
"""`blank`: mean grey throughout; `noise`: every value moved by a normal deviate of `SIGMA`."""
DISTURBED = "disturbed:"
"""References with this beginning stand for a changed picture. In data files it is a file name."""
SIGMA = 64.0
"""Of 255 levels: large shapes can still be seen, thin lines and small letters cannot."""
_GREY = (128, 128, 128)


class Disturbance(NamedTuple):
    """What is done to which picture."""

    how: Disturbed
    seed: int
    """Of the noise, which depends on the reference as well; 0 for `blank`."""
    ref: str


def disturbed_ref(how: Disturbed, seed: int, ref: str) -> str:
    """The reference of the changed picture."""
    return f"{DISTURBED}{how}/{seed}:{ref}"


def read_ref(ref: str) -> Disturbance | None:
    """What a reference stands for; None for one of a picture as it is."""
    if not ref.startswith(DISTURBED):
        return None
    head, _, rest = ref.removeprefix(DISTURBED).partition(":")
    how, _, seed = head.partition("/")
    for known in get_args(Disturbed):
        if how == known and seed.isdecimal():
            return Disturbance(known, int(seed), rest)
    raise ValueError(f"{ref!r} is no changed picture; expected {DISTURBED}blank|noise/<seed>:<picture>")


def disturb(image: "Image", disturbance: Disturbance) -> "Image":
    """The changed picture, RGB and of the same size."""
    import numpy as np
    from PIL import Image

    if disturbance.how == "blank":
        return Image.new("RGB", image.size, _GREY)
    seed = [disturbance.seed, *disturbance.ref.encode()]
    pixels = np.asarray(image, dtype=np.float32)
    moved = pixels + np.random.default_rng(seed).normal(0.0, SIGMA, pixels.shape)
    return Image.fromarray(np.clip(moved, 0, 255).astype(np.uint8))
