"""`srpo demo`: the whole method on a tiny model, from nothing to an HTML report."""

import argparse
import json
from pathlib import Path

HELP = "the whole method on a laptop CPU: reflect, sft, rl, eval, report"


def run(argv: list[str]) -> int:
    """Run the demo and print the path of its report (or, with --json, its summary)."""
    parser = argparse.ArgumentParser(prog="srpo demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="directory; a demo that was stopped goes on")
    parser.add_argument("--seed", type=int, default=0, help="reseeds data, training and sampling (default: 0)")
    parser.add_argument("--minutes", type=float, default=10.0, help="about how long, on two cores (default: 10)")
    parser.add_argument("--json", action="store_true", help="print the summary instead of the report's path")
    arguments = parser.parse_args(argv)
    from srpo.runs.reader import SUMMARY
    from srpo.tiny.demo import run_demo

    report = run_demo(arguments.out, seed=arguments.seed, minutes=arguments.minutes)
    if arguments.json:
        print(json.dumps(json.loads((arguments.out / SUMMARY).read_text(encoding="utf-8")), ensure_ascii=False))
    else:
        print(report)
    return 0
