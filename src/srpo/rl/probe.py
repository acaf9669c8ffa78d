"""Visual reliance during a run: how far other pictures move what the policy wrote, part by part.

The short form of `srpo eval --probe swap`. Nothing is sampled for it: the step's own responses are scored a second time
behind another problem's picture. Metrics are mean absolute changes of log-probabilities, in nats a token, under
`rl/probe/first`, `rl/probe/reflection` and `rl/probe/second`. A reflection that is as likely under a wrong picture as
under its own does not look.
"""

from typing import TYPE_CHECKING

from srpo.core.records import Response
from srpo.core.statistics import mean
from srpo.policy.vision_check import image_changes
from srpo.rl.rollout import Rollout, Trajectory
from srpo.rl.trainer import RlTrainer

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

_END = "</reflection>"


def probe_if_due(trainer: RlTrainer, rollout: Rollout, step: int) -> dict[str, float]:
    """Measure on one response of each group; nothing between measurements."""
    every = trainer.config.probe_every
    if every is None or step % every:
        return {}
    with trainer.timer("probe"):
        return probe(trainer.policy, rollout)


def probe(policy: "Policy", rollout: Rollout) -> dict[str, float]:
    """The metrics; none where fewer than two groups have a picture and a response in the right format."""
    found = [
        (group.prompt, next((one for one in group.trajectories_G if isinstance(one.trace.parsed, Response)), None))
        for group in rollout.groups
        if group.problem.images and not group.is_roll_in
    ]
    chosen = [(prompt, one) for prompt, one in found if one is not None]
    if len(chosen) < 2:
        return {}
    changes = image_changes(policy, [prompt for prompt, _ in chosen], [[one.token_ids] for _, one in chosen])
    parts: dict[str, list[float]] = {"first": [], "reflection": [], "second": []}
    for (_, one), change_T in zip(chosen, changes, strict=True):
        first, reflected = one.lengths.first, _reflection_end(policy, one)
        cut = (change_T[:first], change_T[first:reflected], change_T[reflected:])
        for name, part_T in zip(parts, cut, strict=True):
            parts[name].append(float(part_T.mean()))
    return {f"rl/probe/{name}": mean(values) for name, values in parts.items()}


def _reflection_end(policy: "Policy", one: Trajectory) -> int:
    """Leading tokens up to the end of the reflection."""
    return policy.token_index(one.token_ids, one.trace.text.index(_END) + len(_END))
