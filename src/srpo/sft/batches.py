"""Which examples form which batch: shuffled, and sorted by length inside windows so that little is padded.

The plan is a pure function of lengths, seed and sizes; a resumed run makes it again and skips what is done.
"""

import random
from collections.abc import Sequence


def plan_batches(
    lengths: Sequence[int], *, batch_size: int, sort_window: int, epochs: int, seed: int
) -> list[list[int]]:
    """Indices of the examples of every batch of a run, in order.

    Every epoch visits each example exactly once in its own order. A window of `sort_window` batches is sorted by
    length, cut, and its batches are shuffled again, so that neither short nor long examples come first. The last
    batch of an epoch may be smaller.
    """
    batches: list[list[int]] = []
    for epoch in range(epochs):
        rng = random.Random(f"sft/{seed}/{epoch}")
        order = list(range(len(lengths)))
        rng.shuffle(order)
        window = batch_size * sort_window
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda index: lengths[index])
            if sort_window == 1:
                near = order[start : start + window]
            cut = [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
            rng.shuffle(cut)
            batches += cut
    return batches
