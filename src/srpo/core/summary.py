"""What traces add up to: accuracies of first and final answers, transitions, and the row of the stage table.

    results = results_of(run.traces())
    summarise(results, "srpo").final_accuracy

Accuracies are averaged per problem first; `core.statistics` says how sure they are.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from pydantic import Field

from srpo.core.records import OUTCOMES, Outcome, Record, Trace
from srpo.core.statistics import Interval, WhichAnswer, mean, share_interval

_RIGHT: Mapping[WhichAnswer, frozenset[Outcome]] = {
    "first": frozenset({"right→right", "right→wrong"}),
    "final": frozenset({"right→right", "wrong→right"}),
}
"""Outcomes in which an answer is right."""


class Transitions(Record):
    """Transition matrix from first to final answer, of all samples whose gold can be graded."""

    n: int
    counts: dict[Outcome, int]

    def share(self, outcome: Outcome) -> float:
        """Share of the samples with this outcome; 0 when there are none."""
        return self.counts[outcome] / self.n if self.n else 0.0

    @property
    def first_accuracy(self) -> float:
        """Share with a right first answer."""
        return self.share("right→right") + self.share("right→wrong")

    @property
    def final_accuracy(self) -> float:
        """Share with a right final answer."""
        return self.share("right→right") + self.share("wrong→right")

    @property
    def delta(self) -> float:
        """Final minus first accuracy, which is wrong→right minus right→wrong."""
        return self.share("wrong→right") - self.share("right→wrong")


class FamilySummary(Record):
    """One line of the breakdown by problem family."""

    n: int
    """Problems."""
    first_accuracy: float
    final_accuracy: float
    chance: float | None
    """Accuracy of a blind guess; None when it is not known for all problems."""


class StageSummary(Record):
    """One row of the stage table: what a model does on a set of problems."""

    name: str
    n: int
    """Problems with a gradable gold answer; accuracies are means over these."""
    num_samples: int
    """Most samples that any problem has."""
    first_accuracy: float
    final_accuracy: float
    first_interval: tuple[float, float]
    """95%: Wilson where every problem is all right or all wrong (one sample each), else bootstrap over problems."""
    final_interval: tuple[float, float]
    """95%, as `first_interval`."""
    transitions: dict[Outcome, float]
    """Share of each outcome, averaged per problem first; they add up to 1."""
    counts: dict[Outcome, int]
    """Samples of each outcome."""
    format_rate: float
    """Share of all samples whose format is right."""
    ungradable: int
    """Samples left out because their gold answer cannot be graded."""
    mean_tokens: float | None = None
    """Generated tokens per sample; None when no trace says."""
    tokens: int | None = None
    """All tokens that the stage generated, training included."""
    seconds: float | None = None
    """Wall-clock time of the stage, training included."""
    chance: float | None = None
    """Accuracy of a blind guess; None when it is not known for all problems."""
    temperature: float | None = None
    """Sampling temperature; None when the traces do not agree on one."""
    by_family: dict[str, FamilySummary] = Field(default_factory=dict)
    """The same by `Problem.family`, sorted by name."""


def transition_matrix(outcomes: Iterable[Outcome | None]) -> Transitions:
    """Count the outcomes; those of samples with an ungradable gold, which are None, are left out."""
    found = Counter(outcomes)
    counts: dict[Outcome, int] = {outcome: found[outcome] for outcome in OUTCOMES}
    return Transitions(n=sum(counts.values()), counts=counts)


def accuracy_by_problem(traces: Iterable[Trace], answer: WhichAnswer = "final") -> dict[str, float]:
    """Share of right samples of each problem id; problems with an ungradable gold are left out."""
    return {key: _share(rows, answer) for key, rows in _by_problem(map(SampleResult.of, traces)).items()}


class SampleResult(NamedTuple):
    """What a summary needs of a trace: a few numbers, so that many thousands of them cost no more than their ids."""

    problem: str
    """Its id."""
    family: str
    chance: float | None
    """Accuracy of a blind guess at the problem, where it is known."""
    outcome: Outcome | None
    """None where the gold cannot be graded."""
    has_format: bool
    num_tokens: int | None
    """None where nobody counted."""
    truncated: bool
    temperature: float | None
    """At which it was sampled, where that is known."""

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """The trace without its texts; one copy of an id, however many samples have it."""
        tokens, sampling = trace.tokens, trace.origin.sampling
        return cls(
            problem=sys.intern(trace.problem.id),
            family=sys.intern(trace.problem.family),
            chance=trace.problem.chance,
            outcome=trace.outcome,
            has_format=trace.has_format,
            num_tokens=None if tokens is None else tokens.total,
            truncated=tokens is not None and tokens.truncated,
            temperature=None if sampling is None else sampling.temperature,
        )


def results_of(traces: Iterable[Trace]) -> list[SampleResult]:
    """What `summarise` takes; no trace is held."""
    return [SampleResult.of(trace) for trace in traces]


def summarise(
    results: Sequence[SampleResult],
    name: str,
    *,
    tokens: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> StageSummary:
    """The row of the stage table for these samples, of any style and any number per problem."""
    if not results:
        raise ValueError(f"stage {name!r} has no traces to summarise")
    groups = list(_by_problem(results).values())
    matrix = transition_matrix(one.outcome for one in results)
    families: dict[str, list[list[SampleResult]]] = {}
    for rows in groups:
        families.setdefault(rows[0].family, []).append(rows)
    lengths = [one.num_tokens for one in results if one.num_tokens is not None]
    temperatures = {one.temperature for one in results}
    return StageSummary(
        name=name,
        n=len(groups),
        num_samples=max(Counter(one.problem for one in results).values()),
        first_accuracy=mean(_share(rows, "first") for rows in groups),
        final_accuracy=mean(_share(rows, "final") for rows in groups),
        first_interval=_interval(groups, "first", seed),
        final_interval=_interval(groups, "final", seed),
        transitions={o: mean(sum(one.outcome == o for one in rows) / len(rows) for rows in groups) for o in OUTCOMES},
        counts=matrix.counts,
        format_rate=mean(one.has_format for one in results),
        ungradable=len(results) - matrix.n,
        mean_tokens=mean(lengths) if lengths else None,
        tokens=tokens,
        seconds=seconds,
        chance=_chance(groups),
        temperature=temperatures.pop() if len(temperatures) == 1 else None,
        by_family={family: _family(families[family]) for family in sorted(families)},
    )


def _by_problem(results: Iterable[SampleResult]) -> dict[str, list[SampleResult]]:
    groups: dict[str, list[SampleResult]] = {}
    for one in results:
        if one.outcome is not None:
            groups.setdefault(one.problem, []).append(one)
    return groups


def _family(groups: Sequence[Sequence[SampleResult]]) -> FamilySummary:
    return FamilySummary(
        n=len(groups),
        first_accuracy=mean(_share(rows, "first") for rows in groups),
        final_accuracy=mean(_share(rows, "final") for rows in groups),
        chance=_chance(groups),
    )


def _interval(groups: Sequence[Sequence[SampleResult]], answer: WhichAnswer, seed: int) -> Interval:
    return share_interval([_share(rows, answer) for rows in groups], seed=seed)


def _chance(groups: Sequence[Sequence[SampleResult]]) -> float | None:
    known = [rows[0].chance for rows in groups]
    numbers = [chance for chance in known if chance is not None]
    return mean(numbers) if numbers and len(numbers) == len(known) else None


def _share(rows: Sequence[SampleResult], answer: WhichAnswer) -> float:
    right = _RIGHT[answer]
    return sum(one.outcome in right for one in rows) / len(rows)
