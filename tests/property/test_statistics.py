import math
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from srpo.core.records import OUTCOMES, FormatError, Grade, Origin, Problem, Trace, Verdict
from srpo.core.statistics import bootstrap_mean, majority_vote, mcnemar_exact, pass_at_k, wilson
from srpo.core.summary import results_of, summarise, transition_matrix

GRADE = {v: Grade(verdict=v, extracted=None, reason="") for v in get_args(Verdict)}
ORIGIN = Origin(stage="eval", model="m")


def make(row: tuple[int, Verdict, Verdict]) -> Trace:
    problem, first, final = row
    if "ungradable" in (first, final):
        first = final = "ungradable"
    return Trace(
        origin=ORIGIN,
        problem=Problem(id=str(problem), question="?", answer="7", family=str(problem % 2)),
        text="",
        parsed=FormatError(where=0, what="no think"),
        first_grade=GRADE[first],
        final_grade=GRADE[final],
    )


TRACE = st.tuples(st.integers(0, 5), st.sampled_from(list(GRADE)), st.sampled_from(list(GRADE))).map(make)
TRACES = st.lists(TRACE, min_size=1, max_size=30)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share(k: int, more: int) -> None:
    n = k + more
    low, high = wilson(k, n)
    assert 0 <= low <= high <= 1
    assert n == 0 or low <= k / n <= high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_bootstrap_stays_within_the_values(values: list[float], seed: int) -> None:
    low, high = bootstrap_mean(values, seed=seed, num_resamples=200)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_symmetric_probability(ours: int, theirs: int) -> None:
    p = mcnemar_exact(ours, theirs)
    assert 0 < p <= 1
    assert p == mcnemar_exact(theirs, ours)


@given(st.data())
def test_pass_at_k_grows_with_k(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 30))
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n - 1))
    assert 0 <= pass_at_k(n=n, c=c, k=k) <= pass_at_k(n=n, c=c, k=k + 1) <= 1
    assert math.isclose(pass_at_k(n=n, c=c, k=1), c / n, abs_tol=1e-12)


@given(TRACES)
def test_transition_identities(traces: list[Trace]) -> None:
    matrix = transition_matrix(trace.outcome for trace in traces)
    assert sum(matrix.counts.values()) == matrix.n
    assert math.isclose(matrix.final_accuracy - matrix.first_accuracy, matrix.delta, abs_tol=1e-12)


@given(TRACES)
@settings(max_examples=40, deadline=None)
def test_summary_is_consistent(traces: list[Trace]) -> None:
    found = summarise(results_of(traces), "s")
    shares = found.transitions
    assert math.isclose(sum(shares.values()), 1.0 if found.n else 0.0)
    assert math.isclose(shares["right→right"] + shares["right→wrong"], found.first_accuracy, abs_tol=1e-12)
    assert math.isclose(shares["right→right"] + shares["wrong→right"], found.final_accuracy, abs_tol=1e-12)
    assert sum(found.counts[outcome] for outcome in OUTCOMES) + found.ungradable == len(traces)
    assert sum(family.n for family in found.by_family.values()) == found.n
    low, high = found.final_interval
    assert low - 1e-12 <= found.final_accuracy <= high + 1e-12


@given(st.lists(st.sampled_from(["1", "2", "3", None]), max_size=12))
def test_majority_vote_is_a_most_frequent_answer(answers: list[str | None]) -> None:
    winner = majority_vote(answers)
    given_answers = [answer for answer in answers if answer is not None]
    assert (winner is None) == (not given_answers)
    if winner is not None:
        most = max(map(given_answers.count, given_answers))
        assert winner == next(answer for answer in given_answers if given_answers.count(answer) == most)
