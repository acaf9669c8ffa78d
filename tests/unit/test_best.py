"""The best model is kept beside the last, and patience ends a run; both go on after a kill."""

from pathlib import Path

import pytest

from srpo.core.records import Record
from srpo.runs.best import BestKeeper, check_best
from srpo.runs.directory import RunDir

METRIC = "rl/eval/final_accuracy"


class Config(Record):
    steps: int = 9


def keep(run: RunDir, metric: str, values: list[float | None], *, patience: int | None = None) -> BestKeeper:
    """Log rows, with the metric where there is a value."""
    done = sum(1 for _ in run.metrics())
    keeper = BestKeeper(run, metric, patience, lambda path: (path / "weights").write_text(str(step)))
    for place, value in enumerate(values):
        step = done + place
        row = {"rl/loss": 1.0} | ({} if value is None else {metric.removeprefix("-"): value})
        run.log(step, row)
        keeper.take(step, row, complete=step > 0)
    return keeper


def test_the_first_of_equals_is_the_best_and_rows_without_the_metric_do_not_count(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        keeper = keep(run, METRIC, [0.2, None, 0.5, None, 0.5, float("nan")], patience=3)
        assert keeper.ended is None
        assert keeper.best is not None
        assert (keeper.best.step, keeper.best.value) == (2, 0.5)
        assert (tmp_path / "best" / "weights").read_text() == "2"


def test_patience_ends_the_run_and_says_by_what(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        keeper = keep(run, METRIC, [0.2, 0.1, 0.2], patience=2)
        assert keeper.ended == f"{METRIC} was not better than 0.2 of step 0 for 2 values (patience 2)"


def test_a_minus_means_less_is_better(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "sft") as run:
        best = keep(run, "-sft/loss", [3.0, 1.0, 2.0]).best
        assert best is not None
        assert (best.metric, best.step) == ("sft/loss", 1)


def test_a_run_that_goes_on_knows_its_best(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        keep(run, METRIC, [0.2, 0.7])
        run.checkpoint(1, lambda path: None)
    with RunDir.open(tmp_path, Config(), "rl") as run:
        keeper = keep(run, METRIC, [0.6, 0.5], patience=2)
        assert keeper.ended is not None
        assert (tmp_path / "best" / "weights").read_text() == "1"


def test_a_metric_that_is_not_logged_is_named_at_the_first_step(tmp_path: Path) -> None:
    with (
        RunDir.open(tmp_path, Config(), "rl") as run,
        pytest.raises(ValueError, match="keep_best: 'rl/los' is not logged at the first step; did you mean 'rl/loss'"),
    ):
        keep(run, "rl/los", [None, None])


def test_patience_needs_something_to_wait_for() -> None:
    with pytest.raises(ValueError, match="patience 3 waits for better values of keep_best; name a metric there"):
        check_best(None, 3)
