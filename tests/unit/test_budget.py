"""Costs before and while they arise: estimates, prices, the meter and its limit."""

import pytest

from srpo.core.budget import Calls, Price, cost, from_pilot, from_tokens, t95
from srpo.models.config import ServerConfig
from srpo.models.meter import BudgetSpent, Meter
from srpo.models.prices import find_price

PRICE = Price(usd_per_million_in=2.0, usd_per_million_out=8.0)


def test_cost_and_token_estimate() -> None:
    assert cost(PRICE, num_in=1_000_000, num_out=500_000) == 6.0
    estimate = from_tokens([Calls(PRICE, 500_000, 0), Calls(PRICE, 0, 250_000)], num_problems=7)
    assert (estimate.usd, estimate.low_usd, estimate.high_usd, estimate.num_problems) == (3.0, 3.0, 3.0, 7)


def test_pilot_interval() -> None:
    estimate = from_pilot([0.01, 0.02, 0.03], num_problems=103)
    assert estimate.usd == pytest.approx(2.06)
    # By hand: t(2) = 4.3027, sd = 0.01, rest = 100: 4.3027 * 0.01 * sqrt(100 + 100^2 / 3)
    half = 4.3027 * 0.01 * (100 + 100**2 / 3) ** 0.5
    assert estimate.high_usd == pytest.approx(2.06 + half, rel=1e-4)
    assert estimate.low_usd == pytest.approx(max(0.06, 2.06 - half))


def test_pilot_that_was_the_whole_job_is_certain() -> None:
    estimate = from_pilot([1.0, 3.0], num_problems=2)
    assert estimate.usd == estimate.low_usd == estimate.high_usd == 4.0


def test_pilot_covers_the_truth_about_19_times_in_20() -> None:
    import random

    hits = 0
    for seed in range(400):
        rng = random.Random(seed)
        costs = [rng.uniform(0.5, 1.5) for _ in range(200)]
        estimate = from_pilot(costs[:20], num_problems=200)
        hits += estimate.low_usd <= sum(costs) <= estimate.high_usd
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(("costs", "number"), [([], 5), ([1.0], 5), ([1.0, 2.0], 1)])
def test_bad_pilot(costs: list[float], number: int) -> None:
    with pytest.raises(ValueError, match="pilot"):
        from_pilot(costs, num_problems=number)


def test_t_quantiles_against_tables() -> None:
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 10: 2.2281, 19: 2.0930, 30: 2.0423, 1000: 1.9623}
    for df, value in table.items():
        assert t95(df) == pytest.approx(value, rel=1.3e-3 if df == 3 else 4e-4)
    with pytest.raises(ValueError, match="0 degrees"):
        t95(0)


def test_meter_counts() -> None:
    meter = Meter(PRICE)
    with meter.watch() as usd_by_problem:
        assert meter.book("a", 1000, 500) == pytest.approx(0.006)
        meter.count_cached("b", 1000, 500)
    meter.book("c", 1000, 500)
    meter.count_retry()
    meter.count_failure()
    assert usd_by_problem == {"a": pytest.approx(0.006), "b": pytest.approx(0.006)}
    assert meter.usage._asdict() == {
        "num_requests": 2,
        "num_cached": 1,
        "num_retries": 1,
        "num_failed": 1,
        "num_in": 2000,
        "num_out": 1000,
        "usd": pytest.approx(0.012),
        "num_lost": 0,
        "lost_usd": 0.0,
    }


def test_limit_is_shared_and_counts_what_was_spent_before() -> None:
    policy = Meter(PRICE, max_usd=1.0, spent_usd=0.4)
    teacher = policy.share(Price(usd_per_million_in=0, usd_per_million_out=100))
    assert policy.reserve(0.3)
    assert not teacher.reserve(0.4), "the policy's request may cost what is left"
    policy.release(0.3)
    assert teacher.reserve(0.4)
    teacher.book("a", 0, 4000)
    teacher.release(0.4)
    assert policy.spent_usd == teacher.spent_usd == pytest.approx(0.8)
    assert policy.usage.usd == 0.0
    assert teacher.usage.usd == pytest.approx(0.4)
    with pytest.raises(BudgetSpent, match=r"\$0.8000 of \$1 spent"):
        policy.reserve(0.21)


def test_limit_needs_a_price() -> None:
    with pytest.raises(ValueError, match="needs the model's price"):
        Meter(None, 3.0)
    with pytest.raises(ValueError, match="needs the model's price"):
        Meter(PRICE, 3.0).share(None)
    assert Meter(None).reserve(0.0)


def test_prices() -> None:
    own = ServerConfig(model="x", usd_per_million_in=1, usd_per_million_out=2)
    assert find_price(own) == Price(usd_per_million_in=1, usd_per_million_out=2)
    here = ServerConfig(model="gpt-4o", base_url="http://127.0.0.1:8000/v1")
    assert find_price(here) == Price(usd_per_million_in=0, usd_per_million_out=0)
    listed = find_price(ServerConfig(model="gpt-4o", base_url="https://api.openai.com/v1"))
    assert listed.usd_per_million_out > listed.usd_per_million_in > 0
    assert find_price(ServerConfig(model="gpt-4o", base_url="https://gateway.example/v1")) == listed
    with pytest.raises(ValueError, match=r"'my-model' at https://x.example/v1 is not known; give usd_per_million_in"):
        find_price(ServerConfig(model="my-model", base_url="https://x.example/v1"))
