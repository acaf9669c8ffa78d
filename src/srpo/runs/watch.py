"""Somebody who looks at a run while it works: logs its rows, sounds alarms, keeps the best model, tells trackers.

with watching(run_dir, config, save=..) as watch:
    while not (over or watch.ended):
        ...
        watch.log(step, row)
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from srpo.runs import json_events
from srpo.runs.best import BestKeeper, BestModel
from srpo.runs.directory import RunDir
from srpo.runs.memory import used_memory
from srpo.runs.panel import panel_lines
from srpo.runs.progress import note, show_panel
from srpo.runs.trackers import SampleCard, TrackerName, Trackers, check_trackers, open_trackers

MetricsRow = Mapping[str, float]


class Sounding(Protocol):
    """An alarm."""

    @property
    def name(self) -> str:
        """What it is called in metrics and configs."""

    @property
    def text(self) -> str:
        """What it means, and what to do."""


class WatchConfig(Protocol):
    """What the configs of training say about watching."""

    @property
    def keep_best(self) -> str | None:
        """Metric by which the best model is kept."""

    @property
    def patience(self) -> int | None:
        """Values of it without a better one after which the run ends."""

    @property
    def trackers(self) -> tuple[TrackerName, ...]:
        """Who else is told."""

    @property
    def tracker_project(self) -> str:
        """Under which project."""


class Alarms:
    """Looks at the last rows of a stage's steps, and tells what begins to sound."""

    def __init__(
        self,
        stage: str,
        window: int,
        find: Callable[[Sequence[MetricsRow]], Sequence[Sounding]],
        before: Sequence[MetricsRow],
        stop: Sequence[str] = (),
    ) -> None:
        self._stage, self._find, self._stop = stage, find, stop
        self._rows: deque[MetricsRow] = deque(before[-window:], maxlen=window)
        self.sounding = self._texts(self._now())
        """Alarms that sound: name -> what it means, and what to do."""
        self.stops: str | None = None
        """Why the run is to stop, if it is."""

    def take(self, row: MetricsRow) -> dict[str, float]:
        """What the metrics say of the alarms that sound after this row."""
        self._rows.append(row)
        now = self._now()
        for one in now:
            if one.name not in self.sounding:
                self._sound(one)
            if one.name in self._stop:
                self.stops = f"alarm {one.name}: {one.text}"
        self.sounding = self._texts(now)
        return {f"{self._stage}/alarms/{one.name}": 1.0 for one in now}

    def _sound(self, one: Sounding) -> None:
        if json_events.are_wanted():
            json_events.tell_event("alarm", stage=self._stage, name=one.name, text=one.text)
        else:
            note(f"{self._stage}: ALARM {one.name}: {one.text}")

    @staticmethod
    def _texts(alarms: Sequence[Sounding]) -> dict[str, str]:
        return {one.name: one.text for one in alarms}

    def _now(self) -> Sequence[Sounding]:
        return self._find(list(self._rows)) if len(self._rows) == self._rows.maxlen else []


class Watch:
    """See the module."""

    def __init__(self, run_dir: RunDir, keeper: BestKeeper | None, trackers: Trackers, alarms: Alarms | None) -> None:
        self._run_dir, self._keeper, self._trackers, self._alarms = run_dir, keeper, trackers, alarms

    def log(
        self, step: int, row: MetricsRow, *, complete: bool = True, phases: Mapping[str, float] | None = None
    ) -> None:
        """Write down what a step came to, and tell it.

        Args:
            step: Steps that are done.
            row: What it came to.
            complete: Whether this is a step's row; else it holds an evaluation alone.
            phases: Seconds that the step took by its phases. They are told and not written down: two equal runs
                differ in them.
        """
        told = self._alarms.take(row) if self._alarms is not None and complete else {}
        row = {**row, **told}
        self._run_dir.log(step, row)
        if complete:
            self._tell(step, row, phases or {})
        if self._trackers.are_open:
            self._trackers.log(step, row)
        if self._keeper is not None:
            self._keeper.take(step, row, complete=complete)

    def _tell(self, step: int, row: MetricsRow, phases: Mapping[str, float]) -> None:
        stage, memory = self._run_dir.stage, used_memory()
        if json_events.are_wanted():
            took = {name: round(seconds, 4) for name, seconds in phases.items()}
            json_events.tell_event(
                "step", stage=stage, step=step, metrics=dict(row), phases_s=took, memory_bytes=memory._asdict()
            )
            return
        sounding = {} if self._alarms is None else self._alarms.sounding
        show_panel(panel_lines(stage, row, sounding, phases, memory))

    def show(self, step: int, cards: Callable[[], Sequence[SampleCard]]) -> None:
        """Show responses to whoever looks; they are only made where somebody does."""
        if self._trackers.are_open:
            self._trackers.show(step, cards())

    @property
    def ended(self) -> str | None:
        """Why the run is over before its steps are."""
        return self._keeper.ended if self._keeper is not None else None

    @property
    def stops(self) -> str | None:
        """Why the run is to stop and be looked at."""
        return self._alarms.stops if self._alarms is not None else None

    @property
    def best(self) -> BestModel | None:
        """The best model so far."""
        return self._keeper.best if self._keeper is not None else None


@contextmanager
def watching(
    run_dir: RunDir, config: WatchConfig, save: Callable[[Path], object], alarms: Alarms | None = None
) -> Iterator[Watch]:
    """Watch a run that begins or goes on; `save` writes its model.

    Raises:
        ValueError: a tracker is not installed.
    """
    if run_dir.follows:  # whoever leads watches
        yield Watch(run_dir, None, open_trackers((), run_dir, project=config.tracker_project), None)
        return
    check_trackers(config.trackers)
    keeper = BestKeeper(run_dir, config.keep_best, config.patience, save) if config.keep_best else None
    trackers = open_trackers(config.trackers, run_dir, project=config.tracker_project)
    try:
        yield Watch(run_dir, keeper, trackers, alarms)
    finally:
        trackers.close()
