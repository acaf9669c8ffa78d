"""The problems of a run: read, checked for gold answers that grade, and dealt out without end."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from srpo.core.records import Problem, Rejected
from srpo.data.images import ImageError
from srpo.data.sources import load_problems
from srpo.data.usable import check_usable
from srpo.grading import grade_gold
from srpo.policy.prompts import PromptEncoder, identity_of
from srpo.rl.config import RlConfig
from srpo.rl.sampler import Start
from srpo.runs.progress import note
from srpo.runs.rejects import REJECTED, Ledger, fingerprint


class RlProblems(NamedTuple):
    """The problems of a run."""

    train: tuple[Problem, ...]
    num_ungradable: int
    held_out: tuple[Problem, ...]
    digest: str
    """Hash of both, by which a resumed run notices that its data changed."""
    rejected: tuple[Rejected, ...] = ()
    """What is left out: unusable rows, ungradable golds, prompts that are too long."""


class GradableProblems(NamedTuple):
    """The problems that RL can be rewarded on."""

    problems: tuple[Problem, ...]
    ungradable: tuple[tuple[str, str], ...]
    """Id and reason of the ones whose gold cannot be graded."""
    rejected: tuple[Rejected, ...] = ()
    """The same, as they are written down."""


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

    def peek(self, count: int) -> list[Problem]:
        """The next `count` problems, which are still to be taken."""
        position = self.position
        found = self.take(count)
        self.position = position
        return found

    def _next(self) -> Problem:
        epoch, at = divmod(self.position, len(self._problems))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = list(range(len(self._problems)))
            random.Random(f"rl/problems/{self._seed}/{epoch}").shuffle(self._order)
        self.position += 1
        return self._problems[self._order[at]]


def load_rl_problems(config: RlConfig) -> RlProblems:
    """Read the problems, leave out those that cannot be graded, and say so."""
    found = load_problems(config.data)
    check_usable(found, config.data.label)
    train = gradable(found.problems, config.data.label)
    if train.ungradable:
        first_id, reason = train.ungradable[0]
        note(f"rl: {len(train.ungradable)} problems left out, their gold cannot be graded, e.g. {first_id!r}: {reason}")
    held_out: tuple[Problem, ...] = ()
    rejected = [*found.rejected, *train.rejected]
    if config.eval is not None:
        asked = load_problems(config.eval.data)
        graded = gradable(asked.problems, config.eval.data.label)
        held_out = graded.problems
        rejected += [*asked.rejected, *graded.rejected]
    digest = fingerprint([*train.problems, *held_out])
    return RlProblems(train.problems, len(train.ungradable), held_out, digest, tuple(rejected))


def leave_out_long(problems: RlProblems, encoder: PromptEncoder, most: int | None) -> RlProblems:
    """Without the problems whose prompts have more than `most` tokens; ValueError when none is left."""
    kept, long = encoder.within(problems.train, most)
    held_out, long_held_out = encoder.within(problems.held_out, most)
    if not kept or (problems.held_out and not held_out):
        raise ValueError(
            f"max_prompt_tokens {most} leaves no problem to {'evaluate' if kept else 'train on'}, e.g. "
            f"{(long or long_held_out)[0].detail}; raise it, or lower max_pixels"
        )
    if long:
        note(f"rl: {len(long)} problems left out, longer than max_prompt_tokens {most}, e.g. {long[0].id!r}")
    rejected = (*problems.rejected, *long, *long_held_out)
    digest = identity_of(problems.digest, encoder.prompt)
    return problems._replace(train=tuple(kept), held_out=tuple(held_out), digest=digest, rejected=rejected)


def write_rejected(problems: RlProblems, directory: Path) -> None:
    """Name in `rejected.jsonl` what is left out; a resumed run writes the same again."""
    with Ledger(directory / REJECTED, num_bytes=0) as ledger:
        ledger.append(problems.rejected)


def gradable(problems: Sequence[Problem], label: str) -> GradableProblems:
    """Leave out the problems whose gold cannot be graded; ValueError when none is left."""
    kept: list[Problem] = []
    ungradable: list[tuple[str, str]] = []
    rejected: list[Rejected] = []
    for problem in problems:
        reason = grade_gold(problem)
        if reason is None:
            kept.append(problem)
        else:
            ungradable.append((problem.id, reason))
            rejected.append(Rejected.about(problem, "gold", "gold is ungradable", reason))
    if not kept:
        why = f"; the first: {ungradable[0][0]}: {ungradable[0][1]}" if ungradable else ""
        raise ValueError(f"data {label!r} has no problem whose gold answer can be graded{why}")
    return GradableProblems(tuple(kept), tuple(ungradable), tuple(rejected))


def readable(encoder: PromptEncoder, problems: Sequence[Problem], say: Callable[[str], object] = note) -> list[Start]:
    """The problems whose pictures can be read, with their prompts; the others are named: to `say`, on stderr.

    One bad file must not end a long run.
    """
    found: list[Start] = []
    for problem, prompt in zip(problems, encoder.try_all(problems), strict=True):
        if isinstance(prompt, ImageError):
            say(f"rl: problem {problem.id!r} is left out: {prompt}")
        else:
            found.append(Start(problem, prompt))
    return found
