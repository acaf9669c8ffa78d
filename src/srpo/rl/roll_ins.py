"""Roll-ins: reflections sampled from wrong first attempts that are given, so that repairs are not left to chance.

Wrong first attempts that are repaired are rare in what a policy samples by itself. A roll-in takes the wrong first
attempt of a group, or one that an `AttemptBuffer` kept from an earlier step (VRRL, arXiv 2607.02490), and samples a
group of its own from there: the given tokens carry no loss and cost no new tokens, and what differs within the group is
the reflection and what comes of it.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from srpo.core.records import Problem
from srpo.policy.prompts import PromptEncoder
from srpo.rl.problems import readable
from srpo.rl.rollout import Trajectory, TrajectoryGroup
from srpo.rl.sampler import Start

_FILE = "roll_ins.json"
"""A buffer in a checkpoint: lines of a JSON list, problem id and tokens, oldest first."""


class AttemptBuffer:
    """Wrong first attempts of earlier steps by problem; together they have a bounded number of tokens.

    The oldest go first, as in VRRL. Problems are drawn with equal chances, however many attempts they have.
    """

    def __init__(self, max_tokens: int, problems: Sequence[Problem]) -> None:
        """`problems` are those of the run: a buffer keeps their ids alone. With 0 tokens it keeps nothing."""
        self._max_tokens = max_tokens
        self._problems: Mapping[str, Problem] = {problem.id: problem for problem in problems}
        # Of a dictionary the order counts: the oldest attempt stands first.
        self._kept: dict[tuple[str, tuple[int, ...]], None] = {}
        self.num_tokens = 0
        """Tokens of all attempts that are kept."""

    def __len__(self) -> int:
        """Attempts that are kept."""
        return len(self._kept)

    def add(self, groups: Sequence[TrajectoryGroup]) -> None:
        """Keep the wrong and complete first attempts of `groups`; one that is known stays where it is."""
        for group in groups:
            for one in _wrong_and_complete(group):
                self._keep(group.problem.id, one.token_ids[: one.lengths.first])

    def draw(self, encoder: PromptEncoder, count: int, seed: int) -> list[Start]:
        """Up to `count` attempts at different problems; a problem whose pictures are gone by now is left out."""
        by_problem: dict[str, list[tuple[int, ...]]] = {}
        for problem_id, given in self._kept:
            by_problem.setdefault(problem_id, []).append(given)
        if not by_problem:
            return []
        rng = random.Random(seed)
        chosen = rng.sample(list(by_problem), min(count, len(by_problem)))
        starts = readable(encoder, [self._problems[problem_id] for problem_id in chosen])
        return [start._replace(given=rng.choice(by_problem[start.problem.id])) for start in starts]

    def save(self, directory: Path) -> None:
        """Write what `load` needs into a checkpoint; nothing when there is nothing to keep."""
        if self._max_tokens:
            (directory / _FILE).write_text(json.dumps(list(self._kept)), encoding="utf-8")

    def load(self, directory: Path) -> None:
        """Go on from a checkpoint."""
        if self._max_tokens:
            for problem_id, given in json.loads((directory / _FILE).read_text(encoding="utf-8")):
                self._keep(problem_id, tuple(given))

    def _keep(self, problem_id: str, given: tuple[int, ...]) -> None:
        if (problem_id, given) in self._kept:
            return
        self._kept[problem_id, given] = None
        self.num_tokens += len(given)
        while self.num_tokens > self._max_tokens:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self.num_tokens -= len(oldest[1])


def wrong_first_attempts(groups: Sequence[TrajectoryGroup], count: int, seed: int) -> list[Start]:
    """Up to `count` wrong first attempts, from different groups, chosen at random."""
    rng = random.Random(seed)
    found: list[Start] = []
    for group in rng.sample(groups, len(groups)):
        wrong = _wrong_and_complete(group)
        if wrong and len(found) < count:
            chosen = rng.choice(wrong)
            found.append(Start(group.problem, group.prompt, chosen.token_ids[: chosen.lengths.first]))
    return found


def _wrong_and_complete(group: TrajectoryGroup) -> list[Trajectory]:
    """Those whose first attempt is wrong, and not all that they are."""
    return [
        one
        for one in group.trajectories_G
        if group.is_graded and not one.trace.first_grade.is_correct and 0 < one.lengths.first < len(one.token_ids)
    ]
