"""The best model of a run, kept beside the last, and when waiting for a better one is over.

Both follow from the rows of metrics alone, so that a run that was stopped goes on with what it knew.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from srpo.config.hints import suggest
from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.files import make_directory_atomic

BEST = "best"
"""Directory of a run with the best model."""


class BestModel(Record):
    """Where the best model is, and by what."""

    model: str
    metric: str
    value: float
    step: int


class BestKeeper:
    """Saves the model whenever a metric is better than ever before."""

    def __init__(self, run_dir: RunDir, metric: str, patience: int | None, save: Callable[[Path], object]) -> None:
        """Go on from the rows that the run has; a `metric` that begins with `-` is better when it is smaller."""
        self._path = run_dir.path / BEST
        self._metric = metric.removeprefix("-")
        self._sign = -1 if metric.startswith("-") else 1
        self._patience = patience
        self._save = save
        self._best: tuple[float, int] | None = None
        self._waited = 0
        for row in run_dir.metrics():
            self._is_better(int(row["step"]), row)

    def take(self, step: int, row: Mapping[str, float], *, complete: bool) -> None:
        """Look at a new row; a `complete` one has everything that is logged at every step."""
        if self._is_better(step, row):
            make_directory_atomic(self._path, self._save)
        elif complete and self._best is None and self._metric not in row:
            raise ValueError(unknown_metric(self._metric, row))

    @property
    def ended(self) -> str | None:
        """Why the run is over, if patience is."""
        if self._patience is None or self._best is None or self._waited < self._patience:
            return None
        value, step = self._best
        return (
            f"{self._metric} was not better than {value:.4g} of step {step} for {self._waited} values (patience "
            f"{self._patience})"
        )

    @property
    def best(self) -> BestModel | None:
        """The best so far."""
        if self._best is None:
            return None
        value, step = self._best
        return BestModel(model=str(self._path), metric=self._metric, value=value, step=step)

    def _is_better(self, step: int, row: Mapping[str, float]) -> bool:
        value = row.get(self._metric)
        if value is None:
            return False
        if math.isfinite(value) and (self._best is None or self._sign * value > self._sign * self._best[0]):
            self._best, self._waited = (value, step), 0
            return True
        self._waited += 1
        return False


def check_best(metric: str | None, patience: int | None) -> None:
    """ValueError for settings that have no meaning together."""
    if patience is not None and metric is None:
        raise ValueError(f"patience {patience} waits for better values of keep_best; name a metric there")


def unknown_metric(metric: str, row: Mapping[str, float]) -> str:
    """What to say of a metric that is not logged."""
    known = [name for name in row if "/" in name]
    hint = suggest(metric, known, otherwise=f"logged are {', '.join(known)}")
    return f"keep_best: {metric!r} is not logged at the first step; {hint}"
