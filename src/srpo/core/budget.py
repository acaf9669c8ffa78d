"""What a job costs before it runs: from token counts alone, and from a pilot with an interval.

>>> price = Price(usd_per_million_in=2.0, usd_per_million_out=8.0)
>>> cost(price, num_in=1_000_000, num_out=500_000)
6.0
>>> estimate = from_pilot([0.01, 0.02, 0.03], num_problems=103)
>>> round(estimate.usd, 2), round(estimate.high_usd, 2)
(2.06, 4.58)
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from srpo.core.records import Record


class Price(Record):
    """US dollars for a million tokens."""

    usd_per_million_in: float = Field(ge=0)
    """Prompt tokens."""
    usd_per_million_out: float = Field(ge=0)
    """Generated tokens."""


class CostEstimate(Record):
    """What a job will cost in all, what is spent already included."""

    num_problems: int
    usd: float
    low_usd: float
    """Lower end of a 95% interval; the same as `usd` where there is none."""
    high_usd: float
    """Upper end."""
    basis: Literal["tokens", "pilot"]
    """`tokens`: counted or bounded before anything was sent, no interval; `pilot`: measured on the first problems."""


class Calls(NamedTuple):
    """Requests to one model, for an estimate from token counts."""

    price: Price
    num_in: int
    """Prompt tokens of all requests together."""
    num_out: int
    """Generated tokens of all requests together."""


def cost(price: Price, *, num_in: int, num_out: int) -> float:
    """US dollars for so many prompt and generated tokens."""
    return (price.usd_per_million_in * num_in + price.usd_per_million_out * num_out) / 1e6


def from_tokens(calls: Iterable[Calls], *, num_problems: int) -> CostEstimate:
    """The cost of requests whose tokens were counted; as good as the counts, so it has no interval."""
    usd = math.fsum(cost(one.price, num_in=one.num_in, num_out=one.num_out) for one in calls)
    return CostEstimate(num_problems=num_problems, usd=usd, low_usd=usd, high_usd=usd, basis="tokens")


def from_pilot(usd_per_problem: Sequence[float], *, num_problems: int) -> CostEstimate:
    """The cost of `num_problems` from what the first of them cost, with a 95% prediction interval.

    What the pilot cost is spent and certain; the rest is (N - n) problems, each with the pilot's mean and variance:
    (N - n) mean +- t(n-1) sd sqrt((N - n) + (N - n)^2 / n), never below zero. It assumes that the pilot's problems are
    typical of the rest: take them from everywhere, not from the head of a sorted file.

    Raises:
        ValueError: fewer than two problems, or more of them than there are.
    """
    n = len(usd_per_problem)
    if n < 2:
        raise ValueError(f"a pilot of {n} problems has no spread to estimate from; use at least 2")
    if n > num_problems:
        raise ValueError(f"the pilot has {n} problems, the job only {num_problems}")
    spent, rest = math.fsum(usd_per_problem), num_problems - n
    mean = spent / n
    variance = math.fsum((usd - mean) ** 2 for usd in usd_per_problem) / (n - 1)
    half = t95(n - 1) * math.sqrt(variance * (rest + rest * rest / n))
    usd = spent + rest * mean
    return CostEstimate(
        num_problems=num_problems, usd=usd, low_usd=max(spent, usd - half), high_usd=usd + half, basis="pilot"
    )


def t95(df: int) -> float:
    """Two-sided 95% quantile of Student's t with `df` degrees of freedom.

    Exact for 1 and 2; from there the normal quantile with its first four corrections in 1/df (Abramowitz and Stegun
    26.7.5), which is 0.12% short at 3, 0.03% at 4 and ever closer.
    """
    if df < 1:
        raise ValueError(f"{df} degrees of freedom; at least 1 is needed")
    if df == 1:
        return math.tan(0.475 * math.pi)
    if df == 2:
        return math.sqrt(2 / (0.05 * 1.95) - 2)
    z = 1.959963984540054
    corrections = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(correction / math.pow(df, power) for power, correction in enumerate(corrections, start=1))
