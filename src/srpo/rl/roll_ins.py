"""Roll-ins: reflections sampled from wrong first attempts that are given, so that repairs are not left to chance.

Wrong first attempts that are repaired are rare in what a policy samples by itself. A roll-in takes the wrong first
attempt of a group and samples a group of its own from there: the given tokens carry no loss and cost no new tokens, and
what differs within the group is the reflection and what comes of it. (Ours; VRRL, arXiv 2607.02490, takes them from a
buffer of earlier steps.)
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from srpo.core.records import Problem, Sampling
from srpo.policy.decode import sample
from srpo.policy.processor import EncodedPrompt
from srpo.rl.rollout import SampledGroup, Trajectory, TrajectoryGroup

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


class RollIn(NamedTuple):
    """Where a group goes on from."""

    problem: Problem
    prompt: EncodedPrompt
    given: tuple[int, ...]
    """Tokens of the wrong first attempt."""


def wrong_first_attempts(groups: Sequence[TrajectoryGroup], count: int, seed: int) -> list[RollIn]:
    """Up to `count` wrong first attempts, from different groups, chosen at random."""
    rng = random.Random(seed)
    found: list[RollIn] = []
    for group in rng.sample(groups, len(groups)):
        wrong = [one for one in group.trajectories_G if group.is_graded and _is_wrong_and_complete(one)]
        if wrong and len(found) < count:
            chosen = rng.choice(wrong)
            found.append(RollIn(group.problem, group.prompt, chosen.token_ids[: chosen.lengths.first]))
    return found


def sample_onward(
    policy: "Policy", starts: Sequence[RollIn], num_samples: int, sampling: Sampling
) -> list[SampledGroup]:
    """Sample `num_samples` completions that begin with the tokens given by each start."""
    if not starts:
        return []
    completions_P_G = sample(
        policy,
        [start.prompt for start in starts],
        num_samples=num_samples,
        sampling=sampling,
        generator=torch.Generator(device=policy.device).manual_seed(sampling.seed),
        forced=[[start.given] * num_samples for start in starts],
    )
    return [
        SampledGroup(start.problem, start.prompt, completions_G, sampling, len(start.given))
        for start, completions_G in zip(starts, completions_P_G, strict=True)
    ]


def _is_wrong_and_complete(one: Trajectory) -> bool:
    return not one.trace.first_grade.is_correct and 0 < one.lengths.first < len(one.token_ids)
