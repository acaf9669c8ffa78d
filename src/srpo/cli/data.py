"""`srpo data check`: find what is wrong with a data set before it costs anything."""

import argparse
import json

HELP = "check PATH: gold answers that do not grade themselves, broken pictures, duplicates"


def run(argv: list[str]) -> int:
    """Check a data set; exit code 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="srpo data", description=HELP)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="look at every row", description="Look at every row of a data set.")
    check.add_argument("path", help="JSONL, JSON or parquet file, folder, `drawn` or `drawn:<split>`")
    check.add_argument("--limit", type=int, metavar="N", help="look at the first N rows only")
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    for field in ("id", "question", "answer", "images", "choices"):
        check.add_argument(f"--mapping.{field}", metavar="COLUMN", help=f"column with the {field}")
    arguments = parser.parse_args(argv)

    from srpo.config.data import FieldMapping, SourceConfig  # pydantic only when it is wanted
    from srpo.data.check import check_source
    from srpo.runs.progress import progress

    if arguments.limit is not None and arguments.limit < 1:
        raise ValueError(f"--limit {arguments.limit} checks nothing; give a number of at least 1")
    named = {key.removeprefix("mapping."): value for key, value in vars(arguments).items() if "mapping." in key}
    source = SourceConfig.model_validate(arguments.path)
    source = source.model_copy(update={"mapping": FieldMapping(**named)})
    with progress(None, "check") as bar:
        report = check_source(source, limit=arguments.limit, advance=bar.advance)
    if arguments.json:
        rows = {name: [row._asdict() for row in getattr(report, name)] for name in ("findings", "notes")}
        print(json.dumps({**report._asdict(), **rows, "counts": report.counts}, ensure_ascii=False, indent=1))
    else:
        for row in report.findings:
            print(f"{row.place}: {row.problem}: {row.reason}")
        for row in report.notes:
            print(f"{row.place}: note: {row.reason}")
        found = ", ".join(f"{number} {kind}" for kind, number in report.counts.items()) or "nothing wrong"
        print(f"{report.num_rows} rows, {report.num_usable} usable, {report.num_images} pictures; {found}")
    return 1 if report.findings else 0
