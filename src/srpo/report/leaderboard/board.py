"""A `Leaderboard` as one HTML file, as Markdown for a README, and as JSON."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from srpo.report.leaderboard.rank import Board, BoardCell, Entry, Leaderboard
from srpo.report.markup import plain, table
from srpo.report.text import is_linkable, metric_words, points

TITLE: Final = "Benchmark results"


def render_leaderboard(lead: Leaderboard, *, title: str = TITLE) -> str:
    """The whole page as text."""
    from srpo.report.pages import environment, theme

    template = environment().get_template("leaderboard.html.j2")
    return template.render(lead=lead, title=title, headline=headline(lead), **theme())


def write_leaderboard(lead: Leaderboard, out: Path, *, title: str = TITLE) -> Path:
    """Write the page to `out` and return it."""
    from srpo.report.pages import write_page

    return write_page(render_leaderboard(lead, title=title), out)


def headline(lead: Leaderboard) -> str:
    """What the page holds, in one sentence."""
    runs = len({one.entry.model for one in lead.standings})
    published = sum(not entry.is_run for board in lead.boards for entry in board.entries)
    benchmarks = _count(len({board.benchmark for board in lead.boards}), "benchmark")
    counts = [
        *([f"{_count(runs, 'model')} of yours"] if runs else []),
        *([_count(published, "published number")] if published else []),
    ]
    return f"{' and '.join(counts)} on {benchmarks}."


def as_markdown(lead: Leaderboard) -> str:
    """Standings, results and sources as Markdown tables."""
    parts = []
    if lead.standings:
        rows = [
            [board.task, board.title, entry.model, _what(board), _value(entry), _rank(entry, board)]
            for board, entry in lead.standings
        ]
        parts += [table(["Task", "Dataset", "Model", "Metric", "Result, %", "Rank"], rows, num_text=4)]
    if lead.boards:
        head = ["Model", *(f"{board.title}, {_what(board)}" for board in lead.boards)]
        cells = [[plain(row.model) + _cite(row.source), *map(_cell, row.cells)] for row in lead.rows]
        parts += [table(head, cells, num_text=1, escaped=True)]
    if lead.sources:
        parts += ["\n".join(_source(one.number, one.source, one.date, one.places, one.url) for one in lead.sources)]
    return "\n\n".join(parts) + "\n"


def leaderboard_json(lead: Leaderboard) -> dict[str, Any]:
    """All of it as a JSON value, with the runs' standings first."""
    standings = [
        {"task": board.task, "dataset": board.title, "benchmark": board.benchmark, "metric": board.metric}
        | {"split": board.split, "num_ranked": board.num_ranked}
        | entry.model_dump(mode="json", include={"model", "value", "interval", "rank", "num_items", "note"})
        for board, entry in lead.standings
    ]
    return {"standings": standings} | lead.model_dump(mode="json")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _what(board: Board) -> str:
    return metric_words(board.metric) + (f", {board.split}" if board.split else "")


def _value(entry: Entry) -> str:
    return points(entry.value) + (f" ({_range(entry.interval)})" if entry.interval else "")


def _range(interval: tuple[float, float]) -> str:
    return " – ".join(map(points, interval))


def _rank(entry: Entry, board: Board) -> str:
    return "not ranked" if entry.rank is None else f"{entry.rank} of {board.num_ranked}"


def _cell(cell: BoardCell | None) -> str:
    if cell is None:
        return "–"
    shown = f"**{points(cell.value)}**" if cell.is_best else points(cell.value)
    return shown + (f" ({_range(cell.interval)})" if cell.interval else "")


def _cite(number: int | None) -> str:
    return f" \\[{number}\\]" if number else " (your run)"


def _source(number: int, source: str, date: str, places: Sequence[str], url: str) -> str:
    text = f"{number}. {plain(source)}{f' ({plain(date)})' if date else ''}. {plain('; '.join(places))}."
    return f"{text} <{url}>" if is_linkable(url) and not re.search(r"[\s<>]", url) else text
