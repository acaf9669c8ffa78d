"""`srpo report`: one self-contained HTML file from run directories or a demo directory, Markdown and JSON beside it."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from srpo.cli.leaderboard import PublishedOptions, page_path
from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling


class ReportOptions(PublishedOptions):
    """Write one self-contained HTML report from run directories or a demo directory, and print its path.

    Its tables are beside it as Markdown and as JSON, under the same name.
    """

    runs: Annotated[tuple[Path, ...], Positional("RUN")]
    """Run directories or demo directories."""
    out: Path | None = None
    """HTML file (null: report.html in the first RUN)."""
    samples: Annotated[int, Field(ge=1)] = 1000
    """At most so many responses in the gallery, drawn fairly over outcomes, runs and families."""
    open_path: bool = False
    """Print a file:// address that a browser opens."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print stages, runs and curves as JSON, write nothing."""


def make_report(options: ReportOptions) -> int:
    """Write the report and print its path, or print what it would show."""
    if options.as_json:
        from srpo.report import build
        from srpo.report.summary import report_json

        found = build.read_report(options.runs, published=options.published, shipped=not options.no_published)
        print(json.dumps(report_json(found), ensure_ascii=False, indent=2))
        return 0
    from srpo.report.page import write_report

    out = page_path(options.out, options.runs, "report.html")
    written = write_report(
        options.runs, out, published=options.published, shipped=not options.no_published, num_cards=options.samples
    ).resolve()
    print(written.as_uri() if options.open_path else written)
    return 0


COMMAND = Command(ReportOptions, make_report)
