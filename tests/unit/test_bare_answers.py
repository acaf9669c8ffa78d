"""The bare answer that other harnesses compare, and what a question says about its form."""

from typing import TypedDict

import pytest

from srpo.grading import bare_answer, is_plain_number
from srpo.interop.questions import has_lettered_options, listed_options
from tests.support.responses import reflective


class Hints(TypedDict, total=False):
    choices: tuple[str, ...]
    lettered: bool
    number: bool


@pytest.mark.parametrize(
    ("text", "hints", "bare"),
    [
        (reflective("A", "B"), {"lettered": True}, "B"),
        (reflective("A", "B. 12 cm"), {"choices": ("10 cm", "12 cm")}, "B"),
        (reflective("A", "12 cm"), {"choices": ("10 cm", "12 cm")}, "B"),
        (reflective("A", "12 cm"), {"lettered": True}, "12 cm"),
        (r"so \boxed{C}", {"lettered": True}, "C"),
        (reflective("1", "The answer is (D)."), {"lettered": True}, "D"),
        (reflective("1", "A and B"), {"lettered": True}, "A and B"),
        (reflective("1", "No"), {"choices": ("Yes", "No")}, "B"),
        (reflective("1", "1,250 kg"), {"number": True}, "1250"),
        (reflective("1", "1,250 kg"), {}, "1,250 kg"),
        (reflective("1", "$-2.50$ m"), {"number": True}, "-2.50"),
        (reflective("1", "50\\%"), {"number": True}, "50"),
        (reflective("1", "2π"), {"number": True}, "2π"),
        (reflective("1", "5 million"), {"number": True}, "5 million"),
        (reflective("1", "3 or 4"), {"number": True}, "3 or 4"),
        (reflective("1", r"$\frac{1}{2}$."), {}, r"\frac{1}{2}"),
        (reflective("1", "**Paris**"), {}, "Paris"),
        ("<answer>3</answer> <reflection>Let me look ag", {"number": True}, ""),
        ("", {}, ""),
    ],
)
def test_bare_answer(text: str, hints: Hints, bare: str) -> None:
    assert bare_answer(text, **hints) == bare


def test_options_of_a_question_are_found_where_it_lists_them() -> None:
    question = "In figure A. B what?\nChoices:\n(A) 10 cm\n(B) 12 cm\n\n(C) none\nAnswer with a letter."
    assert listed_options(question) == ("10 cm", "12 cm", "none")
    assert has_lettered_options(question)
    assert has_lettered_options("Which? Options: A: one, B: two")
    assert not has_lettered_options("Find the angle at A.")
    assert listed_options("Find the angle.\nA. only one") == ()


def test_numbers_are_told_from_quantities() -> None:
    assert all(map(is_plain_number, ("7", "-2.5", "1,000")))
    assert not any(map(is_plain_number, ("12 cm", "1/2", "B", "")))


def test_hostile_texts_take_linear_time() -> None:
    for text in ("<answer>" * 20_000, "$" * 200_000, "A. x\n" * 20_000, "1," * 50_000):
        bare_answer(text, number=True)
        listed_options(text)
        has_lettered_options(text)
