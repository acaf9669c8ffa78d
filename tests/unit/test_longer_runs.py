"""A run directory whose run was given more steps."""

from collections.abc import Collection
from pathlib import Path

import pytest

from srpo.core.records import Record
from srpo.runs.directory import Growth, RunDir


class Config(Record):
    steps: int | None = 2
    lr: float = 0.1


def work(path: Path, config: Config, *, checkpoint: bool = True, may_grow: Collection[str] = ("steps",)) -> RunDir:
    """Run to the end, or find the run finished."""
    with RunDir.open(path, config, "rl", may_grow=may_grow) as run:
        if run.finished:
            return run
        saved = run.latest_checkpoint()
        for step in range(saved.step if saved else 0, config.steps or 0):
            run.log(step + 1, {"rl/loss": 1.0})
        if checkpoint:
            run.checkpoint(config.steps or 0, lambda path: None)
        run.finish({"steps": config.steps})
        return run


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path) -> None:
    work(tmp_path, Config())
    run = work(tmp_path, Config(steps=3))
    assert run.grown == {"steps": Growth(2, 3)}
    reader = RunDir.read(tmp_path)
    assert [row["step"] for row in reader.metrics()] == [1, 2, 3]
    assert (reader.summary(), reader.config.config["steps"]) == ({"steps": 3}, 3)
    assert work(tmp_path, Config(steps=3)).grown == {}


def test_a_kill_before_the_longer_configuration_is_written_loses_nothing(tmp_path: Path) -> None:
    work(tmp_path, Config())
    (tmp_path / "summary.json").unlink()
    assert work(tmp_path, Config(steps=3)).grown == {"steps": Growth(2, 3)}
    assert [row["step"] for row in RunDir.read(tmp_path).metrics()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Config(steps=1), "steps is 2 there and 1 now. A run goes on with more, never with less"),
        (Config(steps=None), "steps is 2 there and None now"),
        (Config(steps=3, lr=0.2), "lr is 0.1 there and 0.2 now"),
    ],
)
def test_less_or_anything_else_is_refused_and_leaves_the_run_as_it_is(
    tmp_path: Path, other: Config, message: str
) -> None:
    work(tmp_path, Config())
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.suffix == ".json"}
    with pytest.raises(ValueError, match=message):
        work(tmp_path, other)
    assert {path: path.read_bytes() for path in before} == before


def test_stages_that_do_not_grow_refuse_more(tmp_path: Path) -> None:
    work(tmp_path, Config())
    with pytest.raises(ValueError, match="steps is 2 there and 3 now"):
        work(tmp_path, Config(steps=3), may_grow=())


def test_a_run_without_a_checkpoint_cannot_go_on(tmp_path: Path) -> None:
    work(tmp_path, Config(), checkpoint=False)
    with pytest.raises(ValueError, match="no checkpoint from which it could go on to steps 3"):
        work(tmp_path, Config(steps=3))
    assert RunDir.read(tmp_path).summary() == {"steps": 2}
