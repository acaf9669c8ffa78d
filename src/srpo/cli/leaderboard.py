"""`srpo leaderboard`: benchmark results of runs beside published ones."""

import argparse
import json
from pathlib import Path

HELP = "rank the benchmark results of runs among published ones: one HTML file, Markdown or JSON"


def run(argv: list[str]) -> int:
    """Write the page and print its path, or print the tables with `--markdown` or `--json`."""
    parser = argparse.ArgumentParser(prog="srpo leaderboard", description=HELP)
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="run directories of `srpo eval` or `srpo score --out`"
    )
    add_published(parser)
    parser.add_argument("--all", action="store_true", help="also show benchmarks on which none of the runs is")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="default: leaderboard.html in the first RUN")
    parser.add_argument("--title", help="heading of the page")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables, write nothing")
    form.add_argument("--json", action="store_true", help="print everything as JSON, write nothing")
    arguments = parser.parse_args(argv)

    from srpo.report.leaderboard import board
    from srpo.report.leaderboard.published import read_published
    from srpo.report.leaderboard.rank import lead
    from srpo.report.leaderboard.results import results_in
    from srpo.runs.progress import note

    results, without = results_in(arguments.runs)
    if arguments.runs and not results:
        where = f"{str(without[0])!r} has no benchmark result"
        raise ValueError(f"{where}; `srpo eval` with a benchmark and `srpo score --out` leave one")
    for path in without:
        note(f"srpo: {str(path)!r} has no benchmark result and is left out")
    published = read_published(arguments.published, shipped=not arguments.no_published)
    found = lead(results, published, everything=arguments.all)
    if not found.boards:
        raise ValueError("there is nothing to show; give a RUN, or published results")
    if arguments.json:
        print(json.dumps(board.leaderboard_json(found), ensure_ascii=False, indent=2))
        return 0
    if arguments.markdown:
        print(board.as_markdown(found), end="")
        return 0
    out: Path = arguments.out or Path(arguments.runs[0] if arguments.runs else ".") / "leaderboard.html"
    if out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a directory; name the file, e.g. {str(out / 'leaderboard.html')!r}")
    print(board.write_leaderboard(found, out, title=arguments.title or board.TITLE).resolve())
    return 0


def add_published(parser: argparse.ArgumentParser) -> None:
    """The flags that say which published numbers stand beside the runs."""
    parser.add_argument(
        "--published",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.yaml",
        help="further published results, in the form of docs/leaderboard.md; may be given several times",
    )
    parser.add_argument("--no-published", action="store_true", help="leave out the published results that ship with us")
