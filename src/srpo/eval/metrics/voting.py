"""Several samples per problem: majority votes, and what they cost.

A reflective answer takes more tokens than a plain one, and so does a vote. They are compared at equal tokens: the
majority of as many whole samples as a budget pays for (SCoRe, arXiv 2409.12917, section 6; Huang et al., 2310.01798).
Everything is worked out per problem, then averaged over problems, and the intervals resample problems. `pass@k` is in
`core.statistics`.

    >>> maj_at_k([RIGHT, "5", "5"], k=1), maj_at_k([RIGHT, "5", "5"], k=3)
    (0.3333333333333333, 0.0)
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from srpo.core.records import Record, Trace
from srpo.core.statistics import Estimate, WhichAnswer, majority_vote, mean, share_interval
from srpo.grading import folded_answer

RIGHT = "\0right"
"""The vote of every right answer: they are one answer, however they are written."""
_EXACT_SUBSETS = 5000
_MAX_DOUBLINGS = 12


class Vote(NamedTuple):
    """One sample of a problem."""

    answer: str | None
    """`RIGHT`, a wrong answer's text, or None for no answer, which is no vote."""
    tokens: int | None
    """What it took to generate; None where nobody counted."""


class BudgetVote(NamedTuple):
    """What a budget of tokens buys."""

    num_votes: int
    """Whole samples per problem that the budget pays for; 0 where it does not pay for one."""
    tokens: float
    """What they cost per problem, on average."""
    is_short: bool
    """True where the budget would pay for more samples than there are."""
    accuracy: dict[str, float]
    """Of their majority, by problem; empty where `num_votes` is 0."""


class AtTokens(Record):
    """A point of the curve of accuracy over tokens."""

    budget: int
    """Tokens per problem, on average over problems."""
    num_votes: int
    """Whole samples that it pays for: the k of maj@k."""
    tokens: float
    """What these samples cost."""
    short: bool
    """Whether the budget would pay for more samples than there are, so that more is not known."""
    accuracy: Estimate | None
    """Of the majority; None where the budget does not pay for a sample."""


def vote_of(trace: Trace, answer: WhichAnswer = "final") -> Vote:
    """One trace as a vote. A first answer costs the tokens of the first attempt alone."""
    grade = trace.first_grade if answer == "first" else trace.final_grade
    text = None if grade.extracted is None else folded_answer(grade.extracted)
    vote = RIGHT if grade.is_correct else text
    if trace.tokens is None:
        return Vote(vote, None)
    # Without a complete first attempt, all that was generated is one.
    return Vote(vote, (trace.tokens.first or trace.tokens.total) if answer == "first" else trace.tokens.total)


def voted_traces(traces: Iterable[Trace]) -> list[Trace]:
    """For each problem the trace whose answer wins the vote, the first of those that agree; gradable problems only."""
    groups: dict[str, list[tuple[str | None, Trace]]] = {}
    for trace in traces:
        if trace.outcome is not None:
            groups.setdefault(trace.problem.id, []).append((vote_of(trace).answer, trace))
    return [
        next((trace for vote, trace in group if vote == winner), group[0][1])
        for group in groups.values()
        for winner in [majority_vote(vote for vote, _ in group)]
    ]


def maj_at_k(votes: Sequence[str | None], *, k: int, seed: int = 0, num_draws: int = 2000) -> float:
    """Chance that the majority of k of these votes is right; among equals each wins as often.

    Exact where there are few ways to choose k, else the mean over `num_draws` seeded choices.
    """
    if not 1 <= k <= len(votes):
        raise ValueError(f"need 1 <= k <= {len(votes)} votes, got k={k!r}")
    subsets: Iterable[Sequence[str | None]]
    if math.comb(len(votes), k) <= _EXACT_SUBSETS:
        subsets = itertools.combinations(votes, k)
    else:
        rng = random.Random(f"maj/{seed}")
        subsets = (rng.sample(votes, k) for _ in range(num_draws))
    chances = [_chance(Counter(subset)) for subset in subsets]
    return math.fsum(chances) / len(chances)


def mean_cost(problems: Mapping[str, Sequence[Vote]]) -> float | None:
    """Mean tokens of a sample, per problem first; None where the tokens of one are not known."""
    means: list[float] = []
    for votes in problems.values():
        tokens = [one.tokens for one in votes if one.tokens is not None]
        if len(tokens) < len(votes):
            return None
        means.append(mean(tokens))
    return mean(means) or None


def vote_at(problems: Mapping[str, Sequence[Vote]], budget: float, *, seed: int = 0) -> BudgetVote:
    """The majority of as many whole samples as `budget` tokens per problem pay for, at their mean price.

    Raises:
        ValueError: the tokens of a sample are not known.
    """
    cost = mean_cost(problems)
    if cost is None:
        raise ValueError("a sample has no count of tokens, so it cannot be compared at equal tokens")
    most = max(map(len, problems.values()))
    affordable = math.floor(budget / cost + 1e-9)
    k = min(affordable, most)
    accuracy: dict[str, float] = {}
    if k:
        for key, votes in problems.items():
            accuracy[key] = maj_at_k([one.answer for one in votes], k=min(k, len(votes)), seed=seed)
    return BudgetVote(k, k * cost, affordable > most, accuracy)


def point_of(budget: int, vote: BudgetVote, *, seed: int = 0) -> AtTokens:
    """A vote as a point of the curve."""
    accuracy = None
    if vote.accuracy:
        shares = list(vote.accuracy.values())
        low, high = share_interval(shares, seed=seed)
        accuracy = Estimate(value=mean(shares), n=len(shares), low=low, high=high)
    return AtTokens(budget=budget, num_votes=vote.num_votes, tokens=vote.tokens, short=vote.is_short, accuracy=accuracy)


def token_budgets(sides: Sequence[Mapping[str, Sequence[Vote]]]) -> list[int]:
    """Budgets at which sides compare: 1, 2, 4, .. samples of the dearest side, while every side has samples enough.

    At least one budget, unless tokens are not known.
    """
    costs = [mean_cost(side) for side in sides]
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return []
    unit = max(known)
    enough = min(cost * max(map(len, side.values())) for cost, side in zip(known, sides, strict=True))
    doublings = [unit * 2**power for power in range(_MAX_DOUBLINGS)]
    return [math.ceil(budget) for budget in doublings if budget == unit or budget <= enough + 1e-9]


def _chance(votes: Mapping[str | None, int]) -> float:
    """Chance that the right answer wins a vote in which equals draw lots."""
    counts = {vote: count for vote, count in votes.items() if vote is not None}
    most = max(counts.values(), default=0)
    if not most or counts.get(RIGHT) != most:
        return 0.0
    return 1 / sum(count == most for count in counts.values())
