"""The probe inside a run: what another picture does to first attempt, reflection and second attempt."""

from dataclasses import replace

import pytest
import torch

from srpo.core.records import Origin, Problem, TokenCounts, Trace
from srpo.core.response import parse
from srpo.grading import RULES_ONLY
from srpo.policy.policy import Policy, first_attempt_tokens
from srpo.policy.vision_check import image_changes
from srpo.rl.probe import probe
from srpo.rl.rollout import Rollout, Trajectory, TrajectoryGroup
from tests.support.pictures import picture
from tests.support.responses import reflective


def group(policy: Policy, number: int, text: str) -> TrajectoryGroup:
    problem = Problem(id=str(number), question="How many bars?", answer="7", images=(f"{number}.png",))
    token_ids = tuple(policy.encode_text(text))
    first = first_attempt_tokens(policy, token_ids, text) or 0
    trace = Trace.of(
        RULES_ONLY.grade_response(problem, text, "reflective"),
        origin=Origin(stage="rl", model="m"),
        problem=problem,
        text=text,
        style="reflective",
        tokens=TokenCounts(prompt=9, total=len(token_ids), first=first),
    )
    one = Trajectory(token_ids=token_ids, logprobs=(-1.0,) * len(token_ids), trace=trace)
    prompt = policy.encode(problem.question, [picture(number)])
    return TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=(one,))


def rollout(*groups: TrajectoryGroup) -> Rollout:
    return Rollout(list(groups), [True] * len(groups), 0)


def test_each_part_has_the_mean_of_its_own_tokens(tiny_policy: Policy) -> None:
    groups = [group(tiny_policy, number, reflective("5", "7", "I see 7")) for number in (1, 2)]
    found = probe(tiny_policy, rollout(*groups))
    texts = [[one.token_ids for one in each.trajectories_G] for each in groups]
    changes = torch.stack(image_changes(tiny_policy, [each.prompt for each in groups], texts)).mean(dim=0)
    lengths = groups[0].trajectories_G[0].lengths
    reflected = reflective("5", "7", "I see 7").partition("</reflection>")[0] + "</reflection>"
    begin = len(tiny_policy.encode_text(reflected)) - 1
    parts = {"first": changes[: lengths.first], "reflection": changes[lengths.first : begin]}
    for name, part in {**parts, "second": changes[begin:]}.items():
        assert found[f"rl/probe/{name}"] == pytest.approx(float(part.mean()), rel=1e-4), name
        assert found[f"rl/probe/{name}"] > 0


def test_a_policy_that_does_not_see_moves_nothing(tiny_policy: Policy) -> None:
    with torch.no_grad():
        tiny_policy.model.model.visual.merger.mlp[-1].weight.zero_()
    groups = [group(tiny_policy, number, reflective("5", "7", "I see 7")) for number in (1, 2)]
    assert max(probe(tiny_policy, rollout(*groups)).values()) < 1e-5


def test_what_cannot_be_taken_apart_or_has_no_partner_is_left_out(tiny_policy: Policy) -> None:
    good = group(tiny_policy, 1, reflective("5", "7", "I see 7"))
    broken = group(tiny_policy, 2, "<think>so</think><answer>7</answer>")
    blind = replace(good, problem=good.problem.model_copy(update={"images": ()}))
    assert not hasattr(parse(broken.traces[0].text), "reflection")
    assert probe(tiny_policy, rollout(good, broken, blind)) == {}
