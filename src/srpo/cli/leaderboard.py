"""`srpo leaderboard`: benchmark results of runs beside published ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import model_validator

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Record
from srpo.runs.reader import check_spared


class PublishedOptions(Record):
    """Which published numbers stand beside the runs."""

    published: tuple[Path, ...] = ()
    """YAML files with further published results, in the form of docs/leaderboard.md."""
    no_published: bool = False
    """Leave out the published results that ship with us."""


class LeaderboardOptions(PublishedOptions):
    """Rank the benchmark results of runs among published ones: one HTML file, Markdown or JSON."""

    runs: Annotated[tuple[Path, ...], Positional("RUN")] = ()
    """Run directories of `srpo eval` or `srpo score --out`."""
    all: bool = False
    """Also show benchmarks on which none of the runs is."""
    out: Path | None = None
    """HTML file (null: leaderboard.html in the first RUN)."""
    title: str | None = None
    """Heading of the page."""
    markdown: bool = False
    """Print Markdown tables, write nothing."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print everything as JSON, write nothing."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.markdown and self.as_json:
            raise ValueError("--markdown and --json are two forms of the same; give one of them")
        return self


def rank_runs(options: LeaderboardOptions) -> int:
    """Write the page and print its path, or print the tables."""
    from srpo.report.leaderboard import board
    from srpo.report.leaderboard.published import read_published
    from srpo.report.leaderboard.rank import lead
    from srpo.report.leaderboard.results import results_in
    from srpo.runs.progress import note

    results, without = results_in(options.runs)
    if options.runs and not results:
        where = f"{str(without[0])!r} has no benchmark result"
        raise ValueError(f"{where}; `srpo eval` with a benchmark and `srpo score --out` leave one")
    for path in without:
        note(f"srpo: {str(path)!r} has no benchmark result and is left out")
    published = read_published(options.published, shipped=not options.no_published)
    found = lead(results, published, everything=options.all)
    if not found.boards:
        raise ValueError("there is nothing to show; give a RUN, or published results")
    if options.as_json:
        print(json.dumps(board.leaderboard_json(found), ensure_ascii=False, indent=2))
    elif options.markdown:
        print(board.as_markdown(found), end="")
    else:
        out = page_path(options.out, options.runs, "leaderboard.html")
        print(board.write_leaderboard(found, out, title=options.title or board.TITLE).resolve())
    return 0


def page_path(out: Path | None, runs: Sequence[Path], name: str) -> Path:
    """Where an HTML page goes: into the first run unless `out` says otherwise."""
    path = out or Path(runs[0] if runs else ".") / name
    if path.is_dir():
        raise ValueError(f"--out {str(path)!r} is a directory; name the file, e.g. {str(path / name)!r}")
    check_spared(path)
    return path


COMMAND = Command(LeaderboardOptions, rank_runs)
