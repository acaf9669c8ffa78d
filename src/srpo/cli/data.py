"""`srpo data check`: find what is wrong with a data set before it costs anything."""

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srpo.data.check import Report

HELP = "check PATH: gold answers that do not grade themselves, broken pictures, duplicates, test problems"

_SETTINGS = {
    "adapter": "format of the rows: auto, columns, llava-cot, mulberry, mathv360k, verl",
    "hub": "data set on the hub instead of PATH",
    "subset": "configuration of the data set on the hub",
    "split": "split of a data set with several",
    "image-root": "folder that relative picture paths start from",
    "image-store": "folder into which embedded pictures are written",
}
"""Flag -> help; each is the field of `data:` in a config."""


def run(argv: list[str]) -> int:
    """Check a data set; exit code 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="srpo data", description=HELP)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="look at every row", description="Look at every row of a data set.")
    check.add_argument(
        "path", nargs="?", help="JSONL, JSON or parquet file, folder, saved data set, `drawn` or `drawn:<split>`"
    )
    check.add_argument("--limit", type=int, metavar="N", help="look at the first N rows only")
    check.add_argument(
        "--benchmarks",
        nargs="+",
        default=[],
        metavar="PATH",
        help="problem files of benchmarks: their problems are found",
    )
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    for name, text in _SETTINGS.items():
        check.add_argument(f"--{name}", help=text)
    for field in ("id", "question", "answer", "images", "choices", "caption"):
        check.add_argument(f"--mapping.{field}", metavar="COLUMN", help=f"column with the {field}")
    arguments = vars(parser.parse_args(argv))

    from srpo.data.check import check_source
    from srpo.data.config import SourceConfig
    from srpo.data.leakage import Benchmarks
    from srpo.runs.progress import progress

    if arguments["limit"] is not None and arguments["limit"] < 1:
        raise ValueError(f"--limit {arguments['limit']} checks nothing; give a number of at least 1")
    settings = {
        name.replace("-", "_"): value for name in _SETTINGS if (value := arguments[name.replace("-", "_")]) is not None
    }
    mapping = {key.removeprefix("mapping."): value for key, value in arguments.items() if "mapping." in key}
    given = arguments["path"] or ""
    drawn = SourceConfig.model_validate(given).drawn if given.partition(":")[0] == "drawn" else None
    origin = {"drawn": drawn} if drawn else {"path": given}
    source = SourceConfig.model_validate({**origin, **settings, "mapping": mapping})
    benchmarks = Benchmarks.load(arguments["benchmarks"]) if arguments["benchmarks"] else None
    with progress(None, "check") as bar:
        report = check_source(source, limit=arguments["limit"], benchmarks=benchmarks, advance=bar.advance)
    _show(report, as_json=arguments["json"])
    return 1 if report.num_bad else 0


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        findings = [row.model_dump(include={"place", "id", "reason", "detail"}) for row in report.findings]
        rows = {"findings": findings, "notes": [note._asdict() for note in report.notes]}
        print(json.dumps({**report._asdict(), **rows}, ensure_ascii=False, indent=1))
        return
    for row in report.findings:
        # Of a row that is no problem, the detail says everything.
        print(f"{row.place}: {row.why if row.id else row.detail}")
    for note in report.notes:
        print(f"{note.place}: note: {note.note}")
    if (more := sum(report.counts.values()) - len(report.findings)) > 0:
        print(f"and {more} more")
    found = ", ".join(f"{number} x {reason}" for reason, number in report.counts.items()) or "nothing wrong"
    print(f"{report.num_rows} rows, {report.num_usable} usable, {report.num_images} pictures; {found}")
