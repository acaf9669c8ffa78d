import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srpo.core.records import Grade
from srpo.eval.metrics.correction import FirstToFinal, GradedSample, correction_metrics, read_sample

RIGHT = Grade(verdict="correct", extracted="7", reason="")
GRADES = st.sampled_from(
    [
        RIGHT,
        *(Grade(verdict="incorrect", extracted=text, reason="") for text in ("5", "6", None)),
        Grade(verdict="ungradable", extracted=None, reason=""),
    ]
)
TEXTS = st.sampled_from(["", "7", "<answer>7</answer><reflection>3+4=7</reflection>", "<reflection>x</reflection>"])


def make(row: tuple[int, Grade, Grade, str]) -> GradedSample:
    problem, first, final, text = row
    return read_sample(str(problem), first, final, text)


SAMPLES = st.lists(st.tuples(st.integers(0, 4), GRADES, GRADES, TEXTS).map(make), max_size=25)


def check_identities(found: FirstToFinal) -> None:
    near = pytest.approx
    first, keep, fix = found.acc_t1.value, found.keep_rate.value, found.fix_rate.value
    assert found.delta.value == near(found.i_to_c.value - found.c_to_i.value, abs=1e-12)
    assert found.delta.value == near(found.acc_t2.value - first, abs=1e-12)
    assert found.acc_t2.value == near(first * keep + (1 - first) * fix, abs=1e-12)
    assert found.i_to_c.value == near((1 - first) * fix if found.n else 0, abs=1e-12)
    assert found.oracle.value - first == near(found.oracle_gain.value, abs=1e-12)
    if found.keep_rate.n:
        assert keep + found.break_rate.value == near(1)


@settings(max_examples=40)
@given(SAMPLES)
def test_identities(samples: list[GradedSample]) -> None:
    found = correction_metrics(samples, num_resamples=200)
    check_identities(found)
    check_identities(found.missing_as_wrong)
    if found.n:
        parts = (found.i_to_c, found.wrong_to_other_wrong, found.unchanged_wrong, found.wrong_to_none)
        assert sum(part.value for part in parts) == pytest.approx(1 - found.acc_t1.value), "what wrong answers become"
    if found.effective.n:
        assert sum(kind.value for kind in (found.effective, found.redundant, found.harmful)) == pytest.approx(1)
    assert found.num_samples + found.ungradable <= len(samples)
    assert found.missing_as_wrong.num_samples + found.ungradable == len(samples)


@settings(max_examples=40)
@given(SAMPLES)
def test_intervals_hold_their_values(samples: list[GradedSample]) -> None:
    found = correction_metrics(samples, num_resamples=200)
    for estimate in (found.acc_t1, found.acc_t2, found.i_to_c, found.c_to_i, found.fix_rate, found.keep_rate):
        assert 0 <= estimate.low <= estimate.high <= 1
        if estimate.n > 3:
            assert estimate.low - 0.2 <= estimate.value <= estimate.high + 0.2
    assert -1 <= found.delta.low <= found.delta.high <= 1
    assert 0 <= found.mcnemar_p <= 1


@settings(max_examples=40)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(samples: list[GradedSample], rng: random.Random) -> None:
    one = correction_metrics(samples, num_resamples=200)
    shuffled = list(samples)
    rng.shuffle(shuffled)
    other = correction_metrics(shuffled, num_resamples=200)
    for name in ("acc_t1", "acc_t2", "fix_rate", "keep_rate", "change_rate", "effective"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value)
    assert one.mcnemar_p == other.mcnemar_p
