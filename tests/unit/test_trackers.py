"""Trackers: a failure costs the tracker, never the run; each adapter calls what its package has."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.trackers import SampleCard, TrackerName, Trackers, check_trackers, open_trackers

STAND_INS = Path(__file__).parents[1] / "support" / "trackers"
CARDS = [
    SampleCard("p1: wrong→right", "3 < 4?", Image.new("RGB", (4, 4))),
    SampleCard("p2: right→right", "no picture", None),
]


class Config(Record):
    steps: int = 4


class Fails:
    """A tracker with a bug at one place."""

    run_id = "id"

    def __init__(self, at: str, error: BaseException) -> None:
        self._at, self._error = at, error
        self.steps: list[int] = []

    def _maybe(self, place: str) -> None:
        if place == self._at:
            raise self._error

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._maybe("log")
        self.steps.append(step)

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        self._maybe("show")

    def close(self) -> None:
        self._maybe("close")


@pytest.mark.parametrize("at", ["start", "log", "show", "close"])
@pytest.mark.parametrize("error", [RuntimeError("no\nnetwork"), SystemExit(1)])
def test_a_tracker_that_fails_is_told_once_and_the_others_go_on(
    at: str, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    well = Fails("never", error)

    def start() -> Fails:
        if at == "start":
            raise error
        return Fails(at, error)

    trackers = Trackers({"ill": start, "well": lambda: well}, remember=lambda ids: None)
    for step in (1, 2):
        trackers.log(step, {"rl/loss": 0.5})
        trackers.show(step, [])
    trackers.close()
    assert well.steps == [1, 2]
    said = capsys.readouterr().err
    assert said.count("tracker 'ill' failed and is left out from here on; the run goes on") == 1
    assert "'well'" not in said


def test_what_trackers_print_is_not_the_result_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    class Talks(Fails):
        def log(self, step: int, metrics: Mapping[str, float]) -> None:
            print("view it at ..")

    trackers = Trackers({"talks": lambda: Talks("never", RuntimeError())}, remember=lambda ids: None)
    trackers.log(1, {})
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "view it at ..\n")


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    # Another test of this process may have imported it.
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    with pytest.raises(ValueError, match="trackers: 'trackio' is not installed; `pip install trackio`"):
        check_trackers(("trackio",))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[str, Any]]]:
    """Put a package of that name in place of the real one; gives its calls."""
    monkeypatch.syspath_prepend(str(STAND_INS))

    def place(name: str) -> list[tuple[str, Any]]:
        monkeypatch.delitem(sys.modules, name, raising=False)
        calls: list[tuple[str, Any]] = import_module(name).CALLS
        calls.clear()
        return calls

    return place


def track(path: Path, name: TrackerName) -> None:
    """Open a run twice, as one that is stopped and goes on."""
    for step in (1, 2):
        with RunDir.open(path / "lab" / "rl", Config(), "rl") as run:
            trackers = open_trackers((name,), run, project="mine")
            assert trackers.are_open
            run.log(step, {"rl/loss": 1.0})
            trackers.log(step, {"rl/loss": 1.0})
            trackers.show(step, CARDS)
            trackers.close()
            run.checkpoint(step, lambda path: None)


def test_wandb_gets_rows_cards_and_its_run_back(
    stand_in: Callable[[str], list[tuple[str, Any]]], tmp_path: Path
) -> None:
    calls = stand_in("wandb")
    track(tmp_path, "wandb")
    starts = [given for name, given in calls if name == "init"]
    assert [start["id"] for start in starts] == [None, "abc"]
    assert (starts[0]["project"], starts[0]["name"], starts[0]["resume"]) == ("mine", "lab-rl", "allow")
    assert starts[0]["config"] == {"steps": 4}
    (row, cards) = [given for name, given in calls if name == "log"][:2]
    assert row == (1, {"rl/loss": 1.0})
    assert cards[1]["cards/0"].caption.startswith("p1: wrong→right")
    assert cards[1]["cards/1"].data == "<pre>p2: right→right\n\nno picture</pre>"
    assert [name for name, _ in calls].count("finish") == 2


def test_trackio_gets_rows_cards_and_its_run_back(
    stand_in: Callable[[str], list[tuple[str, Any]]], tmp_path: Path
) -> None:
    calls = stand_in("trackio")
    track(tmp_path, "trackio")
    assert [given["resume"] for name, given in calls if name == "init"] == ["never", "allow"]
    cards = [given for name, given in calls if name == "log"][1][1]
    assert cards["cards/1"].text == "p2: right→right\n\nno picture"


def test_mlflow_gets_rows_cards_and_its_run_back(
    stand_in: Callable[[str], list[tuple[str, Any]]], tmp_path: Path
) -> None:
    calls = stand_in("mlflow")
    track(tmp_path, "mlflow")
    assert [given for name, given in calls if name == "start_run"] == [(None, "lab-rl"), ("f00", None)]
    assert ("log_metrics", (2, {"rl/loss": 1.0})) in calls
    assert ("log_image", "cards/step-000001/0.png") in calls
    assert [given for name, given in calls if name == "log_dict"] == [("config.json", {"steps": 4})]


def test_cards_are_not_made_where_nobody_looks(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "run", Config(), "rl") as run:
        assert not open_trackers((), run, project="mine").are_open
