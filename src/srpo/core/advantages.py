"""Group-relative advantages (paper section 3.3, after GRPO): how much better a response is than its group.

    >>> [round(advantage, 3) for advantage in group_advantages([1.6, 0.85, 0.85, 1.1])]
    [1.633, -0.816, -0.816, 0.0]
    >>> group_advantages([1.6, 1.6])
    [0.0, 0.0]

Which token is credited with what: `total` is the paper, one advantage per response, from the sum of all reward terms.
`segment` is ours: the tokens of the first attempt are credited by the first answer, those of reflection and second
attempt by what they changed, and each part is normalised within its group on its own, so that a small term (length)
cannot own a group in which the large ones are saturated.

    >>> from srpo.core.records import Term
    >>> rewards = [Reward(terms=(Term(name="format", score=score, weight=1.0),)) for score in (1.0, 0.0)]
    >>> [credit.tokens for credit in assign_credit(rewards, [TokenCounts(prompt=9, total=2)] * 2, "total")]
    [[1.0, 1.0], [-1.0, -1.0]]

Unlike the authors' released filter, which looks at the shaped reward and so keeps all-right groups in which length is
the only signal, `keep_group` looks at the correctness of the final answers.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from srpo.core.records import Reward, TokenCounts
from srpo.core.rewards import segment_rewards

Credit = Literal["total", "segment"]

_NO_SPREAD = 1e-9
"""Rewards that differ by less are equal up to rounding; dividing by such a deviation would blow up noise."""


class TokenCredit(NamedTuple):
    """Advantages of one response."""

    advantage: float
    """The response's advantage (for `segment`: of the part after the first attempt), as its trace records it."""
    tokens: list[float]
    """Advantage of every token."""


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


def assign_credit(
    rewards_G: Sequence[Reward], lengths_G: Sequence[TokenCounts], credit: Credit, *, scale: bool = True
) -> list[TokenCredit]:
    """Advantages of every token of one group's responses; `scale=False` leaves out the division by the deviation."""
    if credit == "total":
        advantages_G = group_advantages([reward.total for reward in rewards_G], scale=scale)
        return [TokenCredit(a, [a] * length.total) for a, length in zip(advantages_G, lengths_G, strict=True)]
    parts_G = [segment_rewards(reward) for reward in rewards_G]
    first_G = group_advantages([first for first, _ in parts_G], scale=scale)
    second_G = group_advantages([second for _, second in parts_G], scale=scale)
    return [_by_segment(*one) for one in zip(first_G, second_G, lengths_G, strict=True)]


def carries_signal(rewards_G: Sequence[Reward], credit: Credit) -> bool:
    """Whether any token of the group gets an advantage other than 0."""
    if credit == "total":
        return has_signal([reward.total for reward in rewards_G])
    parts_G = [segment_rewards(reward) for reward in rewards_G]
    return any(has_signal([part[index] for part in parts_G]) for index in (0, 1))


def keep_group(final_correct_G: Sequence[bool], low: float = 0.0, high: float = 1.0) -> bool:
    """The online filter: True if the share of right final answers lies strictly between `low` and `high`.

    The defaults drop the groups that are all wrong or all right.
    """
    if not final_correct_G:
        return False
    return low < sum(final_correct_G) / len(final_correct_G) < high


def _by_segment(first: float, second: float, length: TokenCounts) -> TokenCredit:
    if not length.first:
        # No first answer ever ends, so no token can be excused: all of them share the worse verdict.
        worse = min(first, second)
        return TokenCredit(worse, [worse] * length.total)
    return TokenCredit(second, [first] * length.first + [second] * (length.total - length.first))
