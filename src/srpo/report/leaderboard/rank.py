"""Benchmark results of runs and published numbers -> one `Leaderboard`: pure, before anything is drawn.

    board = lead([result, ...], read_published())
    board.standings[0].entry.rank, board.standings[0].board.num_ranked

Only what is of the same benchmark, metric and part of the data shares a board and is ranked: numbers are compared as
they are shown, to a tenth of a point, and ties share a rank. A run on a part of the items is listed without a rank.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from srpo.core.records import Record
from srpo.eval.result import BenchmarkResult
from srpo.report.leaderboard.datasets import DATASETS, BoardNames
from srpo.report.leaderboard.published import Published
from srpo.report.text import shown_value


class Entry(Record):
    """One number on a board."""

    model: str
    value: float
    """Between 0 and 1."""
    interval: tuple[float, float] | None = None
    """95% interval; published numbers have none."""
    is_run: bool
    """True for the user's own runs."""
    is_complete: bool = True
    """False for a run on a part of the items, which has no rank."""
    rank: int | None = None
    """1 is best."""
    num_items: int | None = None
    """Items that count, where they are known."""
    harness: str = ""
    """Who measured, and with what."""
    note: str = ""
    source: int | None = None
    """Number of the source in `Leaderboard.sources`."""
    place: str = ""
    """Where in the source."""


class Board(Record):
    """What is comparable: one metric on one part of one benchmark."""

    benchmark: str
    task: str
    title: str
    metric: str
    split: str
    """Empty for the items that the benchmark of that name has."""
    entries: tuple[Entry, ...]
    """Best first; those without a rank at the end."""

    @property
    def num_ranked(self) -> int:
        """How many are ranked."""
        return sum(entry.rank is not None for entry in self.entries)

    @property
    def has_run(self) -> bool:
        """Whether one of the user's runs is among them."""
        return any(entry.is_run for entry in self.entries)


class BoardCell(Record):
    """One number of the results table."""

    value: float
    interval: tuple[float, float] | None
    is_best: bool
    """The best, or one of several best, that are ranked on its board."""


class MatrixRow(Record):
    """One model in the results table."""

    model: str
    is_run: bool
    source: int | None
    cells: tuple[BoardCell | None, ...]
    """As many as there are boards."""


class Source(Record):
    """One publication."""

    number: int
    source: str
    url: str
    date: str
    places: tuple[str, ...]
    """Tables that were quoted."""


class Standing(NamedTuple):
    """Where one run stands on one board."""

    board: Board
    entry: Entry


class Leaderboard(Record):
    """Everything that a leaderboard page shows."""

    boards: tuple[Board, ...]
    rows: tuple[MatrixRow, ...]
    """Runs first, then published models in the order of their sources."""
    sources: tuple[Source, ...]

    @property
    def standings(self) -> list[Standing]:
        """Every run on every board that it is on."""
        return [Standing(board, entry) for board in self.boards for entry in board.entries if entry.is_run]

    @property
    def partial(self) -> bool:
        """Whether some run is listed without a rank."""
        return any(one.entry.rank is None for one in self.standings)


class _Key(NamedTuple):
    benchmark: str
    metric: str
    split: str


_Found = dict[_Key, list[Entry]]


def lead(
    results: Sequence[BenchmarkResult], published: Sequence[Published] = (), *, everything: bool = False
) -> Leaderboard:
    """Put runs and published numbers together.

    Args:
        results: One for each run and benchmark.
        published: Numbers of others.
        everything: Also show benchmarks on which no run is; without any run all are shown.
    """
    runs = {result.benchmark for result in results}
    runs |= {"mmmu-pro"} if {"mmmu-pro-standard", "mmmu-pro-vision"} <= runs else set()
    shown = [row for row in published if everything or not results or row.benchmark in runs]
    found: _Found = {}
    _add_runs(found, results, {_Key(row.benchmark, row.metric, "") for row in published})
    sources = _sources(shown)
    for row in shown:
        found.setdefault(_Key(row.benchmark, row.metric, row.split), []).append(_entry(row, sources[row.source].number))
    titles = {result.benchmark: result.title for result in results}
    keys = sorted(found, key=lambda key: _position(key, found))
    boards = tuple(_board(key, found[key], titles) for key in keys)
    return Leaderboard(boards=boards, rows=_matrix(boards), sources=tuple(sources.values()))


def _add_runs(found: _Found, results: Sequence[BenchmarkResult], wanted: set[_Key]) -> None:
    halves: dict[str, dict[str, Entry]] = {}
    for label, result in zip(_labels(results), results, strict=True):
        values = {"accuracy": result.accuracy, **result.breakdown.metrics, result.headline.name: result.headline.value}
        for metric, value in values.items():
            key = _Key(result.benchmark, metric, "")
            if metric == result.headline.name or key in wanted:
                entry = _own_entry(label, result, metric, value)
                found.setdefault(key, []).append(entry)
                if metric == "accuracy":
                    halves.setdefault(label, {})[result.benchmark] = entry
    for label, of in halves.items():
        if (one := of.get("mmmu-pro-standard")) and (two := of.get("mmmu-pro-vision")):
            mean = Entry(
                model=label,
                value=(one.value + two.value) / 2,
                is_run=True,
                is_complete=one.is_complete and two.is_complete,
                harness=one.harness,
                note="; ".join(dict.fromkeys(part for part in (one.note, two.note) if part)),
            )
            found.setdefault(_Key("mmmu-pro", "accuracy", ""), []).append(mean)


def _labels(results: Sequence[BenchmarkResult]) -> Iterator[str]:
    """The models' names, told apart where two runs of one model are on one benchmark."""
    seen: dict[tuple[str, str], int] = {}
    for result in results:
        count = seen[result.model, result.benchmark] = seen.get((result.model, result.benchmark), 0) + 1
        yield result.model if count == 1 else f"{result.model} ({count})"


def _own_entry(label: str, result: BenchmarkResult, metric: str, value: float) -> Entry:
    is_accuracy, notes = metric == "accuracy", []
    if result.missing:
        value = result.accuracy_over_all if is_accuracy else value
        notes.append(f"{result.missing:,} items without a response" + (", counted as wrong" if is_accuracy else ""))
    if _is_partial(result):
        notes.append(f"{_num_known(result):,} of {result.size:,} items: not ranked")
    judge = f" and judge {result.judge}" if result.judge else ""
    return Entry(
        model=label,
        value=value,
        interval=result.interval if is_accuracy and not result.missing else None,
        is_run=True,
        is_complete=not _is_partial(result),
        num_items=result.n,
        harness=f"srpo, rules{judge}",
        note="; ".join(notes),
    )


def _num_known(result: BenchmarkResult) -> int:
    return result.n + result.missing + result.ungradable + result.unusable


def _is_partial(result: BenchmarkResult) -> bool:
    return _num_known(result) < result.size


def _entry(row: Published, number: int) -> Entry:
    return Entry(
        model=row.model,
        value=row.value,
        is_run=False,
        harness=row.harness,
        note=row.note,
        source=number,
        place=row.place,
    )


def _sources(rows: Iterable[Published]) -> dict[str, Source]:
    places: dict[str, list[Published]] = {}
    for row in rows:
        places.setdefault(row.source, []).append(row)
    return {
        name: Source(
            number=number,
            source=name,
            url=quoted[0].url,
            date=quoted[0].date,
            places=tuple(dict.fromkeys(row.place for row in quoted)),
        )
        for number, (name, quoted) in enumerate(places.items(), 1)
    }


def _position(key: _Key, found: _Found) -> tuple[int, str, bool, int]:
    """Data sets in their usual order; within one, what runs are on first, then the larger board."""
    order = list(DATASETS)
    at = order.index(key.benchmark) if key.benchmark in order else len(order)
    return at, key.benchmark, not any(entry.is_run for entry in found[key]), -len(found[key])


def _board(key: _Key, entries: Sequence[Entry], titles: Mapping[str, str]) -> Board:
    dataset = DATASETS.get(key.benchmark) or BoardNames("Own benchmark", titles.get(key.benchmark, key.benchmark))
    comparable = sorted((entry for entry in entries if entry.is_complete), key=lambda entry: -shown_value(entry.value))
    rest = [entry for entry in entries if not entry.is_complete]
    values = [shown_value(entry.value) for entry in comparable]
    ranked = [
        entry.model_copy(update={"rank": 1 + values.index(value)})
        for entry, value in zip(comparable, values, strict=True)
    ]
    return Board(
        benchmark=key.benchmark,
        task=dataset.task,
        title=dataset.title,
        metric=key.metric,
        split=key.split,
        entries=(*ranked, *rest),
    )


def _matrix(boards: Sequence[Board]) -> tuple[MatrixRow, ...]:
    cells: dict[tuple[bool, int, str], list[BoardCell | None]] = {}
    for at, board in enumerate(boards):
        for entry in board.entries:
            # A model may stand in several sources, with other numbers in each.
            row = cells.setdefault((not entry.is_run, entry.source or 0, entry.model), [None] * len(boards))
            row[at] = BoardCell(value=entry.value, interval=entry.interval, is_best=entry.rank == 1)
    return tuple(
        MatrixRow(model=model, is_run=not foreign, source=source or None, cells=tuple(row))
        for (foreign, source, model), row in sorted(cells.items(), key=lambda item: item[0][:2])
    )
