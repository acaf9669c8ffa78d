"""Group-relative advantages (paper section 3.3, after GRPO): how much better a response is than its group.

    >>> [round(advantage, 3) for advantage in group_advantages([1.6, 0.85, 0.85, 1.1])]
    [1.633, -0.816, -0.816, 0.0]
    >>> group_advantages([1.6, 1.6])
    [0.0, 0.0]

Unlike the authors' released filter, which looks at the shaped reward and so keeps all-right groups in which length is
the only signal, `keep_group` looks at the correctness of the final answers.
"""

import math
from collections.abc import Sequence

_NO_SPREAD = 1e-9
"""Rewards that differ by less are equal up to rounding; dividing by such a deviation would blow up noise."""


def has_signal(rewards_G: Sequence[float]) -> bool:
    """True if the rewards of the group differ; a group without variance teaches nothing."""
    return len(rewards_G) > 1 and max(rewards_G) - min(rewards_G) > _NO_SPREAD


def group_advantages(rewards_G: Sequence[float], *, scale: bool = True) -> list[float]:
    """(r - mean) / std within one group of G rewards, with the population's standard deviation; sums to zero.

    Groups without variance give zeros, never a division by zero or by an epsilon. `scale=False` leaves out the
    division, as Dr. GRPO does.
    """
    if not has_signal(rewards_G):
        return [0.0] * len(rewards_G)
    mean = math.fsum(rewards_G) / len(rewards_G)
    centred = [reward - mean for reward in rewards_G]
    if not scale:
        return centred
    std = math.sqrt(math.fsum(value * value for value in centred) / len(centred))
    return [value / std for value in centred]


def keep_group(final_correct_G: Sequence[bool], low: float = 0.0, high: float = 1.0) -> bool:
    """The online filter: True if the share of right final answers lies strictly between `low` and `high`.

    The defaults drop the groups that are all wrong or all right.
    """
    if not final_correct_G:
        return False
    return low < sum(final_correct_G) / len(final_correct_G) < high
