from collections.abc import Callable

import pytest

from srpo.core.prompts import (
    JUDGE,
    PROMPTS,
    REFINE,
    REVISE,
    Prompt,
    PromptName,
    problem_text,
    prompt_named,
    teacher_prompt,
    teacher_text,
    user_text,
)
from srpo.core.records import Attempt, Problem, Response
from srpo.core.response import parse, parse_attempt
from srpo.models.rubric import read_judgement

FREE = Problem(id="1", question="How many {red} bars? {answer}", answer="7")
CHOICE = Problem(id="2", question="Which one?", answer="B", choices=("a cat", "a dog"))


def test_bare_is_the_question_alone() -> None:
    assert user_text(FREE, "bare") == FREE.question


def test_choices_are_lettered() -> None:
    assert problem_text(CHOICE) == "Which one?\nA. a cat\nB. a dog"


@pytest.mark.parametrize(
    "listing", ["A. a cat B. a dog", "(A) a cat\n(B) a dog", "A: a cat; B: a dog", "A、a cat B、a dog"]
)
def test_choices_that_the_question_lists_are_not_repeated(listing: str) -> None:
    problem = CHOICE.model_copy(update={"question": f"Which one? {listing}"})
    assert problem_text(problem) == problem.question


def test_a_question_that_lists_some_choices_gets_them_all() -> None:
    problem = CHOICE.model_copy(update={"question": "Is it A. a cat or what?"})
    assert problem_text(problem).endswith("\nA. a cat\nB. a dog")


def test_too_many_choices() -> None:
    with pytest.raises(ValueError, match="problem '3' has 27 choices"):
        problem_text(Problem(id="3", question="?", answer="A", choices=tuple(map(str, range(27)))))


def test_unknown_prompt_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown prompt 'reflect'; use one of reflective, single, bare, work"):
        user_text(FREE, "reflect")


def test_every_prompt_has_its_name_and_version() -> None:
    assert {name: prompt.label for name, prompt in PROMPTS.items()} == {
        "reflective": "reflective/v1",
        "single": "single/v1",
        "bare": "bare/v1",
        "work": "work/v1",
    }
    assert all(prompt_named(name).name == name for name in PROMPTS)


@pytest.mark.parametrize(("name", "style"), [("reflective", parse), ("single", parse_attempt)])
def test_prompts_show_the_very_format_that_is_parsed(name: PromptName, style: Callable[[str], object]) -> None:
    """The example in the prompt and the parser must not drift apart."""
    text = user_text(FREE, name)
    end = text.rindex("</answer>") + len("</answer>")
    assert isinstance(style(text[text.index("<think>") : end]), Response | Attempt)
    assert FREE.question in text


@pytest.mark.parametrize(("right", "prompt", "word"), [(True, REFINE, "right answer"), (False, REVISE, "wrong answer")])
def test_teacher_is_told_the_verdict_and_the_gold_and_nothing_twice(right: bool, prompt: Prompt, word: str) -> None:
    problem = FREE.model_copy(update={"answer": r"\frac{7}{2}"})
    text = teacher_text(problem, first_is_correct=right)
    assert text == prompt.template.replace("{answer}", problem.answer)
    assert word in text
    assert f"for your eyes only: {problem.answer}\n" in text
    assert FREE.question not in text
    assert text.index("<reflection>") < text.index("<think>") < text.index("<answer>")


@pytest.mark.parametrize("right", [True, False])
def test_the_form_of_the_paper_asks_for_the_reflection_alone(right: bool) -> None:
    text = teacher_text(FREE, first_is_correct=right, form="paper")
    assert "<reflection>" in text
    assert "<think>" not in text
    assert "for your eyes only: 7" in text
    assert teacher_prompt(right, "paper").label in {"refine-paper/v1", "revise-paper/v1"}


def test_the_judge_is_shown_the_very_score_that_is_read() -> None:
    assert "<score>N</score>" in JUDGE.template
    assert read_judgement("Fine. <score>4</score>") == (4, "Fine.")


@pytest.mark.parametrize("text", ["4", "<score>6</score>", "<score>four</score>", ""])
def test_a_judgement_without_a_score_is_none(text: str) -> None:
    assert read_judgement(text) is None


def test_the_last_score_counts() -> None:
    verdict = read_judgement("Not <score>5</score> but <score> 2 / 5 </score>")
    assert verdict is not None
    assert verdict.score == 2
