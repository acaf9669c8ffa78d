"""Recombined groups: what may follow a first attempt, in which numbers, and how it is scored."""

from pathlib import Path

import pytest
import torch

from srpo.core.records import Attempt, Grade, Response, Sampling, TokenCounts
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from srpo.policy.prompts import PromptEncoder
from srpo.rl.metrics import rollout_metrics
from srpo.rl.recombine import recombined_groups
from srpo.rl.rollout import Trajectory, TrajectoryGroup, add_advantages
from srpo.rl.train import choose_traces, collect
from tests.support.training import problems, rl_config, trace
from tests.training.test_roll_ins import trainer

SAMPLING = Sampling(max_tokens=400)


def response(policy: Policy, claim: str, note: str, final: str, gold: str = "9") -> Trajectory:
    """First answer `claim`, a reflection that says `note`, second answer `final`."""
    first = f"<think>a</think><answer>{claim}</answer>"
    text = f"{first}<reflection>{note}</reflection><think>b</think><answer>{final}</answer>"
    tokens, num_first = tuple(policy.encode_text(text)), len(policy.encode_text(first)) - 1

    def grade(answer: str) -> Grade:
        return Grade(verdict="correct" if answer == gold else "incorrect", extracted=answer, reason="")

    parsed = Response(first=Attempt(think="a", answer=claim), reflection=note, second=Attempt(think="b", answer=final))
    changes = {
        "parsed": parsed,
        "first_grade": grade(claim),
        "final_grade": grade(final),
        "tokens": TokenCounts(prompt=9, first=num_first, total=len(tokens)),
    }
    made = trace(problems()[0], claim).model_copy(update=changes)
    return Trajectory(token_ids=tokens, logprobs=(-1.0,) * len(tokens), trace=made)


def group(policy: Policy, *found: Trajectory) -> TrajectoryGroup:
    (prompt,) = PromptEncoder(policy, "bare", size=8, max_pixels=None).encode_all([problems()[0]])
    return TrajectoryGroup(problem=problems()[0], prompt=prompt, trajectories_G=found)


def test_what_follows_is_about_the_same_answer_and_half_of_it_right(tiny_policy: Policy) -> None:
    made = group(
        tiny_policy,
        response(tiny_policy, "22", "one", "9"),
        response(tiny_policy, "22", "two", "8"),
        response(tiny_policy, "22", "three", "8"),
        response(tiny_policy, "23", "another claim", "9"),
        response(tiny_policy, "9", "right at first", "9"),
    )
    for seed in range(8):
        (found,) = recombined_groups([made], 3, 8, SAMPLING.model_copy(update={"seed": seed}))
        texts = [tiny_policy.decode(one.token_ids) for one in found.completions_G]
        given = tiny_policy.decode(found.completions_G[0].token_ids[: found.num_given])
        assert given == "<think>a</think><answer>22</answer>"
        assert all(text.startswith(given) for text in texts)
        right, wrong = texts
        assert "one" in right
        assert right.endswith("<answer>9</answer>")
        assert "two" in wrong or "three" in wrong
        assert wrong.endswith("<answer>8</answer>")


def test_the_group_has_as_many_right_as_wrong_and_no_more_than_its_size(tiny_policy: Policy) -> None:
    right = [response(tiny_policy, "22", f"r{index}", "9") for index in range(5)]
    wrong = [response(tiny_policy, "22", f"w{index}", "8") for index in range(3)]
    made = group(tiny_policy, *right, *wrong)
    (found,) = recombined_groups([made], 1, 8, SAMPLING)
    finals = ["<answer>9</answer>" in tiny_policy.decode(one.token_ids) for one in found.completions_G]
    assert finals == [True] * 3 + [False] * 3
    (small,) = recombined_groups([made], 1, 4, SAMPLING)
    assert len(small.completions_G) == 4
    assert len(recombined_groups([made] * 5, 2, 8, SAMPLING)) == 2
    assert recombined_groups([made], 1, 8, SAMPLING) == [found]


def test_any_other_wrong_answer_may_be_reflected_upon_where_that_is_asked_for(tiny_policy: Policy) -> None:
    made = group(
        tiny_policy,
        response(tiny_policy, "22", "one", "9"),
        response(tiny_policy, "23", "two", "8"),
        response(tiny_policy, "24", "three", "7"),
        response(tiny_policy, "9", "right at first", "9"),
    )
    assert recombined_groups([made], 1, 8, SAMPLING) == []
    (found,) = recombined_groups([made], 1, 8, SAMPLING, any_claim=True)
    right, wrong = (tiny_policy.decode(one.token_ids) for one in found.completions_G)
    given = tiny_policy.decode(found.completions_G[0].token_ids[: found.num_given])
    assert given in {f"<think>a</think><answer>{claim}</answer>" for claim in ("23", "24")}
    assert "one" in right
    assert ("three" if "23" in given else "two") in wrong
    assert right.startswith(given)
    assert wrong.startswith(given)
    with pytest.raises(ValueError, match="recombine_any says what is recombined, and nothing is"):
        rl_config(Path("m"), recombine_any=True)


@pytest.mark.parametrize("finals", ["999", "888", "98"])
def test_nothing_is_made_where_there_is_no_pair(tiny_policy: Policy, finals: str) -> None:
    # A response is never put behind its own first attempt, so that nothing counts twice.
    made = group(tiny_policy, *(response(tiny_policy, "22", "x", final) for final in finals))
    assert recombined_groups([made], 1, 8, SAMPLING) == []


def test_what_would_be_longer_than_a_response_may_be_is_left_out(tiny_policy: Policy) -> None:
    short = [response(tiny_policy, "22", "x", final) for final in "998"]
    long = response(tiny_policy, "22", "x" * 60, "8")
    limit = Sampling(max_tokens=len(short[0].token_ids))
    assert recombined_groups([group(tiny_policy, *short[:2], long)], 1, 8, limit) == []
    assert len(recombined_groups([group(tiny_policy, *short, long)], 1, 8, limit)) == 1


def test_a_step_scores_them_anew_and_generates_nothing_for_them() -> None:
    policy = load_policy("tiny-base")
    made = trainer(policy, recombine=0.5, group_size=4, max_refills=0)
    rollout = collect(made, step=1)
    again = [found for found in rollout.groups if found.is_recombined]
    own = [found for found in rollout.groups if not found.is_recombined]
    assert len(own) == 4
    assert 1 <= len(again) <= 2
    for found in again:
        tokens_G = [one.token_ids for one in found.trajectories_G]
        with torch.no_grad():
            expected = completion_logprobs(policy, [found.prompt], [tokens_G]).logprobs_B_T
        for one, row in zip(found.trajectories_G, expected.tolist(), strict=True):
            assert one.logprobs == pytest.approx(row[: len(one.token_ids)], abs=1e-4)
            assert one.num_given == len(one.token_ids)
            assert 0 < one.num_masked < len(one.token_ids)
        finals = [one.trace.final_grade.is_correct for one in found.trajectories_G]
        assert sum(finals) == len(finals) / 2
    assert rollout.num_tokens == sum(len(one.token_ids) for found in own for one in found.trajectories_G)
    metrics = rollout_metrics(rollout)
    assert (metrics["rl/groups/sampled"], metrics["rl/recombined/groups"]) == (4, len(again))
    assert "rl/recombined/shift" in metrics
    assert "rl/roll_ins/groups" not in metrics
    assert len(choose_traces(rollout, 1, 99)) == sum(len(found.traces) for found in rollout.groups[:4])
    learned = [found for found in add_advantages(rollout, made.config).kept if found.is_recombined]
    for found in learned:
        for one in found.trajectories_G:
            assert (one.advantages[-1] > 0) == one.trace.final_grade.is_correct
