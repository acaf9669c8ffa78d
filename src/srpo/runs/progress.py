"""Progress with time left: a bar on a terminal, plain lines elsewhere or without rich, always on stderr.

Where `json_events` are wanted, both are lines of JSON instead.

    with progress(500, "rl") as bar:
        for step in range(500):
            ...
            bar.advance(1, reward=0.71)

A second `progress` inside the first one adds a bar below it. `note` prints a line without tearing the bars.
"""

import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from srpo.core.visible import visible
from srpo.runs import json_events
from srpo.runs.extras import is_installed

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_EVERY_S = 10.0
"""Off a terminal, the longest silence."""
LINE_EVERY_SHARE = 0.1
"""Off a terminal, a line is also printed whenever another such share is done."""
LINE_APART_S = 1.0
"""Off a terminal, the shortest time between two lines."""
SHORTEST_S = 0.001
"""Seconds from which on a rate is told."""
WINDOW = 30
"""The time left follows the mean rate over this many latest advances."""

Shown = str | float


class Bar(Protocol):
    """What `progress` yields."""

    def advance(self, n: int = 1, **fields: Shown) -> None:
        """Count `n` more items as done; `fields` are shown beside the count until the next ones replace them."""
        ...


class ProgressRate:
    """Items per second over the latest advances, so that a slow start or a cache does not spoil the estimate."""

    def __init__(self, now_s: float) -> None:
        self._marks: deque[tuple[float, int]] = deque([(now_s, 0)], maxlen=WINDOW + 1)

    def add(self, now_s: float, num_items: int) -> None:
        """Record that `num_items` more were done by `now_s`."""
        self._marks.append((now_s, self._marks[-1][1] + num_items))

    @property
    def each_s(self) -> float | None:
        """Seconds per item; None before there is anything to go by."""
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        # What is counted all at once was done elsewhere: no time went by from which a rate could be told.
        return (last_s - first_s) / (last - first) if last > first and last_s - first_s > SHORTEST_S else None

    def left_s(self, num_items: int) -> float | None:
        """Seconds that `num_items` more will take; None before there is anything to go by."""
        return None if self.each_s is None else num_items * self.each_s


def format_duration(seconds: float) -> str:
    """Write a duration for people.

    >>> [format_duration(s) for s in (0.25, 9.96, 75, 3725, 200000)]
    ['0.2s', '10s', '1m15s', '1h02m', '2d07h']
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def format_rate(each_s: float | None) -> str:
    """Write how fast it goes: seconds per item where one takes long, else items per second.

    >>> [format_rate(each_s) for each_s in (None, 2.5, 75, 0.25, 1 / 812)]
    ['', '2.5s each', '1m15s each', '4.0/s', '812/s']
    """
    if not each_s:
        return ""
    if each_s >= 1:
        return f"{format_duration(each_s)} each"
    return f"{1 / each_s:.1f}/s" if each_s > 0.1 else f"{1 / each_s:,.0f}/s"


def format_fields(fields: dict[str, Shown]) -> str:
    """Write `{"reward": 0.7123, "kept": 12}` as `reward 0.712  kept 12`."""
    return "  ".join(
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in fields.items()
    )


_active: list["RichProgress"] = []
_panel: list[tuple[str, str]] = []
"""Lines below the bars."""
_silent: list[bool] = []


@contextmanager
def in_silence() -> Iterator[None]:
    """Within, nothing is shown: another process of the same run does."""
    _silent.append(True)
    try:
        yield
    finally:
        _silent.pop()


@contextmanager
def progress(total: int | None, description: str, *, done: int = 0) -> Iterator[Bar]:
    """Show how far a long step is.

    Args:
        total: Number of items; None when it is not known (then there is no estimate of the time left).
        description: What is being done, one or two words.
        done: Items that an earlier process has done already; they do not count for the rate.
    """
    if _silent:
        yield _NoBar()
        return
    if json_events.are_wanted() or not _has_bars():
        lines = _LineBar(total, description, done)
        yield lines
        lines.end()
        return
    if _active:
        bar = _RichBar(_active[0], total, description, done)
        try:
            yield bar
        finally:
            bar.end()
        return
    display = _rich_display()
    _active.append(display)
    try:
        with display:
            yield _RichBar(display, total, description, done)
    finally:
        _active.clear()
        _panel.clear()


def note(text: str) -> None:
    """Print a line to stderr, above the bars if there are any; what a server or a model wrote into it is made inert."""
    if _silent:
        return
    if json_events.are_wanted():
        json_events.tell_event("note", text=text)
    elif _active:
        _active[0].console.print(visible(text), markup=False, highlight=False)
    else:
        print(visible(text), file=sys.stderr, flush=True)


def show_panel(lines: Sequence[tuple[str, str]]) -> None:
    """Show lines of name and text below the bars, in place of those before; where there are no bars, nothing."""
    if _active:
        _panel[:] = lines


def _has_bars() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and is_installed("rich")


class _NoBar:
    def advance(self, n: int = 1, **fields: Shown) -> None:
        pass


class _LineBar:
    def __init__(self, total: int | None, description: str, done: int) -> None:
        self._total, self._description, self._done = total, description, done
        self._started_s = self._printed_s = time.monotonic()
        self._printed = done
        self._rate = ProgressRate(self._started_s)
        self._fields: dict[str, Shown] = {}

    def advance(self, n: int = 1, **fields: Shown) -> None:
        now_s = time.monotonic()
        self._done += n
        self._rate.add(now_s, n)
        self._fields.update(fields)
        silent_s = now_s - self._printed_s
        tenth = self._total is not None and self._done - self._printed >= LINE_EVERY_SHARE * self._total
        if silent_s >= LINE_EVERY_S or (tenth and silent_s >= LINE_APART_S):
            self._print(now_s)

    def end(self) -> None:
        if self._done != self._printed:
            self._print(time.monotonic())

    def _print(self, now_s: float) -> None:
        self._printed_s, self._printed = now_s, self._done
        total, elapsed_s = self._total, now_s - self._started_s
        left_s = None if total is None or self._done >= total else self._rate.left_s(total - self._done)
        if json_events.are_wanted():
            count = {"of": self._description, "done": self._done, "total": total}
            times = {"elapsed_s": elapsed_s, "left_s": left_s, "each_s": self._rate.each_s}
            rounded = {name: None if took is None else float(f"{took:.4g}") for name, took in times.items()}
            json_events.tell_event("progress", **count, **rounded, shown=self._fields)
            return
        share = "" if total is None else f"/{total} ({self._done / max(total, 1):.0%})"
        left = "" if left_s is None else f"{format_duration(left_s)} left"
        parts = (format_duration(elapsed_s), left, format_rate(self._rate.each_s), format_fields(self._fields))
        line = f"{self._description} {self._done}{share}  {'  '.join(filter(None, parts))}"
        print(line, file=sys.stderr, flush=True)


class _RichBar:
    def __init__(self, display: "RichProgress", total: int | None, description: str, done: int) -> None:
        self._display = display
        self._rate = ProgressRate(time.monotonic())
        self._total, self._done = total, done
        self._shown: dict[str, Shown] = {}
        self._task: TaskID = display.add_task(
            description, total=total, completed=done, left="", rate="", fields_text=""
        )

    def advance(self, n: int = 1, **fields: Shown) -> None:
        self._done += n
        self._rate.add(time.monotonic(), n)
        self._shown.update(fields)
        left_s = None if self._total is None else self._rate.left_s(self._total - self._done)
        left = "" if left_s is None or not left_s else f"{format_duration(left_s)} left"
        rate = format_rate(self._rate.each_s)
        self._display.update(self._task, advance=n, left=left, rate=rate, fields_text=format_fields(self._shown))

    def end(self) -> None:
        self._display.remove_task(self._task)


def _rich_display() -> "RichProgress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column, Table
    from rich.text import Text

    class WithPanel(Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            yield self.make_tasks_table(self.tasks)
            if _panel:
                lines = Table.grid(padding=(0, 2))
                for name, text in _panel:
                    style = "bold red" if name.startswith("ALARM") else "dim"
                    lines.add_row(Text(f"  {visible(name)}", style=style), Text(visible(text)))
                yield lines

    return WithPanel(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[fields_text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True),
        # What a stage prints to stdout is its result and must not end up on stderr.
        redirect_stdout=False,
    )
