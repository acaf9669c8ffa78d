"""Answers read out of prose: hand-made responses in the wording of many models, and what must not earn credit."""

import json
import time
from pathlib import Path

import pytest

from srpo.core.records import Problem
from srpo.grading import grade
from srpo.grading.prose.choice import read_choice
from srpo.grading.prose.grade import grade_list, grade_number, grade_option, grade_verdict
from srpo.grading.prose.number import read_number
from srpo.grading.prose.refusals import refuses
from srpo.grading.prose.text import own_turn, statements
from srpo.grading.prose.yes_no import read_yes_no

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "golden" / "prose_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
COUNT = Problem(id="1", question="How many objects are left?", answer="3")
LEAF = Problem(id="2", question="Which leaf is it?", answer="elm", choices=("oak", "elm", "ash"), kind="option")
DOG = Problem(id="VD_animal_1_1_0", question="Is there a dog in the picture?", answer="Yes", kind="yes_no")
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I'm sorry, but I cannot see the image.",
    "There is not enough information to answer the question.",
    "The text does not provide information on the leaf, the dog or the objects.",
    "Without the image, it is impossible to say how many objects are left, or whether there is a dog.",
    "As an AI language model, I can't view pictures.",
    "It is not possible to determine the answer. Please provide the image.",
    "无法确定。",
)


def _found(case: dict[str, object]) -> object:
    text, question = str(case["text"]), str(case["question"])
    options = case.get("options")
    if isinstance(options, list):
        index = read_choice(text, question, tuple(options)).number
        return None if index is None else options[index]
    value = read_number(text, question).value
    return None if value is None else float(value)


@pytest.mark.parametrize(
    ("question", "text", "verdict"),
    [
        ("Is the upper bar longer than the lower bar?", "The lower bar is longer.", "no"),
        ("Is the upper bar longer than the lower bar?", "The lower one is shorter.", "yes"),
        ("Is the upper bar longer than the lower bar?", "The middle bar is longer.", None),
        ("Are the two shortest sticks together longer than the longest stick?", "Together they are shorter.", "no"),
        ("Is the blue arc the same length as the green arc?", "The blue arc is longer than the green arc.", "no"),
        ("Is the blue arc the same length as the green arc?", "The lengths are equal.", "yes"),
        ("Did the price in 2015 exceed the price in 2014?", "It fell from 9 in 2014 to 7 in 2015.", "no"),
        ("Did the price in 2015 exceed the price in 2014?", "It rose from 7 in 2014 to 9 in 2015.", "yes"),
        ("Did the price in 2014 exceed the price in 2015?", "It fell from 9 in 2014 to 7 in 2015.", "yes"),
    ],
)
def test_a_measure_belongs_to_its_subject(question: str, text: str, verdict: str | None) -> None:
    assert read_yes_no(text, question).verdict == verdict


def test_hand_made_responses_are_read_as_a_person_reads_them() -> None:
    assert len(CASES) > 280
    wrong = [
        (case["question"], case["text"], case["expected"], found)
        for case in CASES
        if (found := _found(case)) != case["expected"]
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["", "   \n", *REFUSALS])
def test_nothing_and_refusals_earn_no_credit(text: str) -> None:
    for gold in ("0", "1", "3"):
        assert grade_number(COUNT.model_copy(update={"answer": gold}), text, None).verdict == "incorrect"
    for gold in LEAF.choices:
        assert grade_option(LEAF.model_copy(update={"answer": gold}), text).verdict == "incorrect"
    for gold in ("Yes", "No"):
        assert grade_verdict(DOG.model_copy(update={"answer": gold}), text).verdict == "incorrect"
        yes_no = DOG.model_copy(update={"answer": gold, "choices": ("Yes", "No"), "kind": "option"})
        assert grade_option(yes_no, text).verdict == "incorrect"


@pytest.mark.parametrize(
    "text",
    [
        "A or B",
        "(A) oak, (B) elm",
        "It is either an oak or an elm leaf.",
        "A, B, C",
        "a, b, c",
        "B, B, B, B",
        "oak/elm",
    ],
)
def test_several_options_earn_no_credit(text: str) -> None:
    assert all(
        grade_option(LEAF.model_copy(update={"answer": gold}), text).verdict == "incorrect" for gold in LEAF.choices
    )


def test_the_text_beside_a_letter_decides_where_it_names_another_option() -> None:
    for text in ("The answer is (B) oak.", "B: oak", r"\\boxed{\\text{B. oak}}"):
        found = grade_option(LEAF, text)
        assert (found.verdict, found.extracted) == ("incorrect", "oak"), text
    # what is no option, or says no more than the letter, leaves the letter alone
    for text in ("The answer is (B) fir.", "The answer is (B), the leaf.", "(B) elm"):
        assert grade_option(LEAF, text).extracted == "elm", text
    # options that are letters in brackets: as they are spelled first, by their place else
    options = ("(c)", "(d)", "(a)", "(b)", "(e)")
    assert read_choice("The answer is (b).", "Which image?", options).number == 3
    assert read_choice("Thus, the answer would be B (a).", "Which image?", options).number == 1


def test_an_option_that_is_listed_twice_is_one() -> None:
    twice = LEAF.model_copy(update={"choices": ("elm", "oak", "elm")})
    assert grade_option(twice, "C").verdict == grade_option(twice, "A").verdict == "correct"
    assert grade_option(twice, "It is an elm leaf.").verdict == "correct"
    assert grade_option(LEAF.model_copy(update={"answer": "fir"}), "A").verdict == "ungradable"


@pytest.mark.parametrize(
    ("gold", "precision", "text", "right"),
    [
        ("14", None, "14.9", True),
        ("-3", None, "f(0) = -3.7", True),
        ("15", None, "14.9", False),
        ("1.2", 1, "The spring is compressed by 1.23 cm.", True),
        ("1.2", 1, "The spring is compressed by 1.26 cm.", False),
        ("0.21", 2, "E = 0.214 N/C", True),
        ("1000", None, "The volume is 1,000 ml.", True),
        ("-47000", None, "W = -4.7 × 10^4 J", True),
        ("3", None, "9" * 500, False),
        ("3", None, "1e999", False),
    ],
)
def test_numbers_are_compared_as_mathvista_does(gold: str, precision: int | None, text: str, right: bool) -> None:
    found = grade_number(COUNT.model_copy(update={"answer": gold}), text, precision)
    assert found.verdict == ("correct" if right else "incorrect")


def test_a_gold_that_is_no_number_is_ungradable() -> None:
    assert grade_number(COUNT.model_copy(update={"answer": "many"}), "3", None).verdict == "ungradable"
    assert grade_list(COUNT.model_copy(update={"answer": "many"}), "[3]").verdict == "ungradable"
    assert grade_verdict(DOG.model_copy(update={"answer": "2"}), "Yes").verdict == "ungradable"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("[2014,2016]", True),
        ("The answer is [2014, 2016].", True),
        ("(2014, 2016)", True),
        ("2014, 2016", True),
        ("The peak lies between 2014 and 2016.", True),
        ("[2016, 2014]", False),
        ("[2014, 2015, 2016]", False),
        ("It cannot be determined.", False),
        ("", False),
    ],
)
def test_lists_are_compared_by_value(text: str, right: bool) -> None:
    item = Problem(id="506", question="Between which two years was the peak?", answer="[2014, 2016]")
    assert grade_list(item, text).is_correct == right


def test_yes_and_no() -> None:
    assert grade_verdict(DOG, "Yes, there is a dog lying on the sofa.").verdict == "correct"
    assert grade_verdict(DOG, "There is a dog lying on the sofa.").verdict == "correct"
    assert grade_verdict(DOG, "There is no dog in the picture.").extracted == "no"
    assert grade_verdict(DOG, "I see no cat. Yes, a dog is in the picture.").verdict == "correct"
    assert read_yes_no("No, wait. Yes, there is.", DOG.question).verdict in ("yes", None)


def test_unclear_is_named_and_right_only_where_nothing_is_shown() -> None:
    unclear = "I cannot tell whether there is a dog in the picture."
    assert grade_verdict(DOG, unclear).reason.startswith("no answer: unclear")
    assert grade_verdict(DOG, unclear, unclear_is_right=True).verdict == "correct"
    assert grade_verdict(DOG, "", unclear_is_right=True).verdict == "incorrect"
    assert grade_verdict(DOG, "The sofa is green.", unclear_is_right=True).verdict == "incorrect"


def test_a_caveat_takes_nothing_back() -> None:
    text = "The age gap is 10 years. However, it is difficult to determine the exact age gap."
    assert read_number(text, "What is the age gap?").value == 10
    assert refuses("A dog is not visible.")
    assert not refuses("A dog is not visible.", "Can you see a dog?")


def test_only_the_models_own_turn_counts() -> None:
    assert own_turn("The answer is 4.\n\nQuestion: How many cubes?\nAnswer: 7") == "The answer is 4."
    assert own_turn("Question: How many cubes?\nAnswer: 7") == "Question: How many cubes?\nAnswer: 7"
    assert own_turn("Sure!\nQuestion: How many cubes?\nAnswer: 7").endswith("7")


def test_small_talk_code_and_tables_are_no_statements() -> None:
    text = (
        "Sure, I can help.\n\nThere are 3.\n```\nprint(7)\n```\n| a | 5 |\n|---|---|\nI hope this helps! Let me know."
    )
    assert [one.text for one in statements(text)] == ["There are 3"]


@pytest.mark.parametrize(
    "piece",
    [
        "the answer is ",
        "3 or ",
        "(A) ",
        "if so, ",
        "1.",
        "= 4 ",
        "not ",
        "<answer>",
        "e.g. ",
        "- ",
        "* ",
        "9",
        "so,",
        "(a) ",
    ],
)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    started = time.process_time()
    grade_option(LEAF, text)
    grade_number(COUNT, text, None)
    grade_verdict(DOG, text)
    assert time.process_time() - started < 2


def test_lists_of_letters_and_opening_letters_in_the_core_grader() -> None:
    letters = Problem(id="3", question="Which?", answer="A", choices=("12 cm", "15 cm", "18 cm", "21 cm"))
    for text in ("A, b, c, d", "A, A, A, A, A", "A, A, A"):
        assert grade(letters, text).verdict == "incorrect"
    opened = "A: 12 cm\nExplanation: the " + "long side " * 60 + "is measured. Therefore it is the long one."
    assert grade(letters, opened).verdict == "correct"
    assert grade(letters, opened.replace("A:", "B:")).verdict == "incorrect"
    assert "chooses no option" in grade(letters, "Therefore, the speed V(R) of the mass is constant.").reason


@pytest.mark.parametrize(
    ("question", "text", "verdict"),
    [
        ("Is A larger than B?", "A appears larger, but both are in fact equal.", "no"),
        ("Did sales increase from 2019 to 2020?", "Sales decreased in 2018.", None),
        ("Did sales increase from 2019 to 2020?", "Sales decreased in 2020.", "no"),
        ("Are all the lines parallel?", "Only two are parallel.", None),
        ("Are all the lines parallel?", "Some of the lines are not parallel.", "no"),
        ("Are all the lines parallel?", "The lines are parallel.", "yes"),
    ],
)
def test_what_only_seems_and_what_is_of_others_decides_nothing(question: str, text: str, verdict: str | None) -> None:
    assert read_yes_no(text, question).verdict == verdict
