"""How much is learned from at one time: whole groups together, or a group in parts. It changes memory, not the result.

A number of tokens says it best, for groups are of any length: prompts and responses that are learned from together may
have `micro_tokens`, and where one group has more, its responses are taken a few at a time. Where the config says
nothing, a CPU takes `CPU_TOKENS`, beyond which it is no faster, and a GPU what the memory plan finds room for
(`rl/memory.py`).
"""

from collections.abc import Sequence

import torch

from srpo.rl.config import RlConfig
from srpo.rl.rollout import TrajectoryGroup

CPU_TOKENS = 8192
"""Tokens that a CPU learns from at one time."""


def is_free(config: RlConfig) -> bool:
    """Whether the config leaves it to us."""
    return config.micro_tokens is config.micro_prompts is config.micro_responses is None


def most_tokens(config: RlConfig, device: torch.device) -> int | None:
    """Tokens of a piece; None where numbers of groups or responses alone say how large one is."""
    return CPU_TOKENS if is_free(config) and device.type == "cpu" else config.micro_tokens


def num_tokens(group: TrajectoryGroup) -> int:
    """Tokens of the prompt, once, and of all responses."""
    return group.prompt.num_tokens + sum(len(one.token_ids) for one in group.trajectories_G)


def learned_together(
    groups_P: Sequence[TrajectoryGroup], config: RlConfig, device: torch.device
) -> list[list[TrajectoryGroup]]:
    """Neighbouring groups, as many as may be learned from at one time; at least one."""
    room, most = most_tokens(config, device), config.micro_prompts or len(groups_P)
    pieces: list[list[TrajectoryGroup]] = []
    total = 0
    for group in groups_P:
        size = num_tokens(group)
        if not pieces or len(pieces[-1]) >= most or (room is not None and total + size > room):
            pieces.append([])
            total = 0
        pieces[-1].append(group)
        total += size
    return pieces


def response_tokens(groups_P: Sequence[TrajectoryGroup], config: RlConfig, device: torch.device) -> int | None:
    """Tokens that responses of a piece may have at one time, beside its prompts; None for all."""
    room = most_tokens(config, device)
    return None if room is None else max(1, room - sum(group.prompt.num_tokens for group in groups_P))
