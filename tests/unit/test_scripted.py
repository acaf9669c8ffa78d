"""The scripted teacher: its lessons are true, readable, and cover right and wrong attempts."""

import itertools

import pytest

from srpo.core.records import Attempt, Problem, Response, Sampling
from srpo.core.response import parse, render, render_attempt
from srpo.data.drawn import FAMILIES, drawn_problems
from srpo.models.protocol import Message, Request
from srpo.models.scripted import ScriptedTeacher, first_attempt, long_attempt, teach


@pytest.mark.parametrize("family", FAMILIES)
def test_a_right_attempt_is_kept_and_a_wrong_one_corrected(family: str) -> None:
    problems = drawn_problems("train", families=(family,), count=30, seed=11)
    for problem, other in itertools.pairwise(problems):
        right, wrong = (
            teach(problem, first_attempt(problem, problem.answer)),
            teach(problem, first_attempt(problem, f"{other.answer} 0")),
        )
        assert right.reflection.endswith("so right")
        assert wrong.reflection.endswith("so wrong")
        assert right.second.answer == wrong.second.answer == problem.answer
        response = Response(first=first_attempt(problem, "x"), reflection=wrong.reflection, second=wrong.second)
        assert parse(render(response)) == response


def test_the_reflection_names_what_the_picture_shows() -> None:
    problem = drawn_problems("train", families=("bars",), count=1, seed=12)[0]
    lesson = teach(problem, first_attempt(problem, "99"))
    assert f"{problem.answer} vs 99: no" in lesson.reflection


def test_it_answers_requests_behind_the_generator_protocol() -> None:
    problems = drawn_problems("train", count=10, seed=13)
    requests = [
        Request(
            problem=problem,
            messages=(
                Message(role="user", text=problem.question),
                Message(role="assistant", text=render_attempt(first_attempt(problem, problem.answer))),
                Message(role="user", text="Check it."),
            ),
        )
        for problem in problems
    ]
    replies = ScriptedTeacher().generate(requests, Sampling())
    for request, (reply,) in zip(requests, replies, strict=True):
        whole = parse(request.messages[1].text + reply.text)
        assert isinstance(whole, Response)
        assert whole.second.answer == request.problem.answer


def test_problems_of_others_and_unreadable_attempts_are_refused_by_name() -> None:
    own = Problem(id="photo-7", question="How many?", answer="3", images=("photo.png",))
    with pytest.raises(ValueError, match="photo-7"):
        teach(own, Attempt(think="", answer="3"))
    drawn = drawn_problems("train", count=1, seed=14)[0]
    for messages in ((), (Message(role="assistant", text="<think>no answer"),)):
        with pytest.raises(ValueError, match=drawn.id):
            ScriptedTeacher().generate([Request(problem=drawn, messages=messages)], Sampling())


def test_a_long_attempt_reaches_the_answer() -> None:
    for problem in drawn_problems("train", count=20, seed=15):
        attempt = long_attempt(problem)
        assert attempt.answer == problem.answer
        assert problem.answer in attempt.think
