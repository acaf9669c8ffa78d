from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from srpo.core.records import Problem
from srpo.grading import grade, grade_gold
from srpo.grading.answers import extract_answer

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")

texts = st.text(max_size=200)
mathematical = st.text(alphabet="0123456789+-*/^(){}[]\\,.;:=<>$%°π√∞ xyabnfracsqrtABCD", max_size=60)
integers = st.integers(-(10**6), 10**6)


def problem(gold: str) -> Problem:
    return Problem(id="p", question="", answer=gold)


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@given(texts | mathematical, texts | mathematical)
def test_grading_never_raises(gold: str, prediction: str) -> None:
    assert grade(problem(clean(gold)), prediction).verdict in ("correct", "incorrect", "ungradable")


@given(mathematical)
def test_a_readable_gold_grades_itself(gold: str) -> None:
    if extract_answer(gold).how == "whole text" and grade_gold(problem(gold)) is None:
        assert grade(problem(gold), gold).is_correct


@given(texts)
def test_nothing_is_right_without_an_answer(gold: str) -> None:
    for prediction in ("", " ", "<answer></answer>", "<answer>" + gold, "<think>" + gold):
        assert not grade(problem(clean(gold)), prediction).is_correct or "</" in gold


@given(integers, integers)
def test_integers_are_equal_when_they_are(left: int, right: int) -> None:
    for spelling in (
        f"{right}",
        f"{right:,}",
        f"$ {right}.0 $",
        rf"\boxed{{{right}}}",
        f"x = {right}",
        f"The answer is {right}.",
    ):
        assert grade(problem(str(left)), spelling).is_correct == (left == right), spelling


@given(st.integers(-500, 500), st.integers(1, 60), st.integers(2, 9))
def test_fractions_are_compared_by_value(above: int, below: int, factor: int) -> None:
    gold = problem(rf"\frac{{{above}}}{{{below}}}")
    assert grade(gold, f"{above * factor}/{below * factor}").is_correct
    assert not grade(gold, f"{above + 1}/{below}").is_correct
    exact = Fraction(above, below)
    assert grade(gold, f"({exact.numerator})/({exact.denominator})").is_correct


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_order_counts_in_tuples_and_not_in_sets(items: list[int], random: object) -> None:
    shuffled = [*items[1:], items[0]]
    inside, turned = ", ".join(map(str, items)), ", ".join(map(str, shuffled))
    assert grade(problem(rf"\{{{inside}\}}"), rf"\{{{turned}\}}").is_correct
    assert grade(problem(f"({inside})"), f"({inside})").is_correct
    assert not grade(problem(f"({inside})"), f"({turned})").is_correct
    for item in items:
        assert not grade(problem(str(item)), turned).is_correct


@given(st.sampled_from("ABCDE"), st.sampled_from("ABCDE"), st.sampled_from("ABCDE"))
def test_one_letter_only(gold: str, first: str, second: str) -> None:
    for spelling in ("{}", "({})", "{}.", "The answer is {}.", r"\boxed{{{}}}", "答案：{}"):
        assert grade(problem(gold), spelling.format(first)).is_correct == (gold == first)
    if first != second:
        for spelling in ("{} or {}", "{} and {}", "{}, {}", "{}{}", "either {} or {}", r"\boxed{{{}}} or \boxed{{{}}}"):
            assert not grade(problem(gold), spelling.format(first, second)).is_correct


@given(
    st.integers(1, 999),
    st.sampled_from([("m", "cm", 100), ("km", "m", 1000), ("kg", "g", 1000), ("h", "min", 60), ("cm^2", "mm^2", 100)]),
)
def test_units_are_converted_and_not_ignored(amount: int, units: tuple[str, str, int]) -> None:
    large, small, factor = units
    gold = problem(f"{amount} {large}")
    assert grade(gold, f"{amount * factor} {small}").is_correct
    assert grade(gold, f"{amount}").is_correct
    assert not grade(gold, f"{amount} {small}").is_correct


@given(integers, integers, st.booleans())
def test_only_the_last_answer_block_counts(first: int, second: int, finished: bool) -> None:
    response = f"<think>a</think><answer>{first}</answer><reflection>b</reflection><think>c</think><answer>{second}"
    result = grade(problem(str(first)), response + "</answer>" * finished)
    assert result.is_correct == (finished and first == second)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_expanded_and_factored_forms_agree(a: int, b: int, c: int) -> None:
    def signed(value: int) -> str:
        return f"+{value}" if value >= 0 else str(value)

    factored = f"(x{signed(a)})(x{signed(b)})"
    expanded = f"x^2{signed(a + b)}x{signed(a * b)}"
    assert grade(problem(expanded), factored).is_correct
    assert not grade(problem(expanded), f"{factored}{signed(abs(c) + 1)}").is_correct
