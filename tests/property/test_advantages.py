import math
import random
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from srpo.core.advantages import group_advantages, has_signal

REWARDS = st.lists(st.floats(-2, 2), min_size=1, max_size=16)


@given(REWARDS, st.booleans())
def test_advantages_sum_to_zero(rewards: list[float], scale: bool) -> None:
    assert abs(math.fsum(group_advantages(rewards, scale=scale))) < 1e-9


@given(REWARDS, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_advantages(rewards: list[float], rng: random.Random) -> None:
    order = list(range(len(rewards)))
    rng.shuffle(order)
    shuffled = group_advantages([rewards[i] for i in order])
    assert shuffled == [group_advantages(rewards)[i] for i in order]


@given(st.floats(-2, 2), st.integers(1, 16))
def test_identical_rewards_give_zeros(value: float, count: int) -> None:
    assert group_advantages([value] * count) == [0.0] * count


@given(REWARDS)
def test_advantages_keep_the_order_and_have_unit_variance(rewards: list[float]) -> None:
    assume(has_signal(rewards))
    advantages = group_advantages(rewards)
    assert math.isclose(math.fsum(a * a for a in advantages) / len(advantages), 1.0, rel_tol=1e-6)
    ranked = sorted(zip(rewards, advantages, strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(ranked))


@given(REWARDS, st.floats(0.1, 10), st.floats(-5, 5))
def test_scale_and_shift_of_rewards_do_not_matter(rewards: list[float], factor: float, shift: float) -> None:
    assume(max(rewards) - min(rewards) > 1e-3)
    changed = group_advantages([factor * reward + shift for reward in rewards])
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(changed, group_advantages(rewards), strict=True))
