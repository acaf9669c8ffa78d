"""`srpo compare`: two evaluation runs on the problems that both answered."""

import argparse
from pathlib import Path

HELP = "compare two evaluation runs, problem by problem (difference, interval, exact test)"


def run(argv: list[str]) -> int:
    """Print the comparison, second run less first run, as tables or with `--json` as one object."""
    parser = argparse.ArgumentParser(prog="srpo compare", description=HELP)
    parser.add_argument("first", type=Path, metavar="RUN", help="run directory: what is compared with, e.g. the base")
    parser.add_argument(
        "second", type=Path, metavar="RUN", help="run directory: what is compared, e.g. the trained model"
    )
    parser.add_argument("--seed", type=int, default=0, help="seeds the bootstrap (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)

    from srpo.eval.compare import compare, render
    from srpo.runs.directory import RunDir

    found = compare(RunDir.read(arguments.first), RunDir.read(arguments.second), seed=arguments.seed)
    print(found.model_dump_json(indent=2) if arguments.json else render(found))
    return 0
