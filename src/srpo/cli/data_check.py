"""`srpo data check`: find what is wrong with a data set before it costs anything."""

import json
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Spelling
from srpo.core.visible import one_line
from srpo.data.config import SourceConfig

if TYPE_CHECKING:
    from srpo.data.check import Report

_LINE = 500
"""Characters of a finding that are printed."""


class CheckOptions(SourceConfig):
    """Look at every row of a data set: golds that do not grade themselves, broken pictures, duplicates.

    Exit code 1 when anything is wrong.
    """

    limit: Annotated[int, Field(ge=1)] | None = None
    """Look at the first so many rows only."""
    benchmarks: tuple[str, ...] = ()
    """Problem files of benchmarks: their problems are found."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the findings as JSON."""


def check_data(options: CheckOptions) -> int:
    """Print what is wrong; exit code 1 when anything is."""
    from srpo.data.check import check_source
    from srpo.data.leakage import Benchmarks
    from srpo.runs.progress import progress

    benchmarks = Benchmarks.load(options.benchmarks) if options.benchmarks else None
    with progress(None, "check") as bar:
        report = check_source(options, limit=options.limit, benchmarks=benchmarks, advance=bar.advance)
    _show(report, as_json=options.as_json)
    return 1 if report.num_bad else 0


COMMAND = Command(CheckOptions, check_data)


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        findings = [row.model_dump(include={"place", "id", "reason", "detail"}) for row in report.findings]
        rows = {"findings": findings, "notes": [note._asdict() for note in report.notes]}
        print(json.dumps({**report._asdict(), **rows}, ensure_ascii=False, indent=1))
        return
    for row in report.findings:
        # Of a row that is no problem, the detail says everything.
        print(one_line(f"{row.place}: {row.why if row.id else row.detail}", _LINE))
    for note in report.notes:
        print(one_line(f"{note.place}: note: {note.note}", _LINE))
    if (more := sum(report.counts.values()) - len(report.findings)) > 0:
        print(f"and {more} more")
    found = ", ".join(f"{number} x {reason}" for reason, number in report.counts.items()) or "nothing wrong"
    print(f"{report.num_rows} rows, {report.num_usable} usable, {report.num_images} pictures; {found}")
