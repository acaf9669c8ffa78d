"""Roll-ins: reflections sampled from wrong first attempts that are given, so that repairs are not left to chance.

Wrong first attempts that are repaired are rare in what a policy samples by itself. A roll-in takes the wrong first
attempt of a group and samples a group of its own from there: the given tokens carry no loss and cost no new tokens, and
what differs within the group is the reflection and what comes of it. (Ours; VRRL, arXiv 2607.02490, takes them from a
buffer of earlier steps.)
"""

import random
from collections.abc import Sequence

from srpo.rl.rollout import Trajectory, TrajectoryGroup
from srpo.rl.sampler import Start


def wrong_first_attempts(groups: Sequence[TrajectoryGroup], count: int, seed: int) -> list[Start]:
    """Up to `count` wrong first attempts, from different groups, chosen at random."""
    rng = random.Random(seed)
    found: list[Start] = []
    for group in rng.sample(groups, len(groups)):
        wrong = [one for one in group.trajectories_G if group.is_graded and _is_wrong_and_complete(one)]
        if wrong and len(found) < count:
            chosen = rng.choice(wrong)
            found.append(Start(group.problem, group.prompt, chosen.token_ids[: chosen.lengths.first]))
    return found


def _is_wrong_and_complete(one: Trajectory) -> bool:
    return not one.trace.first_grade.is_correct and 0 < one.lengths.first < len(one.token_ids)
