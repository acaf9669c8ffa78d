"""Which token is credited with what."""

import pytest

from srpo.core.records import Reward, Term
from srpo.rl.credit import Credited, assign_credit, carries_signal


def paper(*, accuracy: float = 0, effect: float = 0, form: float = 1, length: float = 0) -> Reward:
    terms = {"format": (form, 0.5), "accuracy": (accuracy, 0.5), "effect": (effect, 1.0), "length": (length, 0.1)}
    return Reward(terms=tuple(Term(name=name, score=score, weight=weight) for name, (score, weight) in terms.items()))


def sample(reward: Reward, first_tokens: int | None = 2) -> Credited:
    return Credited(reward, 5, first_tokens)


def test_total_gives_every_token_the_same() -> None:
    given = assign_credit([sample(paper(accuracy=1, effect=0.25)), sample(paper())], "total")
    assert [credit.tokens for credit in given] == [[1.0] * 5, [-1.0] * 5]
    assert [credit.advantage for credit in given] == [1.0, -1.0]


def test_segments_are_credited_by_what_they_did() -> None:
    # The first answers are equally wrong; only the first response repairs its answer.
    given = assign_credit([sample(paper(effect=0.5)), sample(paper())], "segment")
    assert [credit.tokens for credit in given] == [[0, 0, 1, 1, 1], [0, 0, -1, -1, -1]]
    # The first answers differ; what follows changes nothing.
    given = assign_credit([sample(paper(accuracy=1)), sample(paper())], "segment")
    assert [credit.tokens for credit in given] == [[1, 1, 0, 0, 0], [-1, -1, 0, 0, 0]]
    assert [credit.advantage for credit in given] == [0, 0]


def test_a_repair_on_purpose_gains_nothing_for_the_wrong_first_answer() -> None:
    sandbag, honest = assign_credit([sample(paper(effect=0.5)), sample(paper(accuracy=1, effect=0.25))], "segment")
    assert sandbag.tokens[0] < 0 < honest.tokens[0]


def test_without_a_first_answer_every_token_gets_the_worse_verdict() -> None:
    broken = sample(paper(form=0), first_tokens=None)
    given = assign_credit([broken, sample(paper(accuracy=1, effect=0.25)), sample(paper())], "segment")
    assert len(set(given[0].tokens)) == 1
    assert given[0].tokens[0] < min(*given[1].tokens, *given[2].tokens)


def test_scale_off_leaves_the_plain_difference() -> None:
    given = assign_credit([sample(paper(accuracy=1)), sample(paper())], "total", scale=False)
    assert [credit.advantage for credit in given] == pytest.approx([0.25, -0.25])


def test_signal_in_one_part_is_signal() -> None:
    # Accuracy and effect cancel in the total, but not within their parts.
    group = [sample(paper(accuracy=1)), sample(paper(effect=0.5))]
    assert not carries_signal(group, "total")
    assert carries_signal(group, "segment")
    assert not carries_signal([sample(paper())] * 3, "segment")
