"""Marks added up: `ItemRow`, one line for each response, and the `BenchmarkResult` that they come to.

What is kept of a response is a few numbers, so that 12,000 of them cost no more than their ids.
"""

import json
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import fsum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from srpo.core.records import MarkStyle, Record, Trace, Verdict
from srpo.core.statistics import mean, pass_at_k, share_interval
from srpo.eval.benchmarks.benchmark import Benchmark, Breakdown, DecidedBy, Item, Mark
from srpo.eval.metrics.correction import GradedSample, correction_metrics, sample_of
from srpo.eval.metrics.voting import Vote, maj_at_k, mean_cost, vote_of
from srpo.eval.result import BenchmarkResult, Headline, OfficialAccuracy, ReflectionQuality, SampledMetrics
from srpo.runs.files import read_lines

ROWS = "rows.jsonl"
"""One `ItemRow` for each trace of a run, in the same order."""


class ItemRow(Record):
    """How one response was graded, and by whom."""

    id: str
    sample: int = 0
    verdict: Verdict
    correct: bool
    extracted: str | None
    reason: str
    first_verdict: Verdict | None = None
    """Of the first answer; None where the response has one answer only."""
    decided_by: DecidedBy
    """Who decided the final answer."""
    groups: dict[str, str]
    score: int | None = None
    """Points for the reflection, where a judge gave some."""
    official_correct: bool | None = None
    """By the authors' own code; None where we have none beside our rule."""

    def line(self) -> str:
        """As JSON, without what this response does not have."""
        values = self.model_dump(mode="json")
        absent = [key for key in ("first_verdict", "score", "official_correct") if values[key] is None]
        return json.dumps(
            {key: value for key, value in values.items() if key not in absent and (key != "sample" or value)},
            ensure_ascii=False,
        )


def read_item_rows(run: Path) -> Iterator[ItemRow]:
    """The rows of a run's `rows.jsonl`."""
    for line in read_lines(run / ROWS):
        yield ItemRow.model_validate_json(line.text)


def row_of(mark: Mark, *, sample: int = 0, score: int | None = None, official: bool | None = None) -> ItemRow:
    """The line of a mark; `official` is the verdict of the authors' own code."""
    return ItemRow(
        id=mark.item.problem.id,
        sample=sample,
        verdict=mark.final.verdict,
        correct=mark.is_correct,
        extracted=mark.final.extracted,
        reason=mark.final.reason,
        first_verdict=mark.first.verdict if mark.first is not None else None,
        decided_by=mark.decided_by,
        groups=mark.item.groups,
        score=score,
        official_correct=official,
    )


def mark_of(item: Item, trace: Trace, decided_by: DecidedBy = "rule") -> Mark:
    """The mark that a trace carries."""
    first = trace.first_grade if trace.style == "reflective" else None
    return Mark(item=item, first=first, final=trace.final_grade, decided_by=decided_by)


class Judging(NamedTuple):
    """Who judged, and how that went."""

    model: str = ""
    failures: Mapping[str, int] = MappingProxyType({})
    """Why answers were not decided."""
    reflections: bool = False
    """Whether reflections were given points."""
    score_failures: int = 0

    def plus(self, other: "Judging") -> "Judging":
        """Both together."""
        return Judging(
            self.model or other.model,
            Counter(self.failures) + Counter(other.failures),
            self.reflections or other.reflections,
            self.score_failures + other.score_failures,
        )


class Facts(NamedTuple):
    """What a result says beside its numbers."""

    model: str
    data: str
    style: MarkStyle
    missing: int
    unusable: int
    failed: int = 0
    ungradable_missing: int = 0
    """Items without a response whose gold answer cannot be graded either."""
    judging: Judging = Judging()


class Aggregator:
    """Adds up responses as they come."""

    def __init__(self, num_samples: int = 1) -> None:
        """`num_samples` responses to each item were asked for."""
        self._num_samples = num_samples
        self._finals = _Shares()
        self._firsts = _Shares()
        self._officials = _Shares()
        self._votes: dict[str, list[Vote]] = {}
        self._ungradable: set[str] = set()
        self._num_undecided = 0
        self._decided: Counter[DecidedBy] = Counter()
        self._scores: Counter[int] = Counter()
        self._tokens = array("Q")
        self._truncated = 0
        self._samples: list[GradedSample] = []
        """Of the reflective responses."""

    def add(self, row: ItemRow, trace: Trace) -> None:
        """Count one response."""
        if row.score is not None:
            self._scores[row.score] += 1
        if trace.tokens is not None:
            self._tokens.append(trace.tokens.total)
            self._truncated += trace.tokens.truncated
        self._decided[row.decided_by] += 1
        if row.first_verdict is not None:
            # One copy of an id, wherever it is held.
            self._samples.append(sample_of(trace)._replace(problem=sys.intern(row.id)))
        if row.verdict in ("ungradable", "undecided"):
            self._ungradable.add(row.id)
            self._num_undecided += row.verdict == "undecided"
            return
        self._finals.add(row.id, row.correct)
        if row.first_verdict is not None:
            self._firsts.add(row.id, row.first_verdict == "correct")
        if row.official_correct is not None:
            self._officials.add(row.id, row.official_correct)
        if self._num_samples > 1:
            self._votes.setdefault(sys.intern(row.id), []).append(vote_of(trace))

    def result(
        self, benchmark: Benchmark, marks: Sequence[Mark], facts: Facts, missing: Collection[str] = ()
    ) -> BenchmarkResult:
        """What it came to; `marks` are those of the first samples, and may be in a file. `missing` have none."""
        shares = self._finals.shares()
        accuracy, n = mean(shares), len(shares)
        breakdown = benchmark.breakdown(marks, missing)
        firsts = self._firsts.shares()
        return BenchmarkResult(
            benchmark=benchmark.name,
            title=benchmark.title,
            model=facts.model,
            data=facts.data,
            style=facts.style,
            size=benchmark.size,
            n=n,
            missing=facts.missing,
            failed=facts.failed,
            ungradable=len(self._ungradable) + facts.ungradable_missing,
            undecided=self._num_undecided,
            unusable=facts.unusable,
            accuracy=accuracy,
            interval=share_interval(shares),
            accuracy_over_all=fsum(shares) / (n + facts.missing) if n + facts.missing else 0.0,
            headline=_headline(benchmark, accuracy, breakdown),
            official=_official(benchmark, self._officials.shares()),
            first_accuracy=mean(firsts) if firsts else None,
            reflective=len(self._samples),
            correction=correction_metrics(self._samples) if self._samples else None,
            quality=self._quality(facts.judging),
            sampled=self._sampled() if self._num_samples > 1 else None,
            breakdown=breakdown,
            decided_by=dict(sorted(self._decided.items(), reverse=True)),
            judge=facts.judging.model,
            judge_failures=dict(Counter(facts.judging.failures).most_common()),
            mean_tokens=mean(self._tokens) if self._tokens else None,
            truncation_rate=self._truncated / len(self._tokens) if self._tokens else None,
        )

    def _sampled(self) -> SampledMetrics:
        num = self._num_samples
        sizes = [2**power for power in range(num.bit_length()) if 2**power < num] + [num]
        # Where samples of an item failed, those that are there vote.
        votes = {
            k: [maj_at_k([one.answer for one in found], k=min(k, len(found))) for found in self._votes.values()]
            for k in sizes
        }
        return SampledMetrics(
            num_samples=num,
            pass_at={
                k: mean(pass_at_k(n=n, c=right, k=min(k, n)) for n, right in self._finals.counts()) for k in sizes
            },
            maj_at={k: mean(shares) for k, shares in votes.items()},
            maj_interval=share_interval(votes[num]),
            tokens_per_sample=mean_cost(self._votes),
        )

    def _quality(self, judging: Judging) -> ReflectionQuality | None:
        if not judging.reflections:
            return None
        n = self._scores.total()
        return ReflectionQuality(
            model=judging.model,
            n=n,
            failed=judging.score_failures,
            mean=sum(points * number for points, number in self._scores.items()) / n if n else 0.0,
            counts={points: self._scores[points] for points in range(6)},
        )


class _Shares:
    """How many samples of each item are right, in sixteen bytes an item beside its id."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._totals = array("Q")
        self._right = array("Q")

    def add(self, key: str, right: bool) -> None:
        index = self._index.setdefault(sys.intern(key), len(self._totals))
        if index == len(self._totals):
            self._totals.append(0)
            self._right.append(0)
        self._totals[index] += 1
        self._right[index] += right

    def counts(self) -> Iterator[tuple[int, int]]:
        return zip(self._totals, self._right, strict=True)

    def shares(self) -> list[float]:
        return [right / total for total, right in self.counts()]


def _official(benchmark: Benchmark, shares: list[float]) -> OfficialAccuracy | None:
    if not benchmark.official_code:
        return None
    return OfficialAccuracy(
        code=benchmark.official_code, accuracy=mean(shares), interval=share_interval(shares), n=len(shares)
    )


def _headline(benchmark: Benchmark, accuracy: float, breakdown: Breakdown) -> Headline:
    name = benchmark.headline
    # Where too little was answered for the official number, `Breakdown.unknown` says so and accuracy is all there is.
    if name not in breakdown.metrics:
        name = "accuracy"
    return Headline(name=name, value=accuracy if name == "accuracy" else breakdown.metrics[name])
