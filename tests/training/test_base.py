"""The recipe of the tiny base model: what it teaches is true, how it learns is right, what ships has the skills."""

import itertools
from pathlib import Path

import pytest
import torch

from srpo.core.records import Attempt
from srpo.core.response import parse_attempt
from srpo.data.drawn import FAMILIES, drawn_problems, scene_of
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from srpo.tiny.base import BaseConfig, Phase, learn, load_pictures, measure_skills, pretrain
from srpo.tiny.curriculum import Mix, check_item, drill_items, items, practice_item, work_item

EVERYTHING = Mix(describe=1, practice=1, guess=1, drill=1, check=1, work=1)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy("tiny-base", freeze_vision=False)


def test_every_kind_of_item_comes_up_and_the_same_seed_gives_the_same_items() -> None:
    drawn = list(itertools.islice(items(EVERYTHING, "a", shuffled=True), 400))
    assert {item.kind for item in drawn} == {"describe", "practice", "guess", "read", "add", "compare", "check", "work"}
    assert drawn == list(itertools.islice(items(EVERYTHING, "a", shuffled=True), 400))
    assert drawn != list(itertools.islice(items(EVERYTHING, "b", shuffled=True), 400))


@pytest.mark.parametrize("family", FAMILIES)
def test_checks_say_yes_to_the_gold_alone_and_work_ends_in_it(family: str) -> None:
    import random

    rng = random.Random(0)
    verdicts = set()
    for problem in drawn_problems("train", families=(family,), count=40, seed=5):
        item = check_item(problem, rng)
        claim = item.question.removeprefix("Is ").partition(" right?")[0]
        verdict = item.completion.endswith("<answer>yes</answer>")
        verdicts.add(verdict)
        if family == "pairs":  # in either order
            assert verdict == (set(claim.split()) == set(problem.answer.split()))
        else:
            assert verdict == (claim == problem.answer)
        work = parse_attempt(work_item(problem).completion)
        assert isinstance(work, Attempt)
        assert work.answer == problem.answer
        assert work.think.splitlines() == list(scene_of(problem.images[0]).solve())
        for drill in drill_items(problem):
            answered = parse_attempt(drill.completion)
            assert isinstance(answered, Attempt)
            assert answered.answer
    assert verdicts == {True, False}


def test_practice_calculates_and_compares_truly() -> None:
    import random

    rng = random.Random(1)
    for _ in range(60):
        attempt = parse_attempt(practice_item(rng).completion)
        assert isinstance(attempt, Attempt)
        for line in attempt.think.splitlines():
            if " vs " in line:
                both, _, verdict = line.partition(": ")
                one, two = both.split(" vs ")
                assert (one == two) == (verdict == "yes")
            else:
                term, _, result = line.partition("=")
                assert eval(term.replace("x", "*")) == int(result)


def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(policy: Policy) -> None:
    batch = list(itertools.islice(items(EVERYTHING, "c", shuffled=False), 12))
    policy.model.zero_grad()
    loss = learn(policy, batch, micro_batch=5)
    in_parts = {name: weight.grad.clone() for name, weight in policy.model.named_parameters()}
    policy.model.zero_grad()
    prompts = policy.encode_many([(item.question, load_pictures(item)) for item in batch])
    scored = completion_logprobs(policy, prompts, [[policy.encode_text(item.completion)] for item in batch])
    whole = -(scored.logprobs_B_T * scored.mask_B_T).sum() / scored.mask_B_T.sum()
    whole.backward()
    assert loss == pytest.approx(whole.item(), abs=1e-5)
    for name, weight in policy.model.named_parameters():
        assert torch.allclose(weight.grad, in_parts[name], atol=1e-5), name
    policy.model.zero_grad()


@pytest.mark.slow
def test_two_workers_make_the_same_model_twice(tmp_path: Path) -> None:
    config = BaseConfig(
        steps=3, batch_size=8, stages=(Phase(0.5, Mix(describe=1, check=1)), Phase(1.0, Mix(practice=1)))
    )
    first, second = (load_policy(str(pretrain(config, tmp_path / name, workers=2))) for name in "ab")
    for (name, one), two in zip(first.model.named_parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two), name


def test_a_batch_that_workers_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 cannot be shared by 3"):
        pretrain(BaseConfig(), tmp_path, workers=3)


def test_the_shipped_base_has_the_skills_that_checking_needs(policy: Policy) -> None:
    skills = measure_skills(policy, num_problems=100)
    assert skills["add"] > 0.95
    assert skills["compare"] > 0.95
    # What it does not read well are shapes, mazes and handwriting: its genuine errors.
    assert min(skills[f"read/{family}"] for family in ("area", "bars", "clock", "pairs", "weights")) > 0.95
