import pytest

from srpo.core.advantages import group_advantages, has_signal, keep_group


def test_advantages_of_a_group() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 1.0]) == [1.0, -1.0, -1.0, 1.0]
    assert group_advantages([3.0, 1.0, 1.0, 1.0]) == pytest.approx([3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)])


def test_without_scale_only_the_mean_is_taken_off() -> None:
    assert group_advantages([1.6, 0.85], scale=False) == pytest.approx([0.375, -0.375])


@pytest.mark.parametrize("rewards", [[], [1.6], [0.85] * 8, [0.1 + 0.2, 0.3]])
def test_no_variance_no_signal(rewards: list[float]) -> None:
    assert not has_signal(rewards)
    assert group_advantages(rewards) == [0.0] * len(rewards)
    assert group_advantages(rewards, scale=False) == [0.0] * len(rewards)


def test_a_small_real_difference_is_a_signal() -> None:
    assert has_signal([1.6, 1.6, 1.59])


@pytest.mark.parametrize(
    ("right", "bounds", "kept"),
    [
        ([True] * 8, (0, 1), False),
        ([False] * 8, (0, 1), False),
        ([True, *[False] * 7], (0, 1), True),
        ([True, *[False] * 7], (0.125, 1), False),
        ([True] * 7 + [False], (0, 0.875), False),
        ([], (0, 1), False),
    ],
)
def test_online_filter_looks_at_final_answers(right: list[bool], bounds: tuple[float, float], kept: bool) -> None:
    assert keep_group(right, *bounds) is kept
