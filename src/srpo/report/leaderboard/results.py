"""Benchmark results out of run directories: what `srpo eval` with a benchmark and `srpo score --out` leave there."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from srpo.eval.result import BenchmarkResult
from srpo.runs.reader import SUMMARY, RunReader

KEY = "benchmark"
"""Where a run's `summary.json` has it."""


def result_of(run: RunReader) -> BenchmarkResult | None:
    """The benchmark result of a run; None when it has none, or has not finished.

    Raises:
        ValueError: there is one, and it cannot be read; names the file and the field.
    """
    value = (run.summary() or {}).get(KEY)
    if value is None:
        return None
    try:
        return BenchmarkResult.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, (KEY, *first["loc"])))
        raise ValueError(f"{str(run.path / SUMMARY)!r} has no benchmark result: {field}: {first['msg']}") from error


def results_in(paths: Iterable[Path]) -> tuple[list[BenchmarkResult], Sequence[Path]]:
    """The results of all runs at `paths` (run or demo directories), and the runs that have none."""
    from srpo.report.open import runs_in

    results, without = [], []
    for path in paths:
        for found in runs_in(path):
            result = result_of(found.run)
            if result is None:
                without.append(found.run.path)
            else:
                results.append(result)
    return results, without
