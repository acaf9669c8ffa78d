"""`srpo report`: one self-contained HTML file from run directories or a demo directory."""

import argparse
import json
from pathlib import Path

from srpo.cli.leaderboard import add_published

HELP = "write one self-contained HTML report from run directories or a demo directory"


def run(argv: list[str]) -> int:
    """Write the report and print its path, or with `--json` print what it would show."""
    parser = argparse.ArgumentParser(prog="srpo report", description=HELP)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory or demo directory")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="default: report.html in the first RUN")
    parser.add_argument("--open-path", action="store_true", help="print a file:// address that a browser opens")
    parser.add_argument("--json", action="store_true", help="print stages, runs and curves as JSON, write nothing")
    add_published(parser)
    arguments = parser.parse_args(argv)
    beside = {"published": arguments.published, "shipped": not arguments.no_published}
    if arguments.json:
        from srpo.report import build
        from srpo.report.summary import report_json

        print(json.dumps(report_json(build.read_report(arguments.runs, **beside)), ensure_ascii=False, indent=2))
        return 0
    from srpo.report.page import write_report

    out: Path = arguments.out or arguments.runs[0] / "report.html"
    if out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a directory; name the file, e.g. {str(out / 'report.html')!r}")
    written = write_report(arguments.runs, out, **beside).resolve()
    print(written.as_uri() if arguments.open_path else written)
    return 0
