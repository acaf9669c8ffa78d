"""Rewards of one's own: their terms are kept, and nothing that goes wrong in them becomes a silent zero."""

import pytest

from srpo.core.records import Attempt, Grade, Problem, TokenCounts
from srpo.core.rewards import RewardCase
from srpo.rl.config import RlConfig
from srpo.rl.reward import reward_function

RIGHT = Grade(verdict="correct", extracted="7", reason="")
UNGRADABLE = Grade(verdict="ungradable", extracted=None, reason="")
HERE = "tests.training.test_rl_reward"
CASE = RewardCase(
    problem=Problem(id="p7", question="3+4?", answer="7"),
    text="<think>3+4</think><answer>7</answer>",
    parsed=Attempt(think="3+4", answer="7"),
    first=RIGHT,
    final=RIGHT,
    tokens=TokenCounts(prompt=3, total=20, first=20),
    style="single",
)
not_callable = 3


def shorter(case: RewardCase) -> dict[str, float]:
    assert isinstance(case.parsed, Attempt)
    return {"accuracy": float(case.final.is_correct), "short": 1 / case.tokens.total}


def failing(case: RewardCase) -> dict[str, float]:
    return {"accuracy": 1 / len(case.problem.images)}


def infinite(case: RewardCase) -> dict[str, float]:
    return {"accuracy": case.tokens.total * float("inf")}


def a_number(case: RewardCase) -> float:
    return float(case.tokens.total)


def config(**changes: object) -> RlConfig:
    return RlConfig.model_validate({"model": "m", "data": "d.jsonl", "steps": 1, "style": "single", **changes})


def test_terms_of_an_own_reward_are_kept_with_their_weights() -> None:
    pay = reward_function(config(reward=f"{HERE}:shorter", weights={"short": 2.0}))
    paid = pay(CASE)
    assert paid is not None
    assert [(term.name, term.score, term.weight) for term in paid.terms] == [
        ("accuracy", 1.0, 1.0),
        ("short", 0.05, 2.0),
    ]
    assert paid.total == pytest.approx(1.1)


def test_an_ungradable_gold_is_never_paid() -> None:
    assert reward_function(config(reward=f"{HERE}:failing"))(CASE._replace(first=UNGRADABLE, final=UNGRADABLE)) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("failing", "failed on problem 'p7': ZeroDivisionError"),
        ("infinite", "returned {'accuracy': inf} for problem 'p7'; return finite numbers by name"),
        ("a_number", "returned 20.0 for problem 'p7'"),
    ],
)
def test_what_goes_wrong_in_it_is_said_with_the_problem(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reward_function(config(reward=f"{HERE}:{name}"))(CASE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shorter", "is not of the form module:function"),
        ("no_such_module:f", "cannot be loaded"),
        (f"{HERE}:missing", "cannot be loaded"),
        (f"{HERE}:not_callable", "is a int, which cannot be called"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_the_run(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reward_function(config(reward=name))


def test_weights_of_unknown_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="preset 'answer' has no term 'effect' to weigh"):
        config(preset="answer", weights={"effect": 0.0})
    with pytest.raises(ValueError, match="has no term 'long'; it has accuracy, short"):
        reward_function(config(reward=f"{HERE}:shorter", weights={"long": 1.0}))(CASE)


def test_the_preset_takes_weights_and_floor_from_the_config() -> None:
    paid = reward_function(config(preset="answer", weights={"format": 0.0}))(CASE)
    assert paid is not None
    assert paid.total == 1.0
