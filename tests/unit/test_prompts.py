import pytest

from srpo.core.prompts import PROMPTS, REFINE, REVISE, problem_text, prompt_named, teacher_text, user_text
from srpo.core.records import Attempt, Problem, Response
from srpo.core.response import parse, parse_attempt, render_attempt

FREE = Problem(id="1", question="How many {red} bars? {answer}", answer="7")
CHOICE = Problem(id="2", question="Which one?", answer="B", choices=("a cat", "a dog"))


def test_bare_is_the_question_alone():
    assert user_text(FREE, "bare") == FREE.question


def test_choices_are_lettered():
    assert problem_text(CHOICE) == "Which one?\nA. a cat\nB. a dog"


@pytest.mark.parametrize(
    "listing", ["A. a cat B. a dog", "(A) a cat\n(B) a dog", "A: a cat; B: a dog", "A、a cat B、a dog"]
)
def test_choices_that_the_question_lists_are_not_repeated(listing):
    problem = CHOICE.model_copy(update={"question": f"Which one? {listing}"})
    assert problem_text(problem) == problem.question


def test_a_question_that_lists_some_choices_gets_them_all():
    problem = CHOICE.model_copy(update={"question": "Is it A. a cat or what?"})
    assert problem_text(problem).endswith("\nA. a cat\nB. a dog")


def test_too_many_choices():
    with pytest.raises(ValueError, match="problem '3' has 27 choices"):
        problem_text(Problem(id="3", question="?", answer="A", choices=tuple(map(str, range(27)))))


def test_unknown_prompt_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown prompt 'reflect'; use one of reflective, single, bare"):
        user_text(FREE, "reflect")


def test_every_prompt_has_its_name_and_version():
    assert {name: prompt.label for name, prompt in PROMPTS.items()} == {
        "reflective": "reflective/v1",
        "single": "single/v1",
        "bare": "bare/v1",
    }
    assert all(prompt_named(name).name == name for name in PROMPTS)


@pytest.mark.parametrize(("name", "style"), [("reflective", parse), ("single", parse_attempt)])
def test_prompts_show_the_very_format_that_is_parsed(name, style):
    """The example in the prompt and the parser must not drift apart."""
    text = user_text(FREE, name)
    end = text.rindex("</answer>") + len("</answer>")
    assert isinstance(style(text[text.index("<think>") : end]), Response | Attempt)
    assert FREE.question in text


@pytest.mark.parametrize(("right", "prompt", "word"), [(True, REFINE, "right answer"), (False, REVISE, "wrong answer")])
def test_teacher_sees_problem_attempt_and_gold(right, prompt, word):
    attempt = Attempt(think="3+{4}", answer="8")
    text = teacher_text(FREE, attempt, first_is_correct=right)
    assert text == prompt.template.format(problem=FREE.question, attempt=render_attempt(attempt), answer="7")
    assert word in text
    assert render_attempt(attempt) in text
    assert "for your eyes only: 7" in text
    assert "<reflection>" in text
