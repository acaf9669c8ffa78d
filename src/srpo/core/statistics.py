"""How sure we can be of a result: intervals, paired tests, pass@k, majority votes.

Everything is seeded by an argument. Samples of one problem are averaged first and problems are what is resampled: eight
answers to one question are not eight independent observations. The bootstrap is the one place in `core` that needs
numpy: 2,000 resamples at any size keep the ends of an interval from moving with the seed.

    >>> low, high = wilson(8, 10)
    >>> round(low, 2), round(high, 2)
    (0.49, 0.94)
    >>> pass_at_k(n=4, c=1, k=2)
    0.5
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from srpo.core.records import Record

WhichAnswer = Literal["first", "final"]
_Z95 = 1.959963984540054
_CHUNK = 1 << 20
"""Counts held at once, 8 MiB: bounds the memory of a bootstrap at any number of problems."""


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference of means with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int
    """Problems that both sides have."""


class Estimate(Record):
    """A number with its 95% interval: Wilson where each problem has one sample, else bootstrap over problems."""

    value: float
    """0 where `n` is 0."""
    n: int
    """Problems that it is over."""
    low: float
    high: float


def mean(values: Iterable[float]) -> float:
    """Mean of the values; 0 where there is none."""
    kept = list(values)
    return math.fsum(kept) / len(kept) if kept else 0.0


def wilson(successes: int, n: int) -> Interval:
    """95% Wilson score interval of a share; (0, 1) when there is no observation."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes!r} successes out of {n!r}; successes must lie between 0 and n")
    if n == 0:
        return Interval(0.0, 1.0)
    share, z2 = successes / n, _Z95 * _Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # The exact bounds at the ends; rounding would put the share itself outside by 1e-17.
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, num_resamples: int = 2000) -> Interval:
    """95% percentile bootstrap interval of the mean of `values`, one value per independent unit (problem)."""
    if not values:
        raise ValueError("no values to resample; the interval of an empty sample does not exist")
    sums_R = _resampled_sums([values], np.random.default_rng(seed), num_resamples)[:, 0]
    return _percentiles(sums_R / len(values))


def share_interval(shares: Sequence[float], *, seed: int = 0, num_resamples: int = 2000) -> Interval:
    """95% interval of the mean of `shares` between 0 and 1, one per problem; (0, 1) when there is none.

    Wilson where every problem is all right or all wrong: resampling ones can only ever give ones. Else bootstrap.
    """
    if all(share in (0.0, 1.0) for share in shares):
        return wilson(round(sum(shares)), len(shares))
    return bootstrap_mean(shares, seed=seed, num_resamples=num_resamples)


def bootstrap_ratio(
    parts: Sequence[float], wholes: Sequence[float], *, seed: int = 0, num_resamples: int = 2000
) -> Interval:
    """95% interval of sum(parts) / sum(wholes), one pair per problem; (0, 1) when the wholes add up to 0.

    Wilson where all numbers are 0 or 1, else percentile bootstrap over problems.
    """
    pairs = [(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole]
    if all(part in (0.0, 1.0) and whole == 1.0 for part, whole in pairs):
        return wilson(round(sum(part for part, _ in pairs)), len(pairs))
    sums_R_2 = _resampled_sums(list(zip(*pairs, strict=True)), np.random.default_rng(seed), num_resamples)
    return _percentiles(sums_R_2[:, 0] / sums_R_2[:, 1])


def paired_difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], *, seed: int = 0, num_resamples: int = 2000
) -> Difference:
    """Mean of ours - theirs over the problems that both have, bootstrap over problems.

    Takes accuracy per problem, as `accuracy_by_problem` gives it.
    """
    shared = _shared([ours, theirs])
    values = [ours[key] - theirs[key] for key in shared]
    interval = bootstrap_mean(values, seed=seed, num_resamples=num_resamples)
    return Difference(mean(values), *interval, len(values))


def seed_difference(
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], *, seed: int = 0, num_resamples: int = 2000
) -> Difference:
    """Mean of ours - theirs over training seeds and problems; `pairs` holds (ours, theirs) of each seed.

    The bootstrap resamples seeds and problems, both with replacement and crossed (all seeds answer the same problems),
    so the interval says what another seed on other problems of the kind would show. With few seeds it is itself rough.
    """
    if not pairs:
        raise ValueError("no seeds to compare; give one pair of results per seed")
    shared = _shared([side for pair in pairs for side in pair])
    values_S_P = [[ours[key] - theirs[key] for key in shared] for ours, theirs in pairs]
    num_seeds, n = len(pairs), len(shared)
    rng = np.random.default_rng(seed)
    seeds_R_S = rng.multinomial(num_seeds, [1 / num_seeds] * num_seeds, size=num_resamples)
    sums_R_S = _resampled_sums(values_S_P, rng, num_resamples)
    interval = _percentiles((seeds_R_S * sums_R_S).sum(axis=1) / (num_seeds * n))
    return Difference(mean(value for row in values_S_P for value in row), *interval, n)


def mcnemar_exact(only_ours: int, only_theirs: int) -> float:
    """Two-sided exact p-value of McNemar's test from the problems that exactly one side has right."""
    if min(only_ours, only_theirs) < 0:
        raise ValueError(f"counts must not be negative, got {only_ours!r} and {only_theirs!r}")
    n, k = only_ours + only_theirs, min(only_ours, only_theirs)
    term = tail = 1
    for i in range(k):
        term = term * (n - i) // (i + 1)
        tail += term
    # Whole numbers until the very end: 2^n leaves the range of floats at n = 1024.
    return min(1.0, 2 * tail / (1 << n))


def pass_at_k(*, n: int, c: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right, when c of n were (Chen et al. 2021, eq. 1)."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"need 0 <= c <= n and 1 <= k <= n, got n={n!r}, c={c!r}, k={k!r}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority_vote(answers: Iterable[str | None]) -> str | None:
    """The most frequent answer; among equals the one seen first; None when there is no answer at all.

    Answers are compared as strings: normalise them first.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    # max keeps the first of equals, and a Counter keeps the order of first sight.
    return max(counts, key=lambda answer: counts[answer], default=None)


def _shared(sides: Sequence[Mapping[str, float]]) -> list[str]:
    keys = [key for key in sides[0] if all(key in side for side in sides)]
    if not keys:
        raise ValueError(
            "the results share no problem id, so there is nothing to pair; compare runs on the same problems"
        )
    return keys


def _resampled_sums(
    values_D_N: Sequence[Sequence[float]], rng: np.random.Generator, num_resamples: int
) -> npt.NDArray[np.float64]:
    """Sums (R, D) over the N problems of each resample, for D numbers per problem.

    How often each distinct value is drawn is multinomial: the same distribution as drawing N problems one by one, at
    the cost of the distinct values, of which accuracies have few.
    """
    distinct_K_D, times_K = np.unique(np.array(values_D_N, dtype=np.float64).T, axis=0, return_counts=True)
    n = int(times_K.sum())
    rows = max(1, _CHUNK // len(times_K))
    sums = [
        rng.multinomial(n, times_K / n, size=min(rows, num_resamples - done)) @ distinct_K_D
        for done in range(0, num_resamples, rows)
    ]
    return np.concatenate(sums)


def _percentiles(values_R: npt.NDArray[np.float64]) -> Interval:
    ordered, last = np.sort(values_R), len(values_R) - 1
    return Interval(float(ordered[math.floor(0.025 * last)]), float(ordered[math.ceil(0.975 * last)]))
