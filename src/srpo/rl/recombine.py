"""Recombination: the second halves of a group, put behind one of its wrong first attempts, half of them right.

Octopus (arXiv 2602.08503) makes dense examples of self-correction out of responses that are there already: n first
attempts and n continuations are n * n pairs, from which right and wrong ones are taken in equal numbers. No token is
generated for them. Here a recombined group has one wrong first attempt, so that its advantages compare what followed
and nothing else:

* the first attempt is part of the context and carries no loss;
* reflection and second attempt of other responses of the group follow, as many right ones as wrong ones. They must have
  followed a first attempt with the same answer: a reflection names what it found wrong, and behind another answer it
  would be about something that nobody claimed. Octopus has no reflection, and takes any; so does `recombine_any`, from
  all responses that were wrong at first, which finds many more pairs. Where attempts are short, those with the same
  answer are mostly the same text, and nothing new comes of them;
* such a sequence was never sampled, so the current policy scores it anew, and these log-probabilities are the old
  policy's: importance ratios start at 1. That the continuation was drawn behind another first attempt is not corrected;
  `rl/recombined/shift` says how much less likely it is here than there, in nats a token.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from srpo.core.records import Response, Sampling
from srpo.core.statistics import mean
from srpo.policy.decode import SampledCompletion
from srpo.rl.rollout import SampledGroup, Trajectory, TrajectoryGroup


class _Pairing(NamedTuple):
    """A wrong first attempt and what may follow it."""

    group: TrajectoryGroup
    first: Trajectory
    right: list[Trajectory]
    wrong: list[Trajectory]

    @property
    def num_pairs(self) -> int:
        return min(len(self.right), len(self.wrong))


def recombined_groups(
    groups: Sequence[TrajectoryGroup], count: int, group_size: int, sampling: Sampling, *, any_claim: bool = False
) -> list[SampledGroup]:
    """Up to `count` recombined groups of at most `group_size` responses, from different groups, chosen at random.

    With `any_claim` what follows may have followed another wrong answer. The log-probabilities are those with which the
    continuations were sampled; they have to be scored anew.
    """
    if not count:
        return []
    rng = random.Random(sampling.seed)
    made: list[SampledGroup] = []
    for group in rng.sample(groups, len(groups)):
        pairing = _densest(group, sampling.max_tokens, rng, any_claim=any_claim)
        if pairing is not None and len(made) < count:
            made.append(_recombine(pairing, group_size // 2, sampling, rng))
    return made


def as_recombined(scored: TrajectoryGroup) -> TrajectoryGroup:
    """A graded group with the policy's own log-probabilities as the old ones; all of its tokens are given to it."""
    shift = mean(
        there - here
        for one in scored.trajectories_G
        for here, there in list(zip(one.trainer_logprobs, one.logprobs, strict=True))[one.num_given :]
    )
    trajectories_G = tuple(
        replace(one, logprobs=one.trainer_logprobs, trainer_logprobs=(), num_given=len(one.token_ids))
        for one in scored.trajectories_G
    )
    return replace(scored, trajectories_G=trajectories_G, shift=shift)


def _densest(group: TrajectoryGroup, max_tokens: int, rng: random.Random, *, any_claim: bool) -> _Pairing | None:
    """The first attempt that most pairs can follow; among equals one at random. None where there is no pair."""
    if not group.is_graded:
        return None
    whole = [one for one in group.trajectories_G if one.trace.has_format and not one.trace.first_grade.is_correct]
    pairings = []
    for first in rng.sample(whole, len(whole)):
        room = max_tokens - first.lengths.first
        others = [
            one
            for one in whole
            if one is not first
            and (any_claim or _first_answer(one) == _first_answer(first))
            and len(one.token_ids) - one.lengths.first <= room
        ]
        right = [one for one in others if one.trace.final_grade.is_correct]
        wrong = [one for one in others if not one.trace.final_grade.is_correct]
        pairings.append(_Pairing(group, first, right, wrong))
    best = max(pairings, key=lambda pairing: pairing.num_pairs, default=None)
    return best if best is not None and best.num_pairs else None


def _recombine(pairing: _Pairing, most: int, sampling: Sampling, rng: random.Random) -> SampledGroup:
    num_pairs = min(pairing.num_pairs, most)
    given = pairing.first.lengths.first
    completions_G = [
        SampledCompletion(
            token_ids=pairing.first.token_ids[:given] + one.token_ids[one.lengths.first :],
            logprobs=pairing.first.logprobs[:given] + one.logprobs[one.lengths.first :],
            truncated=False,
        )
        for one in (*rng.sample(pairing.right, num_pairs), *rng.sample(pairing.wrong, num_pairs))
    ]
    return SampledGroup(pairing.group.problem, pairing.group.prompt, completions_G, sampling, given)


def _first_answer(one: Trajectory) -> str:
    assert isinstance(one.trace.parsed, Response)
    return " ".join(one.trace.parsed.first.answer.split()).casefold()
