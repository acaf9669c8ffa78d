"""Drawn problems: right by construction, reproducible, and disjoint between splits."""

import random

import pytest

from srpo.data.drawn import FAMILIES, LEVELS, draw_problem, drawn_problems, render_ref, scene_of
from srpo.data.drawn.handwriting import digit_image
from srpo.data.drawn.splits import split_of
from srpo.grading import grade


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", LEVELS)
def test_a_check_confirms_the_gold_answer_and_no_other(family: str, level: int) -> None:
    problems = drawn_problems("train", families=(family,), levels=(level,), count=40, seed=1)
    answers = {problem.answer for problem in problems}
    for problem in problems:
        scene = scene_of(problem.images[0])
        assert scene.check(problem.answer).right
        for other in answers:
            if sorted(other.split()) == sorted(problem.answer.split()) and family == "pairs":
                continue  # the same two bars, named from the other side
            if other == problem.answer:
                continue
            assert not scene.check(other).right, f"{problem.id}: {other} instead of {problem.answer}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_working_ends_with_the_answer(family: str) -> None:
    for problem in drawn_problems("dev", families=(family,), count=20, seed=2):
        last = scene_of(problem.images[0]).solve()[-1]
        assert problem.answer in last, f"{problem.id}: {last!r} does not hold {problem.answer!r}"


@pytest.mark.parametrize("family", FAMILIES)
def test_gold_answers_grade_themselves(family: str) -> None:
    for problem in drawn_problems("train", families=(family,), count=10, seed=3):
        assert grade(problem, problem.answer).is_correct, problem.id
        assert grade(problem, "purple elephants").verdict == "incorrect", problem.id


@pytest.mark.parametrize("claim", ["", "99", "red and red", "right right right right", "no such thing", "\x00"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_senseless_claim_is_refuted_in_words(family: str, claim: str) -> None:
    for problem in drawn_problems("train", families=(family,), count=4, seed=4):
        check = scene_of(problem.images[0]).check(claim)
        assert not check.right
        assert check.lines
        assert all(check.lines)


def test_splits_share_no_problem() -> None:
    keys = {
        split: {f"{p.family}|{scene_of(p.images[0]).key}" for p in drawn_problems(split, count=400, seed=5)}
        for split in ("train", "dev", "test")
    }
    assert all(len(found) == 400 for found in keys.values())
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["dev"]
    assert not keys["dev"] & keys["test"]


def test_the_same_seed_draws_the_same_problems_and_pictures() -> None:
    once, twice = (drawn_problems("dev", count=30, seed=6) for _ in range(2))
    assert once == twice
    assert drawn_problems("dev", count=30, seed=7) != once
    for problem in once:
        assert render_ref(problem.images[0]).tobytes() == render_ref(problem.images[0]).tobytes()
        assert render_ref(problem.images[0]).size == (84, 84)


def test_pictures_of_different_problems_differ() -> None:
    problems = drawn_problems("train", count=200, seed=8)
    by_question: dict[str, set[bytes]] = {}
    for problem in problems:
        pictures = by_question.setdefault(problem.question + problem.answer, set())
        picture = render_ref(problem.images[0]).tobytes()
        assert picture not in pictures, f"{problem.id} looks like another problem with the same question"
        pictures.add(picture)


def test_chance_is_what_a_blind_guesser_among_the_answers_reaches() -> None:
    for family in ("maze", "pairs", "weights", "oddone"):
        problems = drawn_problems("train", families=(family,), levels=(1,), count=600, seed=9)
        chance = problems[0].chance
        assert chance is not None
        common = max(sum(p.answer == a for p in problems) for a in {p.answer for p in problems}) / len(problems)
        assert common < chance * 1.6 + 0.03, f"{family}: the most common answer is right {common:.2f}"


def test_writers_of_training_and_held_out_digits_differ() -> None:
    train = {digit_image(v, held_out=False, pick=k / 200).tobytes() for v in range(10) for k in range(200)}
    held_out = {digit_image(v, held_out=True, pick=k / 200).tobytes() for v in range(10) for k in range(200)}
    assert len(train) > 1000
    assert len(held_out) > 300
    assert not train & held_out


def test_drawing_one_problem_keeps_to_its_split() -> None:
    rng = random.Random(10)
    for family in FAMILIES:
        problem = draw_problem("test", family, 2, rng)
        assert split_of(scene_of(problem.images[0])) == "test"


@pytest.mark.parametrize(
    ("ref", "named"),
    [("drawn:cubes/1/5", "cubes"), ("drawn:bars/7/5", "level 7"), ("drawn:bars/1", "bars/1"), ("bars/1/5", "bars/1/5")],
)
def test_a_malformed_reference_is_named(ref: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        scene_of(ref)


def test_unknown_families_levels_splits_and_exhausted_families_are_errors() -> None:
    with pytest.raises(ValueError, match="cubes"):
        drawn_problems("train", families=("cubes",), count=1)
    with pytest.raises(ValueError, match="unknown levels"):
        drawn_problems("train", levels=(3,), count=1)
    with pytest.raises(ValueError, match="unknown split"):
        drawn_problems("validation", count=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ask for fewer"):
        drawn_problems("test", families=("clock",), levels=(1,), count=1000)
