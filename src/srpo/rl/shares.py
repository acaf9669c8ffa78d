"""What one of several processes does of a step's sampling: its share of the starts, with the numbers of one process.

A process alone has all of them. Rows are drawn with the random numbers that they would have among all rows of the call,
so neither the number of processes nor pictures that cannot be read change which numbers a response gets.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from srpo.core.records import Problem
from srpo.policy.prompts import PromptEncoder
from srpo.policy.team import Team
from srpo.policy.vision import MOST_SEEN_BYTES, features_bytes, see
from srpo.rl.problems import readable
from srpo.rl.rollout import TrajectoryGroup
from srpo.rl.sampler import Start
from srpo.rl.trainer import RlTrainer
from srpo.runs.progress import note


class StartShare(NamedTuple):
    """Starts of this process among those of all."""

    starts_P: list[Start]
    before: int
    """Starts of the processes before this one."""
    whole: int
    """Starts of all."""


def readable_share(trainer: RlTrainer, encoder: PromptEncoder, problems: Sequence[Problem]) -> StartShare:
    """This process's share of the problems, with their prompts; those that cannot be read are named."""
    said: list[str] = []
    own_P = readable(encoder, trainer.team.share(problems), say=said.append)
    found = trainer.team.gather((len(own_P), said))
    for text in (text for _, texts in found for text in texts):
        note(text)
    counts = [count for count, _ in found]
    return StartShare(own_P, sum(counts[: trainer.team.rank]), sum(counts))


def share_of(trainer: RlTrainer, starts_P: Sequence[Start]) -> StartShare:
    """This process's share of starts that all have; ValueError where they do not."""
    own_P = trainer.team.share(starts_P)
    found = trainer.team.gather((len(own_P), len(starts_P)))
    counts = [count for count, _ in found]
    if any(whole != sum(counts) for _, whole in found):
        raise ValueError("some of the processes cannot read pictures that others read; give all the same files")
    return StartShare(own_P, sum(counts[: trainer.team.rank]), sum(counts))


def rows_among(trainer: RlTrainer, share: StartShare, num_samples: int) -> tuple[int, int] | None:
    """Where a share's rows stand among those of all; None where there are no others."""
    return (share.before * num_samples, share.whole * num_samples) if trainer.team.size > 1 else None


def joined(trainer: RlTrainer, own_P: list[TrajectoryGroup]) -> list[TrajectoryGroup]:
    """The groups of all processes, in order."""
    return [group for found in trainer.team.gather(own_P) for group in found]


def seen(trainer: RlTrainer, starts_P: Sequence[Start], groups: Sequence[TrajectoryGroup]) -> list[Start]:
    """The starts with what a frozen tower makes of their pictures, beside what the step's earlier groups have of it."""
    # A roll-in shares its prompt with the group that it is from.
    kept = {id(group.prompt): features_bytes(group.prompt.features) for group in groups}
    room = (MOST_SEEN_BYTES - sum(kept.values())) / trainer.team.size
    prompts_P = see(trainer.policy, [start.prompt for start in starts_P], room)
    return [start._replace(prompt=prompt) for start, prompt in zip(starts_P, prompts_P, strict=True)]


def learned_share(team: Team, groups_P: Sequence[TrajectoryGroup]) -> list[TrajectoryGroup]:
    """What of a minibatch this process learns from: neighbouring responses, about as many tokens as the others.

    A group of which several processes have a part is cut; each computes its prompt.
    """
    if team.size == 1:
        return list(groups_P)
    costs_P_G = [
        [len(one.token_ids) + group.prompt.num_tokens / len(group.trajectories_G) for one in group.trajectories_G]
        for group in groups_P
    ]
    own_P = cut_between(costs_P_G, team.size)[team.rank]
    return [
        replace(group, trajectories_G=group.trajectories_G[own])
        for group, own in zip(groups_P, own_P, strict=True)
        if own.start < own.stop
    ]


def cut_between(costs_P_G: Sequence[Sequence[float]], size: int) -> list[list[slice]]:
    """For each of `size` processes, the responses of each group that it has; about equal sums of costs.

    >>> cut_between([[1, 1, 1, 1], [2, 2]], 2)
    [[slice(0, 4, None), slice(0, 0, None)], [slice(0, 0, None), slice(0, 2, None)]]
    >>> cut_between([[3, 1, 2]], 2)
    [[slice(0, 1, None)], [slice(1, 3, None)]]
    """
    total, before, found = sum(map(sum, costs_P_G)), 0.0, []
    owners_P_G: list[list[int]] = []
    for costs_G in costs_P_G:
        owners_G = []
        for cost in costs_G:
            owners_G.append(min(size - 1, int((before + cost / 2) * size / total)))
            before += cost
        owners_P_G.append(owners_G)
    for rank in range(size):
        counts_P = [(bisect_left(owners_G, rank), bisect_right(owners_G, rank)) for owners_G in owners_P_G]
        found.append([slice(begin, end) if begin < end else slice(0, 0) for begin, end in counts_P])
    return found
