import itertools
import math
import subprocess
import sys
import time
import tracemalloc
from statistics import fmean, pstdev

import pytest

from srpo.core.records import OUTCOMES, FormatError, Grade, Origin, Problem, Response, Sampling, TokenCounts, Trace
from srpo.core.statistics import (
    bootstrap_mean,
    bootstrap_ratio,
    majority_vote,
    mcnemar_exact,
    paired_difference,
    pass_at_k,
    seed_difference,
    share_interval,
    wilson,
)
from srpo.core.summary import accuracy_by_problem, results_of, summarise, transition_matrix

GRADES = {
    "r": Grade(verdict="correct", extracted="7", reason=""),
    "w": Grade(verdict="incorrect", extracted="5", reason=""),
    "u": Grade(verdict="ungradable", extracted=None, reason="no gold"),
}
FIVE = Response.model_validate(
    {"first": {"think": "a", "answer": "5"}, "reflection": "r", "second": {"think": "b", "answer": "7"}}
)


def trace(
    problem: str,
    pair: str,
    *,
    sample: int = 0,
    response: Response | None = FIVE,
    tokens: int | None = 40,
    family: str = "bars",
    chance: float | None = 0.25,
    temperature: float = 1.0,
) -> Trace:
    return Trace.model_construct(
        origin=Origin(stage="eval", model="m", sampling=Sampling(temperature=temperature)),
        problem=Problem(id=problem, question="?", answer="7", family=family, chance=chance),
        sample=sample,
        text="",
        parsed=response or FormatError(where=0, what=""),
        first_grade=GRADES[pair[0]],
        final_grade=GRADES[pair[1]],
        tokens=None if tokens is None else TokenCounts(prompt=10, total=tokens),
    )


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662), (0, 0, 0.0, 1.0)],
)
def test_wilson_against_published_values(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="11 successes out of 10"):
        wilson(11, 10)


def test_bootstrap_is_seeded_and_close_to_the_normal_interval() -> None:
    values = [0.0, 1.0] * 100
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)
    half = 1.96 * 0.5 / math.sqrt(200)
    assert bootstrap_mean(values, seed=1) == pytest.approx((0.5 - half, 0.5 + half), abs=0.01)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])


@pytest.mark.parametrize("n", [200, 5_000, 50_000])
def test_the_ends_of_an_interval_hardly_move_with_the_seed(n: int) -> None:
    values = [(i * 7 % 9) / 8 for i in range(n)]
    half = 1.96 * pstdev(values) / math.sqrt(n)
    intervals = [bootstrap_mean(values, seed=seed) for seed in range(20)]
    for ends in zip(*intervals, strict=True):
        assert pstdev(ends) < 0.05 * half, "200 resamples would give 0.09"
        assert fmean(ends) == pytest.approx(fmean(values), abs=1.05 * half)


def test_a_bootstrap_draws_each_problem_as_often_as_any_other() -> None:
    """Three problems, all distinct: the 27 equally likely resamples have known quantiles."""
    low, high = bootstrap_mean([0.0, 1.0, 5.0], num_resamples=50_000)
    means = sorted(sum(drawn) / 3 for drawn in itertools.product([0.0, 1.0, 5.0], repeat=3))
    assert (low, high) == (means[0], means[-1]), "1 of 27 is more than 2.5%"


def test_a_bootstrap_of_distinct_values_holds_little_memory() -> None:
    values = [i / 20_000 for i in range(20_000)]
    tracemalloc.start()
    bootstrap_mean(values, num_resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20, "all counts of 200 resamples at once would be 32 MiB"


def test_grades_and_rewards_load_without_numpy() -> None:
    code = "import srpo.grading, srpo.core.rewards, sys; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("ours", "theirs", "p"), [(0, 0, 1.0), (5, 5, 1.0), (6, 0, 0.03125), (0, 6, 0.03125), (10, 2, 0.03857421875)]
)
def test_mcnemar(ours: int, theirs: int, p: float) -> None:
    assert mcnemar_exact(ours, theirs) == pytest.approx(p)


def test_mcnemar_of_large_counts() -> None:
    assert 0 < mcnemar_exact(2600, 2400) < 0.01
    assert mcnemar_exact(2400, 2600) == mcnemar_exact(2600, 2400)


def test_pass_at_k() -> None:
    assert pass_at_k(n=10, c=3, k=1) == pytest.approx(0.3)
    assert pass_at_k(n=5, c=2, k=2) == pytest.approx(1 - 3 / 10)
    assert pass_at_k(n=5, c=3, k=3) == 1.0
    with pytest.raises(ValueError, match="1 <= k <= n"):
        pass_at_k(n=5, c=3, k=6)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["7", "5", "7"], "7"),
        (["5", "7", "7", "5"], "5"),
        ([None, None, "3"], "3"),
        ([None], None),
        ([], None),
    ],
)
def test_majority_vote(answers: list[str | None], expected: str | None) -> None:
    assert majority_vote(answers) == expected


def test_transition_matrix_and_its_identities() -> None:
    matrix = transition_matrix(trace("1", p).outcome for p in ("rr", "rr", "wr", "wr", "wr", "rw", "ww", "uu"))
    assert matrix.n == 7
    assert [matrix.counts[outcome] for outcome in OUTCOMES] == [2, 3, 1, 1]
    assert matrix.first_accuracy == pytest.approx(3 / 7)
    assert matrix.final_accuracy == pytest.approx(5 / 7)
    assert matrix.delta == pytest.approx(matrix.final_accuracy - matrix.first_accuracy)
    assert transition_matrix([]).share("right→right") == 0.0


def test_paired_difference_uses_shared_problems_only() -> None:
    ours = {f"{i}": float(i % 4 > 0) for i in range(200)}
    theirs = {f"{i}": float(i % 4 > 1) for i in range(150)}
    difference = paired_difference(ours, theirs)
    assert difference.n == 150
    assert difference.mean == pytest.approx(sum(i % 4 == 1 for i in range(150)) / 150)
    assert difference.low < difference.mean < difference.high
    assert difference.low > 0
    assert paired_difference(ours, ours)[:3] == (0, 0, 0)
    with pytest.raises(ValueError, match="share no problem id"):
        paired_difference(ours, {"x": 1.0})


def test_pairing_is_tighter_than_two_independent_samples() -> None:
    ours = {f"{i}": float(i % 2) for i in range(200)}
    theirs = {f"{i}": 0.0 if i == 1 else float(i % 2) for i in range(200)}
    difference = paired_difference(ours, theirs)
    assert difference.high - difference.low < 0.05


def test_seed_difference_is_wider_when_seeds_disagree() -> None:
    base = {f"{i}": float(i % 2) for i in range(100)}
    better = dict.fromkeys(base, 1.0)
    agree = seed_difference([(better, base)] * 3)
    disagree = seed_difference([(better, base), (better, base), (base, better)])
    assert agree.mean == pytest.approx(0.5)
    assert agree.low > 0
    assert disagree.mean == pytest.approx(0.5 / 3)
    assert disagree.low < 0 < disagree.high
    assert disagree.high - disagree.low > agree.high - agree.low


def test_summary_of_a_stage() -> None:
    traces = [
        trace("1", "rr"),
        trace("2", "wr", tokens=60, family="maze", chance=0.5),
        trace("3", "rw", response=None),
        trace("4", "ww"),
        trace("5", "uu"),
    ]
    found = summarise(results_of(traces), "srpo", tokens=1000, seconds=2.5)
    assert (found.name, found.n, found.num_samples, found.ungradable) == ("srpo", 4, 1, 1)
    assert (found.first_accuracy, found.final_accuracy) == (0.5, 0.5)
    assert found.final_interval == wilson(2, 4)
    assert found.transitions == dict.fromkeys(OUTCOMES, 0.25)
    assert found.counts == dict.fromkeys(OUTCOMES, 1)
    assert found.format_rate == 0.8
    assert found.mean_tokens == 44
    assert found.chance == pytest.approx((0.25 * 3 + 0.5) / 4)
    assert (found.temperature, found.tokens, found.seconds) == (1.0, 1000, 2.5)
    assert list(found.by_family) == ["bars", "maze"]
    assert found.by_family["maze"].model_dump() == {"n": 1, "first_accuracy": 0.0, "final_accuracy": 1.0, "chance": 0.5}
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_samples_are_averaged_per_problem_first() -> None:
    traces = [trace("1", "wr", sample=i) for i in range(8)] + [trace("2", "ww")]
    found = summarise(results_of(traces), "s")
    assert found.num_samples == 8
    assert found.final_accuracy == 0.5
    assert found.transitions["wrong→right"] == 0.5
    assert found.counts["wrong→right"] == 8
    assert accuracy_by_problem(traces) == {"1": 1.0, "2": 0.0}
    assert accuracy_by_problem(traces, "first") == {"1": 0.0, "2": 0.0}


def test_what_is_not_known_stays_unknown() -> None:
    traces = [trace("1", "rr", tokens=None), trace("2", "rr", tokens=None, chance=None, temperature=0.0)]
    found = summarise(results_of(traces), "s")
    assert (found.mean_tokens, found.chance, found.temperature) == (None, None, None)


def test_perfect_scores_keep_an_honest_interval() -> None:
    found = summarise(results_of(trace(str(i), "rr", sample=j) for i in range(5) for j in range(4)), "s")
    assert found.final_interval == wilson(5, 5)
    assert found.final_interval[0] < 0.6


def test_only_ungradable_golds() -> None:
    found = summarise(results_of([trace("1", "uu")]), "s")
    assert (found.n, found.ungradable, found.final_accuracy, found.final_interval) == (0, 1, 0.0, (0.0, 1.0))


def test_nothing_to_summarise() -> None:
    with pytest.raises(ValueError, match="stage 'srpo' has no traces"):
        summarise([], "srpo")


@pytest.mark.parametrize("num_samples", [1, 8])
def test_ten_thousand_traces_are_no_burden(num_samples: int) -> None:
    traces = [
        trace(f"{i}", "rw"[(i + j) % 2] + "rw"[i * j % 2], sample=j)
        for i in range(10_000 // num_samples)
        for j in range(num_samples)
    ]
    start = time.process_time()
    assert summarise(results_of(traces), "s").n == 10_000 // num_samples
    assert time.process_time() - start < 10


def test_intervals_of_shares_and_ratios() -> None:
    assert share_interval([]) == (0.0, 1.0)
    assert share_interval([1.0, 0.0, 1.0]) == wilson(2, 3), "one sample each: exact enough, and never of width 0"
    shares = [0.25, 0.5, 1.0, 0.75] * 10
    low, high = share_interval(shares, seed=1)
    assert 0.5 < low < 0.625 < high < 0.75
    assert bootstrap_ratio([], []) == bootstrap_ratio([0.0], [0.0]) == (0.0, 1.0)
    assert bootstrap_ratio([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]) == wilson(1, 2), "what is no case does not count"
    low, high = bootstrap_ratio([0.25, 0.5] * 20, [0.5, 0.5] * 20, seed=1)
    assert 0.6 < low < 0.75 < high < 0.9
