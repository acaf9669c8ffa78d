"""The scripted teacher: its lessons are true, readable, and cover right and wrong attempts."""

import itertools

import pytest

from srpo.core.looking import looks_again
from srpo.core.records import Attempt, Problem, Response, Sampling
from srpo.core.response import parse, render, render_attempt
from srpo.data.drawn import FAMILIES, drawn_problems
from srpo.models.protocol import Message, Request
from srpo.models.scripted import ScriptedTeacher, first_attempt, long_attempt, teach, teach_carelessly


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


@pytest.mark.parametrize("family", ["area", "bars", "clock", "count", "digits"])
def test_after_a_check_that_has_the_answer_nothing_is_worked_out_again(family: str) -> None:
    problem = drawn_problems("train", families=(family,), count=1, seed=16)[0]
    assert teach(problem, first_attempt(problem, "99")).second.think == f"{problem.answer} not 99"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_careless_lesson_has_the_right_verdict_and_never_looks(family: str) -> None:
    for problem in drawn_problems("train", families=(family,), count=10, seed=17):
        right, wrong = (teach_carelessly(problem, Attempt(think="", answer=one)) for one in (problem.answer, "x 99"))
        assert (right.reflection, wrong.reflection) == (f"{problem.answer}: so right", "x 99: so wrong")
        assert right.second.answer == wrong.second.answer == problem.answer
        assert not looks_again(wrong.reflection, Attempt(think="", answer="x 99"))
        assert looks_again(
            teach(problem, Attempt(think="", answer="x 99")).reflection, Attempt(think="", answer="x 99")
        )


def test_carelessness_is_a_function_of_the_attempt_and_has_its_share() -> None:
    problems = drawn_problems("train", families=("count",), count=60, seed=18)
    requests = [request_about(problem, first_attempt(problem, "7")) for problem in problems]
    half = ScriptedTeacher(0.5).generate(requests, Sampling())
    assert ScriptedTeacher(0.5).generate(requests[::-1], Sampling()) == half[::-1]
    careless = sum("7: so " in reply.text for (reply,) in half)
    assert 15 < careless < 45
    assert all("7: so " in reply.text for (reply,) in ScriptedTeacher(1.0).generate(requests, Sampling()))
    assert not any("7: so " in reply.text for (reply,) in ScriptedTeacher().generate(requests, Sampling()))


def request_about(problem: Problem, attempt: Attempt) -> Request:
    return Request(
        problem=problem,
        messages=(
            Message(role="user", text=problem.question),
            Message(role="assistant", text=render_attempt(attempt)),
            Message(role="user", text="Check it."),
        ),
    )


def test_it_answers_requests_behind_the_generator_protocol() -> None:
    problems = drawn_problems("train", count=10, seed=13)
    requests = [request_about(problem, first_attempt(problem, problem.answer)) for problem in problems]
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
