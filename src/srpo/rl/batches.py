"""Which problems a step draws, and which of its groups it learns from."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from srpo.core.advantages import keep_group
from srpo.core.records import Problem, Trace
from srpo.rl.config import RlConfig
from srpo.rl.credit import carries_signal
from srpo.rl.rollout import Group


class ProblemStream:
    """Problems without end: one seeded permutation after the other. `position` is all that a checkpoint needs."""

    def __init__(self, problems: Sequence[Problem], seed: int, position: int = 0) -> None:
        self._problems = problems
        self._seed = seed
        self.position = position
        self._epoch = -1
        self._order: list[int] = []

    def take(self, count: int) -> list[Problem]:
        """The next `count` problems."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Problem:
        epoch, at = divmod(self.position, len(self._problems))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = list(range(len(self._problems)))
            random.Random(f"rl/problems/{self._seed}/{epoch}").shuffle(self._order)
        self.position += 1
        return self._problems[self._order[at]]


class Collected(NamedTuple):
    """The rollout of one step."""

    sampled: list[Group]
    """Every group that was sampled, in order: metrics are about these."""
    kept: list[Group]
    """Those that the loss learns from, at most `num_prompts`."""
    num_refilled: int
    """Groups that were sampled in place of others."""


def collect(draw: Callable[[int, int], list[Group]], config: RlConfig) -> Collected:
    """Sample groups until `num_prompts` carry signal or `max_refills` refills have been drawn.

    `draw(count, round)` samples `count` groups on fresh problems.
    """
    sampled: list[Group] = []
    kept: list[Group] = []
    num_refilled = 0
    for round_ in range(config.max_refills + 1):
        fresh = draw(config.num_prompts - len(kept), round_)
        sampled += fresh
        num_refilled += len(fresh) if round_ else 0
        kept += [group for group in fresh if is_worth_learning(group, config)]
        if len(kept) >= config.num_prompts:
            break
    return Collected(sampled, kept, num_refilled)


def is_worth_learning(group: Group, config: RlConfig) -> bool:
    """Whether the group is graded, its rewards differ and the online filter lets it through."""
    if not group.is_graded or not carries_signal([sample.credited for sample in group.samples_G], config.credit):
        return False
    match config.online_filter:
        case "off":
            return True
        case "final":
            right_G = [sample.trace.final_grade.is_correct for sample in group.samples_G]
            return keep_group(right_G, config.filter_low, config.filter_high)
        case "outcome":
            return len({_outcome(sample.trace) for sample in group.samples_G}) > 1


def _outcome(trace: Trace) -> tuple[bool, bool, bool]:
    return trace.has_format, trace.first_grade.is_correct, trace.final_grade.is_correct
