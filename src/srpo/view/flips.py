"""Answers that differ between two runs: right in one, wrong in the other, paired by problem and sample."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from srpo.view.columns import Numbers

Direction = Literal["any", "up", "down"]
_MAX_SAMPLES = 1 << 20


def flipped(columns: Mapping[str, Numbers], a: int, b: int, direction: Direction) -> npt.NDArray[np.bool_]:
    """Rows of both runs whose final answer is right in one and wrong in the other.

    Where a run answered a sample of a problem more than once, as training does, its last answer counts. `up` is wrong
    in `a` and right in `b`.
    """
    found = np.zeros(len(columns["run"]), dtype=np.bool_)
    sides = [_last_graded(columns, run) for run in (a, b)]
    _, in_a, in_b = np.intersect1d(sides[0][0], sides[1][0], assume_unique=True, return_indices=True)
    rows_a, rows_b = sides[0][1][in_a], sides[1][1][in_b]
    change = columns["final"][rows_b].astype(np.int8) - columns["final"][rows_a].astype(np.int8)
    wanted = {"any": change != 0, "up": change > 0, "down": change < 0}[direction]
    found[rows_a[wanted]] = True
    found[rows_b[wanted]] = True
    return found


def _last_graded(columns: Mapping[str, Numbers], run: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Problem and sample as one number, sorted and each once, and the row of its last answer."""
    rows = np.flatnonzero((columns["run"] == run) & (columns["final"] >= 0))[::-1]
    keys = columns["problem"][rows].astype(np.int64) * _MAX_SAMPLES + columns["sample"][rows].astype(np.int64)
    unique, at = np.unique(keys, return_index=True)
    return unique, rows[at]
