"""Traces graded and rewarded again: by today's rules, under another preset. What a run has written stays as it is.

    from srpo.report.regrade import Pricing, regraded
    for one in regraded(RunDir.read(path).traces(), grader, Pricing("release-openrlhf")):
        print(one.as_json())

Traces keep their text, so what a run would have earned under another reward needs no model. What it would have learned
under it is another question, which only another run answers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from srpo.core.lengths import rough_counts
from srpo.core.records import GradedText, Record, Reward, Trace, outcome_of
from srpo.core.rewards import Preset, RewardCase, pay
from srpo.grading import Grader

_SUMS = tuple(f"{name} {when}" for name in ("first", "final", "total") for when in ("before", "after"))


@dataclass(frozen=True)
class Pricing:
    """Which reward."""

    preset: Preset
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of terms that are to weigh other than the preset says."""
    length_floor: int = 0


class Regraded(NamedTuple):
    """A trace and what it is today."""

    trace: Trace
    graded: GradedText
    reward: Reward | None
    """None where the gold cannot be graded."""

    def as_json(self) -> dict[str, Any]:
        """One line of the output: verdicts, outcome and total as `[before, after]`, the terms as they are after."""
        trace = self.trace
        return {
            "id": trace.problem.id,
            "sample": trace.sample,
            "step": trace.origin.step,
            "first": [trace.first_grade.verdict, self.graded.first_grade.verdict],
            "final": [trace.final_grade.verdict, self.graded.final_grade.verdict],
            "reason": self.graded.final_grade.reason,
            "outcome": [_outcome(trace), _outcome(self.graded)],
            "total": [_total(trace.reward), _total(self.reward)],
            "terms": {
                term.name: {"score": term.score, "weight": term.weight}
                for term in (self.reward.terms if self.reward else ())
            },
        }


class RegradeSummary(Record):
    """What grading and paying again changed; each pair is before and after."""

    num_traces: int
    num_without_lengths: int
    """Traces without lengths in tokens, whose length term goes by the rule of `core.lengths`."""
    first_accuracy: tuple[float | None, float | None]
    """Shares of right first answers among those that count; None where none does."""
    final_accuracy: tuple[float | None, float | None]
    mean_total: tuple[float | None, float | None]
    """Of the traces with a reward; None where there is none."""
    verdicts: dict[str, int]
    """Changed verdicts of final answers, `incorrect→correct`: how many."""
    outcomes: dict[str, int]
    """Changed outcomes, `right→wrong to right→right`: how many."""


def regraded(traces: Iterable[Trace], grader: Grader, pricing: Pricing) -> Iterator[Regraded]:
    """Grade and pay every trace again.

    Raises:
        ValueError: a single attempt is to be paid by a preset for reflective responses; names the trace.
    """
    for trace in traces:
        if trace.style == "single" and pricing.preset != "answer":
            raise ValueError(
                f"trace {trace.problem.id!r} is a single attempt, and preset {pricing.preset!r} pays reflective "
                "responses; take --preset answer"
            )
        graded = grader.grade_response(trace.problem, trace.text, trace.style)
        tokens = trace.tokens or rough_counts(trace.text)
        first, final = graded.first_grade, graded.final_grade
        case = RewardCase(trace.problem, trace.text, graded.parsed, first, final, tokens, trace.style)
        paid = pay(case, pricing.preset, weights=pricing.weights or None, length_floor=pricing.length_floor)
        yield Regraded(trace, graded, paid)


class Tally:
    """Adds up, without keeping the traces."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in _SUMS}
        """Name -> sum, and how many there are."""

    def add(self, one: Regraded) -> None:
        """Count a trace."""
        self._counts["traces"] += 1
        self._counts["without lengths"] += one.trace.tokens is None
        for when, graded, reward in (("before", one.trace, one.trace.reward), ("after", one.graded, one.reward)):
            for answer, grade in (("first", graded.first_grade), ("final", graded.final_grade)):
                if grade.counts:
                    self._add_to(f"{answer} {when}", float(grade.is_correct))
            if reward is not None:
                self._add_to(f"total {when}", reward.total)
        verdict = one.trace.final_grade.verdict, one.graded.final_grade.verdict
        outcome = _outcome(one.trace), _outcome(one.graded)
        self._verdicts["→".join(verdict)] += verdict[0] != verdict[1]
        self._outcomes[" to ".join(outcome)] += outcome[0] != outcome[1]

    def summary(self) -> RegradeSummary:
        """What was counted so far."""
        return RegradeSummary(
            num_traces=self._counts["traces"],
            num_without_lengths=self._counts["without lengths"],
            first_accuracy=self._means("first"),
            final_accuracy=self._means("final"),
            mean_total=self._means("total"),
            verdicts={name: count for name, count in self._verdicts.most_common() if count},
            outcomes={name: count for name, count in self._outcomes.most_common() if count},
        )

    def _add_to(self, name: str, value: float) -> None:
        self._sums[name][0] += value
        self._sums[name][1] += 1

    def _means(self, name: str) -> tuple[float | None, float | None]:
        before, after = (self._sums[f"{name} {when}"] for when in ("before", "after"))
        return before[0] / before[1] if before[1] else None, after[0] / after[1] if after[1] else None


def _outcome(graded: Trace | GradedText) -> str:
    return outcome_of(graded.first_grade, graded.final_grade) or "ungradable"


def _total(reward: Reward | None) -> float | None:
    return None if reward is None else round(reward.total, 12)
