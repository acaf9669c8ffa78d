"""The table of docs/design.md#the-reward, and one regression test per defect of the authors' reward."""

import math

import pytest

from srpo.core.records import FormatError, Grade, Outcome, Reward, Style, TokenCounts
from srpo.core.rewards import WEIGHTS, Preset, length_score, reward, says_something, segment_rewards, weights_of
from tests.support.responses import parse_style

RIGHT = Grade(verdict="correct", extracted="7", reason="")
WRONG = Grade(verdict="incorrect", extracted="5", reason="")
UNGRADABLE = Grade(verdict="ungradable", extracted=None, reason="the gold is empty")
BEST = TokenCounts(prompt=10, first=20, total=40)
FIVE = (
    "<think>3+4</think><answer>7</answer><reflection>red is 3, blue is 4</reflection>"
    "<think>3+4=7</think><answer>7</answer>"
)
PAIRS: dict[Outcome, tuple[Grade, Grade]] = {
    "right→right": (RIGHT, RIGHT),
    "wrong→right": (WRONG, RIGHT),
    "right→wrong": (RIGHT, WRONG),
    "wrong→wrong": (WRONG, WRONG),
}


FIVE_BLOCK_PRESETS: tuple[Preset, ...] = ("paper", "release-openrlhf")


def earn(
    preset: Preset,
    first: Grade,
    final: Grade,
    *,
    text: str = FIVE,
    tokens: TokenCounts = BEST,
    style: Style = "reflective",
) -> Reward:
    parsed = parse_style(text, style)
    earned = reward(preset, text=text, parsed=parsed, first=first, final=final, tokens=tokens, style=style)
    assert earned is not None
    return earned


@pytest.mark.parametrize(
    ("preset", "totals"),
    [
        ("paper", {"right→right": 1.60, "wrong→right": 1.35, "right→wrong": 1.10, "wrong→wrong": 0.85}),
        ("release-openrlhf", {"right→right": 1.35, "wrong→right": 1.60, "right→wrong": 0.85, "wrong→wrong": 0.60}),
        ("answer", {"right→right": 1.5, "wrong→right": 1.5, "right→wrong": 0.5, "wrong→wrong": 0.5}),
    ],
)
def test_totals_at_full_format_reflection_and_length(preset: Preset, totals: dict[Outcome, float]) -> None:
    assert {outcome: round(earn(preset, *pair).total, 12) for outcome, pair in PAIRS.items()} == totals


def test_every_term_is_kept_even_at_zero() -> None:
    terms = earn("paper", WRONG, WRONG, text="", tokens=TokenCounts(prompt=1, total=0)).terms
    assert [(term.name, term.score, term.weight) for term in terms] == [
        ("format", 0.0, 0.5),
        ("accuracy", 0.0, 0.5),
        ("effect", 0.0, 1.0),
        ("reflection", 0.0, 1.0),
        ("length", 0.0, 0.1),
    ]


@pytest.mark.parametrize("final", [RIGHT, WRONG])
@pytest.mark.parametrize("preset", ["paper", "answer"])
def test_a_first_attempt_that_is_wrong_on_purpose_never_pays(preset: Preset, final: Grade) -> None:
    """The released OpenRLHF reward pays wrong→right more than right→right; the paper's does not."""
    sandbagged = earn(preset, WRONG, final).total
    assert sandbagged <= earn(preset, RIGHT, final).total
    if preset == "paper":
        assert sandbagged <= earn(preset, RIGHT, final).total - 0.25 + 1e-12


def test_release_preset_reproduces_the_ordering_that_rewards_sandbagging() -> None:
    assert earn("release-openrlhf", WRONG, RIGHT).total > earn("release-openrlhf", RIGHT, RIGHT).total
    assert [term.name for term in earn("release-openrlhf", WRONG, RIGHT).terms] == [
        "format",
        "accuracy",
        "effect",
        "length",
    ]


def test_wrong_to_right_has_its_own_effect_and_wrong_to_wrong_none() -> None:
    """The released verl reward (`a == True & b == False`) pays 0 and -0.25."""
    assert earn("paper", WRONG, RIGHT).score("effect") == 0.5
    assert earn("paper", WRONG, WRONG).score("effect") == 0.0
    assert earn("paper", RIGHT, WRONG).score("effect") == -0.25
    assert earn("paper", RIGHT, RIGHT).score("effect") == 0.25


def test_a_missing_answer_block_does_not_wipe_out_the_rest() -> None:
    """The released reward unpacks three values from two, and the exception makes the total 0."""
    text = "<think>3+4</think><answer>7</answer><reflection>red is 3, blue is 4</reflection><think>3+4=7</think>"
    earned = earn("paper", RIGHT, WRONG, text=text)
    assert {term.name: term.score for term in earned.terms} == {
        "format": 0.0,
        "accuracy": 1.0,
        "effect": -0.25,
        "reflection": 0.25,
        "length": 1.0,
    }
    assert earned.total == pytest.approx(0.6)


@pytest.mark.parametrize("pair", [(UNGRADABLE, UNGRADABLE), (RIGHT, UNGRADABLE), (UNGRADABLE, WRONG)])
@pytest.mark.parametrize("preset", ["paper", "release-openrlhf", "answer"])
def test_an_ungradable_gold_earns_nothing_at_all(preset: Preset, pair: tuple[Grade, Grade]) -> None:
    """The released reward gives 1.0 to anything when the gold does not parse."""
    first, final = pair
    parsed = parse_style(FIVE, "reflective")
    assert reward(preset, text=FIVE, parsed=parsed, first=first, final=final, tokens=BEST) is None


def test_answers_without_blanks_have_the_format() -> None:
    """The released pattern wants white space around the answer."""
    assert earn("paper", RIGHT, RIGHT).score("format") == 1.0


def test_a_response_without_second_think_has_not_the_format() -> None:
    """The released SFT target has no second think."""
    assert earn("paper", RIGHT, RIGHT, text=FIVE.replace("<think>3+4=7</think>", "")).score("format") == 0.0


@pytest.mark.parametrize("nothing", [".", "", " \n\t", "...!?", "ok ok", "∅", "<>", "____", "7", "\0"])
def test_a_reflection_that_says_nothing_earns_nothing(nothing: str) -> None:
    """The released reward counts a "." as a reflection."""
    text = FIVE.replace("red is 3, blue is 4", nothing)
    assert earn("paper", RIGHT, RIGHT, text=text).score("reflection") == 0.0
    assert earn("paper", RIGHT, RIGHT, text=text).score("format") == 1.0


@pytest.mark.parametrize(
    "something", ["red=3\nblue=5\n3+5=8\nneed 9 no", "看错了", "3+4=7", "Looks right.", "Die Säule fehlt", "再び確認"]
)
def test_a_reflection_that_says_something(something: str) -> None:
    assert says_something(something)


def test_a_long_reflection_is_cheap() -> None:
    assert not says_something("a" * 5_000_000)
    assert not says_something("ok " * 300_000)


@pytest.mark.parametrize(
    ("total", "score"),
    [(40, 1.0), (50, math.exp(-1)), (30, math.exp(-1)), (45, math.exp(-0.25)), (20, math.exp(-4)), (1000, 0.0)],
)
def test_length_is_a_bell_around_twice_the_first_attempt(total: int, score: float) -> None:
    assert length_score(TokenCounts(prompt=5, first=20, total=total)) == pytest.approx(score)


def test_a_floor_lets_a_short_guess_be_checked_at_length() -> None:
    guess = TokenCounts(prompt=5, first=10, total=70)
    assert length_score(guess) < 1e-6
    assert length_score(guess, 70) == 1.0
    assert length_score(TokenCounts(prompt=5, first=50, total=100), 70) == 1.0
    assert length_score(guess, 0) == length_score(guess)


def test_weights_of_terms_can_be_changed_one_by_one() -> None:
    earned = reward(
        "paper",
        text=FIVE,
        parsed=parse_style(FIVE, "reflective"),
        first=WRONG,
        final=RIGHT,
        tokens=BEST,
        weights={"effect": 0.0, "length": 0.5},
    )
    assert earned is not None
    assert {term.name: term.weight for term in earned.terms} == WEIGHTS["paper"] | {"effect": 0.0, "length": 0.5}
    assert earned.score("effect") == 0.5, "a term that weighs nothing is still logged"


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("answer", {"effect": 1.0}, "preset 'answer' has no term 'effect' to weigh; it has format, accuracy"),
        ("paper", {"length": float("nan")}, "weight nan of term 'length' must be a finite number"),
    ],
)
def test_unknown_terms_and_numbers_are_refused(preset: Preset, changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights_of(preset, changes)


def test_length_without_first_attempt_is_zero() -> None:
    assert length_score(TokenCounts(prompt=5, first=0, total=100)) == 0.0


def test_preset_answer_works_for_a_single_attempt_and_the_others_refuse() -> None:
    text = "<think>3+4</think><answer>7</answer>"
    assert earn("answer", RIGHT, RIGHT, text=text, style="single").total == 1.5
    assert earn("answer", RIGHT, RIGHT, text="7", style="single").total == 1.0
    for preset in FIVE_BLOCK_PRESETS:
        with pytest.raises(ValueError, match="needs the five blocks"):
            earn(preset, RIGHT, RIGHT, text=text, style="single")


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match="unknown preset 'papper'; use one of paper"):
        earn("papper", RIGHT, RIGHT)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", PAIRS)
def test_segments_add_up_to_the_total(outcome: Outcome) -> None:
    earned = earn("paper", *PAIRS[outcome])
    assert sum(segment_rewards(earned)) == pytest.approx(earned.total)


def test_segments_credit_each_part_with_its_own_work() -> None:
    parts = {outcome: segment_rewards(earn("paper", *pair)) for outcome, pair in PAIRS.items()}
    assert {outcome: round(first, 9) for outcome, (first, _) in parts.items()} == {
        "right→right": 0.75,
        "wrong→right": 0.25,
        "right→wrong": 0.75,
        "wrong→wrong": 0.25,
    }
    assert {outcome: round(second, 9) for outcome, (_, second) in parts.items()} == {
        "right→right": 0.85,
        "wrong→right": 1.1,
        "right→wrong": 0.35,
        "wrong→wrong": 0.6,
    }


def test_segment_credit_needs_an_effect() -> None:
    with pytest.raises(ValueError, match="use preset 'paper'"):
        segment_rewards(earn("answer", RIGHT, RIGHT))


def test_a_format_error_pays_no_format() -> None:
    error = FormatError(where=0, what="x")
    earned = reward("paper", text="", parsed=error, first=RIGHT, final=RIGHT, tokens=BEST)
    assert earned is not None
    assert earned.score("format") == 0.0
