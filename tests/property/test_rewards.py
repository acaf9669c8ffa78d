from hypothesis import given
from hypothesis import strategies as st

from srpo.core.records import OUTCOMES, Grade, Reward, TokenCounts
from srpo.core.response import TAGS, parse
from srpo.core.rewards import EFFECT, Preset, length_score, reward, segment_rewards

GRADE = st.sampled_from(["correct", "incorrect"]).map(lambda v: Grade(verdict=v, extracted=None, reason=""))
GOOD_TEXT = st.sampled_from(
    [
        "<think>a</think><answer>7</answer><reflection>red is 3</reflection><think>b</think><answer>8</answer>",
        "<think>a</think><answer>7</answer><reflection>.</reflection><think>b</think><answer>8</answer>",
    ]
)
ANY_TEXT = st.lists(st.sampled_from(TAGS) | st.text(max_size=12), max_size=15).map("".join)
TEXT = GOOD_TEXT | ANY_TEXT
TOKENS = st.builds(
    lambda first, rest: TokenCounts(prompt=3, first=first, total=first + rest),
    st.integers(0, 500),
    st.integers(0, 2000),
)
PRESET = st.sampled_from(["paper", "release-openrlhf", "answer"])
BEST = TokenCounts(prompt=3, first=20, total=40)
RIGHT = Grade(verdict="correct", extracted="7", reason="")
WRONG = Grade(verdict="incorrect", extracted="7", reason="")


def earn(preset: Preset, text: str, first: Grade, final: Grade, tokens: TokenCounts) -> Reward:
    earned = reward(preset, text=text, parsed=parse(text), first=first, final=final, tokens=tokens)
    assert earned is not None
    return earned


@given(TEXT, GRADE, GRADE, TOKENS)
def test_no_text_earns_more_than_right_to_right_at_best_length(
    text: str, first: Grade, final: Grade, tokens: TokenCounts
) -> None:
    assert -0.25 <= earn("paper", text, first, final, tokens).total <= 1.6 + 1e-12


@given(PRESET, TEXT, GRADE, GRADE, TOKENS)
def test_every_term_stays_in_its_bounds(
    preset: Preset, text: str, first: Grade, final: Grade, tokens: TokenCounts
) -> None:
    bounds = {"format": (0, 1), "accuracy": (0, 1), "effect": (-0.25, 0.5), "reflection": (0, 0.25), "length": (0, 1)}
    for term in earn(preset, text, first, final, tokens).terms:
        low, high = bounds[term.name]
        assert low <= term.score <= high


@given(TEXT, GRADE, GRADE, TOKENS)
def test_a_right_first_answer_always_pays_under_paper(
    text: str, first: Grade, final: Grade, tokens: TokenCounts
) -> None:
    honest = earn("paper", text, RIGHT, final, tokens).total
    assert honest >= earn("paper", text, WRONG, final, tokens).total + 0.25 - 1e-12


@given(PRESET, TEXT, GRADE, TOKENS)
def test_a_right_final_answer_always_pays(preset: Preset, text: str, first: Grade, tokens: TokenCounts) -> None:
    assert earn(preset, text, first, RIGHT, tokens).total > earn(preset, text, first, WRONG, tokens).total


@given(GRADE, GRADE, TOKENS)
def test_a_reflection_that_says_something_pays(first: Grade, final: Grade, tokens: TokenCounts) -> None:
    good, empty = (
        f"<think>a</think><answer>7</answer><reflection>{said}</reflection><think>b</think><answer>8</answer>"
        for said in ("red is 3", ".")
    )
    assert earn("paper", good, first, final, tokens).total > earn("paper", empty, first, final, tokens).total


@given(TEXT, GRADE, GRADE, TOKENS)
def test_breaking_the_format_never_pays(text: str, first: Grade, final: Grade, tokens: TokenCounts) -> None:
    assert earn("paper", text + " x", first, final, tokens).total <= earn("paper", text, first, final, tokens).total


@given(st.integers(1, 500), st.integers(0, 3000), st.integers(0, 3000))
def test_length_falls_with_the_distance_from_the_target(first: int, total: int, other: int) -> None:
    near, far = sorted((total, other), key=lambda count: abs(count - 2 * first))
    score = [length_score(TokenCounts(prompt=1, first=first, total=count)) for count in (near, far)]
    assert score[0] >= score[1]


@given(TEXT, GRADE, GRADE, TOKENS)
def test_segments_partition_the_total(text: str, first: Grade, final: Grade, tokens: TokenCounts) -> None:
    earned = earn("paper", text, first, final, tokens)
    assert abs(sum(segment_rewards(earned)) - earned.total) < 1e-12


def test_the_effect_table_covers_every_outcome() -> None:
    assert set(EFFECT) == set(OUTCOMES)
