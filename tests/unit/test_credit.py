"""Which token is credited with what."""

import pytest

from srpo.core.advantages import assign_credit, carries_signal
from srpo.core.records import Reward, Term, TokenCounts

LENGTH = TokenCounts(prompt=3, total=5, first=2)
NO_FIRST_ANSWER = TokenCounts(prompt=3, total=5, first=0)


def paper(*, accuracy: float = 0, effect: float = 0, form: float = 1, length: float = 0) -> Reward:
    terms = {"format": (form, 0.5), "accuracy": (accuracy, 0.5), "effect": (effect, 1.0), "length": (length, 0.1)}
    return Reward(terms=tuple(Term(name=name, score=score, weight=weight) for name, (score, weight) in terms.items()))


def test_total_gives_every_token_the_same() -> None:
    given = assign_credit([paper(accuracy=1, effect=0.25), paper()], [LENGTH] * 2, "total")
    assert [credit.tokens for credit in given] == [[1.0] * 5, [-1.0] * 5]
    assert [credit.advantage for credit in given] == [1.0, -1.0]


def test_segments_are_credited_by_what_they_did() -> None:
    # The first answers are equally wrong; only the first response repairs its answer.
    given = assign_credit([paper(effect=0.5), paper()], [LENGTH] * 2, "segment")
    assert [credit.tokens for credit in given] == [[0, 0, 1, 1, 1], [0, 0, -1, -1, -1]]
    # The first answers differ; what follows changes nothing.
    given = assign_credit([paper(accuracy=1), paper()], [LENGTH] * 2, "segment")
    assert [credit.tokens for credit in given] == [[1, 1, 0, 0, 0], [-1, -1, 0, 0, 0]]
    assert [credit.advantage for credit in given] == [0, 0]


def test_a_repair_on_purpose_gains_nothing_for_the_wrong_first_answer() -> None:
    rewards = [paper(effect=0.5), paper(accuracy=1, effect=0.25)]
    sandbag, honest = assign_credit(rewards, [LENGTH] * 2, "segment")
    assert sandbag.tokens[0] < 0 < honest.tokens[0]


def test_without_a_first_answer_every_token_gets_the_worse_verdict() -> None:
    rewards = [paper(form=0), paper(accuracy=1, effect=0.25), paper()]
    given = assign_credit(rewards, [NO_FIRST_ANSWER, LENGTH, LENGTH], "segment")
    assert len(set(given[0].tokens)) == 1
    assert given[0].tokens[0] < min(*given[1].tokens, *given[2].tokens)


def test_scale_off_leaves_the_plain_difference() -> None:
    given = assign_credit([paper(accuracy=1), paper()], [LENGTH] * 2, "total", scale=False)
    assert [credit.advantage for credit in given] == pytest.approx([0.25, -0.25])


def test_signal_in_one_part_is_signal() -> None:
    # Accuracy and effect cancel in the total, but not within their parts.
    group = [paper(accuracy=1), paper(effect=0.5)]
    assert not carries_signal(group, "total")
    assert carries_signal(group, "segment")
    assert not carries_signal([paper()] * 3, "segment")
