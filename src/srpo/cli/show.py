"""`srpo show`: the traces of a run as cards on the terminal."""

import argparse
import sys
from pathlib import Path

HELP = "print the traces of a run: question, first attempt, reflection, second attempt, reward"


def run(argv: list[str]) -> int:
    """Print the first traces that match, one card (or with `--json` one line) each."""
    parser = argparse.ArgumentParser(prog="srpo show", description=HELP)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory or demo directory")
    parser.add_argument("--outcome", help="only this one: wrong→right, wrong-right or w2r, and so on; or ungradable")
    parser.add_argument("--family", help="only problems of this family")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="at most so many (default 10)")
    parser.add_argument("--json", action="store_true", help="print one trace per line as JSON")
    arguments = parser.parse_args(argv)

    from srpo.report import console
    from srpo.report.open import runs_in

    if arguments.limit < 1:
        raise ValueError(f"--limit {arguments.limit} shows nothing; give a number of at least 1")
    outcome = console.parse_outcome(arguments.outcome) if arguments.outcome is not None else None
    runs = [found for path in arguments.runs for found in runs_in(path)]
    traces = ((found.label, trace) for found in runs for trace in found.run.traces())
    shown = 0
    for label, trace in console.pick(traces, outcome=outcome, family=arguments.family, limit=arguments.limit):
        shown += 1
        if arguments.json:
            print(trace.model_dump_json())
        else:
            console.print_card(label, trace)
    if not shown:
        print(f"no trace matches in {', '.join(str(found.run.path) for found in runs)}", file=sys.stderr)
    return 0
