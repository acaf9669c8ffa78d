"""Train, dev and test share no problem: the split is a function of the problem's content, not of its seed."""

import hashlib
from typing import get_args

from srpo.data.config import Split
from srpo.data.drawn.scene import Scene

SPLITS: tuple[Split, ...] = get_args(Split)


def split_of(scene: Scene) -> Split:
    """Eight tenths of all contents are for training, one tenth for decisions (`dev`), one tenth for `test`."""
    bucket = hashlib.sha256(f"{scene.family}|{scene.key}".encode()).digest()[0] % 10
    return "test" if bucket == 0 else "dev" if bucket == 1 else "train"
