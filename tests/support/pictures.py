"""Pictures."""

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 84, height: int = 84) -> Image.Image:
    """Noise, another with every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
