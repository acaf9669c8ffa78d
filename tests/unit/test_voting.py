"""Majority votes and what they cost."""

import itertools
from collections import Counter

import pytest

from srpo.core.records import FormatError, Grade, Origin, Problem, TokenCounts, Trace
from srpo.eval.metrics.voting import (
    RIGHT,
    Vote,
    maj_at_k,
    mean_cost,
    point_of,
    token_budgets,
    vote_at,
    vote_of,
    voted_traces,
)


def drawn(votes: str, tokens: int | None) -> list[Vote]:
    """`r` is right, `.` no answer, everything else a wrong answer."""
    return [Vote({"r": RIGHT, ".": None}.get(vote, vote), tokens) for vote in votes]


def votes_of(text: str) -> list[str | None]:
    return [one.answer for one in drawn(text, 1)]


@pytest.mark.parametrize(
    ("votes", "k", "expected"),
    [
        ("r", 1, 1.0),
        (".", 1, 0.0),
        ("r55", 1, 1 / 3),
        ("r55", 2, (0.5 + 0.5 + 0) / 3),  # r5, r5: lots are drawn
        ("r55", 3, 0.0),
        ("rr5", 3, 1.0),
        ("rr55", 4, 0.5),
        ("r56", 3, 1 / 3),
        ("r...", 4, 1.0),  # no answer is no vote
        ("....", 2, 0.0),
    ],
)
def test_majority_by_hand(votes: str, k: int, expected: float) -> None:
    assert maj_at_k(votes_of(votes), k=k) == pytest.approx(expected)


def test_majority_is_the_mean_over_orders_with_the_first_seen_winning_ties() -> None:
    votes = votes_of("rr556.")
    orders = list(itertools.permutations(votes, 4))
    won = 0
    for order in orders:
        counts = Counter(vote for vote in order if vote is not None)
        won += max(counts, key=lambda vote: counts[vote]) == RIGHT
    assert maj_at_k(votes, k=4) == pytest.approx(won / len(orders))


def test_many_subsets_are_sampled_with_a_seed() -> None:
    votes = votes_of("r" * 11 + "5" * 9 + "6" * 4)
    assert maj_at_k(votes, k=12, seed=3) == maj_at_k(votes, k=12, seed=3)
    assert 0.5 < maj_at_k(votes, k=12) < maj_at_k(votes, k=24) == 1.0
    assert maj_at_k(votes, k=1) == pytest.approx(11 / 24)


@pytest.mark.parametrize("k", [0, 3])
def test_k_must_fit(k: int) -> None:
    with pytest.raises(ValueError, match="k="):
        maj_at_k(votes_of("r5"), k=k)


def test_budgets_buy_whole_samples_at_their_mean_price() -> None:
    problems = {"a": drawn("rr5", 10), "b": drawn("r55", 30)}
    assert mean_cost(problems) == 20
    assert vote_at(problems, 19).num_votes == 0
    assert vote_at(problems, 19).accuracy == {}
    one = vote_at(problems, 39)
    assert (one.num_votes, one.tokens, one.is_short) == (1, 20, False)
    assert one.accuracy == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    three = vote_at(problems, 60)
    assert (three.num_votes, three.accuracy, three.is_short) == (3, {"a": 1.0, "b": 0.0}, False)
    assert vote_at(problems, 1000).is_short
    curve = [point_of(budget, vote_at(problems, budget)) for budget in (10, 20, 60)]
    assert [point.num_votes for point in curve] == [0, 1, 3]
    assert curve[0].accuracy is None
    assert curve[2].accuracy is not None
    assert (curve[2].accuracy.value, curve[2].accuracy.n) == (0.5, 2)
    assert curve[2].accuracy.low < 0.5 < curve[2].accuracy.high


def test_budgets_of_two_sides() -> None:
    dear, cheap = {"a": drawn("rr", 100)}, {"a": drawn("r5r5r5", 40)}
    assert token_budgets([dear, cheap]) == [100, 200]
    assert token_budgets([dear, {"a": drawn("r", 40)}]) == [100], "one sample of the dearest, whatever the other has"
    assert token_budgets([dear, {"a": drawn("r", None)}]) == []
    with pytest.raises(ValueError, match="no count of tokens"):
        vote_at({"a": drawn("r", None)}, 10)


def test_traces_as_votes() -> None:
    def trace(first: Grade, final: Grade, tokens: TokenCounts | None) -> Trace:
        problem = Problem(id="p", question="?", answer="7")
        origin = Origin(stage="eval", model="m")
        return Trace(
            origin=origin,
            problem=problem,
            text="",
            parsed=FormatError(where=0, what="no think"),
            first_grade=first,
            final_grade=final,
            tokens=tokens,
        )

    right = Grade(verdict="correct", extracted="7.0", reason="")
    wrong = Grade(verdict="incorrect", extracted="$(B)$", reason="")
    ungradable = Grade(verdict="ungradable", extracted=None, reason="")
    traces = [
        trace(wrong, right, TokenCounts(prompt=1, total=30, first=10)),
        trace(wrong, wrong, TokenCounts(prompt=1, total=25)),
        trace(right, wrong, None),
        trace(ungradable, ungradable, None),
    ]
    assert voted_traces(traces) == [traces[1]], "two of three say B"
    assert voted_traces([traces[0], traces[3]]) == [traces[0]]
    graded = traces[:3]
    assert [vote_of(one) for one in graded] == [Vote(RIGHT, 30), Vote("b", 25), Vote("b", None)]
    assert [vote_of(one, "first") for one in graded] == [Vote("b", 10), Vote("b", 25), Vote(RIGHT, None)]
