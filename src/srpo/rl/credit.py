"""Which token is credited with what.

`total` is the paper: one advantage per response, from the sum of all reward terms. `segment` is ours (DESIGN 2.4): the
tokens of the first attempt are credited by the first answer, those of reflection and second attempt by what they
changed, and each part is normalised within its group on its own, so that a small term (length) cannot own a group in
which the large ones are saturated.

    >>> from srpo.core.records import Term
    >>> samples = [Credited(reward=Reward(terms=(Term(name="format", score=s, weight=1.0),)), num_tokens=2,
    ...                     first_tokens=None) for s in (1.0, 0.0)]
    >>> [credit.tokens for credit in assign_credit(samples, "total")]
    [[1.0, 1.0], [-1.0, -1.0]]
"""

from collections.abc import Sequence
from typing import NamedTuple

from srpo.core.advantages import group_advantages, has_signal
from srpo.core.records import Reward
from srpo.core.rewards import segment_rewards
from srpo.rl.config import Credit


class Credited(NamedTuple):
    """What credit needs to know of one response."""

    reward: Reward
    num_tokens: int
    first_tokens: int | None
    """Tokens of the first attempt; None when no first answer ends."""


class TokenCredit(NamedTuple):
    """Advantages of one response."""

    advantage: float
    """The response's advantage (for `segment`: of the part after the first attempt), as its trace records it."""
    tokens: list[float]
    """Advantage of every token."""


def assign_credit(group_G: Sequence[Credited], credit: Credit, *, scale: bool = True) -> list[TokenCredit]:
    """Advantages of every token of one group's responses; `scale=False` leaves out the division by the deviation."""
    if credit == "total":
        advantages_G = group_advantages([sample.reward.total for sample in group_G], scale=scale)
        return [TokenCredit(a, [a] * s.num_tokens) for a, s in zip(advantages_G, group_G, strict=True)]
    parts_G = [segment_rewards(sample.reward) for sample in group_G]
    first_G = group_advantages([first for first, _ in parts_G], scale=scale)
    second_G = group_advantages([second for _, second in parts_G], scale=scale)
    return [_by_segment(sample, *pair) for sample, *pair in zip(group_G, first_G, second_G, strict=True)]


def carries_signal(group_G: Sequence[Credited], credit: Credit) -> bool:
    """Whether any token of the group gets an advantage other than 0."""
    if credit == "total":
        return has_signal([sample.reward.total for sample in group_G])
    parts_G = [segment_rewards(sample.reward) for sample in group_G]
    return any(has_signal([part[index] for part in parts_G]) for index in (0, 1))


def _by_segment(sample: Credited, first: float, second: float) -> TokenCredit:
    if sample.first_tokens is None:
        # No first answer ever ends, so no token can be excused: all of them share the worse verdict.
        worse = min(first, second)
        return TokenCredit(worse, [worse] * sample.num_tokens)
    rest = sample.num_tokens - sample.first_tokens
    return TokenCredit(second, [first] * sample.first_tokens + [second] * rest)
