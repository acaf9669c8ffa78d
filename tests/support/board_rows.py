"""What a leaderboard is made of: results of ours and published numbers."""

from collections.abc import Mapping

from srpo.core.statistics import wilson
from srpo.eval.benchmarks.benchmark import Breakdown
from srpo.eval.result import BenchmarkResult, Headline
from srpo.report.leaderboard.published import Published

OWN = """\
tables:
  - source: "B et al., A paper"
    place: "Table 3"
    unit: share
    columns: [{benchmark: mmstar}, {benchmark: wemath, metric: strict_score}]
    models:
      big: [0.5, null]
      small: [0.25, {value: 0.125, note: greedy}]
"""
"""Published numbers as a user writes them down."""


def benchmark_result(
    benchmark: str,
    model: str,
    correct: int,
    n: int,
    *,
    metrics: Mapping[str, float] | None = None,
    headline: str = "accuracy",
    **fields: object,
) -> BenchmarkResult:
    """`correct` of `n` right; `fields` stand in for others."""
    metrics = dict(metrics or {})
    made: dict[str, object] = {
        "benchmark": benchmark,
        "title": benchmark.title(),
        "model": model,
        "data": "rows.jsonl",
        "style": "auto",
        "size": n,
        "n": n,
        "missing": 0,
        "ungradable": 0,
        "unusable": 0,
        "accuracy": correct / n,
        "interval": tuple(wilson(correct, n)),
        "accuracy_over_all": correct / n,
        "headline": Headline(name=headline, value=metrics.get(headline, correct / n)),
        "breakdown": Breakdown(metrics=metrics),
        "decided_by": {"rule": n},
    }
    return BenchmarkResult.model_validate(made | fields)


def published(
    model: str, benchmark: str, value: float, *, metric: str = "accuracy", split: str = "", source: str = "A et al."
) -> Published:
    return Published(
        model=model,
        benchmark=benchmark,
        metric=metric,
        value=value,
        split=split,
        note="",
        harness="the authors",
        source=source,
        place="Table 1",
        url="https://example.org/paper",
        date="2026-01-01",
    )
