"""Which traces verl's SFT learns from in which step: it says how long a batch was, not how much of it carried loss."""

from collections.abc import Iterator, Sequence
from itertools import count


def batches(num_traces: int, batch_size: int) -> Iterator[list[int]]:
    """Rows of each step, epoch after epoch without end: those of torch's DistributedSampler, as verl calls it."""
    import torch

    for epoch in count():
        order = torch.randperm(num_traces, generator=torch.Generator().manual_seed(epoch)).tolist()
        for first in range(0, num_traces - batch_size + 1, batch_size):
            yield order[first : first + batch_size]


def tokens_by_step(lengths: Sequence[int], batch_size: int, steps: int) -> list[int]:
    """Sum of the rows' `lengths` up to the end of each step; of none, first of all.

    >>> tokens_by_step([3, 3, 3, 3, 3], batch_size=2, steps=3)
    [0, 6, 12, 18]
    """
    sums = [0]
    for rows, _ in zip(batches(len(lengths), batch_size), range(steps), strict=False):
        sums.append(sums[-1] + sum(lengths[row] for row in rows))
    return sums
