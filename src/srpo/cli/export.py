"""`srpo export`: reflection data for LLaMA-Factory, TRL, verl and `datasets`."""

import argparse
from pathlib import Path

HELP = "write traces for other trainers: LLaMA-Factory, TRL, verl, plain datasets, with card and manifest"


def run(argv: list[str]) -> int:
    """Export the traces of runs; exit code 1 when some of them had to be left out."""
    parser = argparse.ArgumentParser(prog="srpo export", description=HELP)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory of `srpo reflect`, or a traces.jsonl")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new directory")
    parser.add_argument("--format", nargs="+", metavar="FORMAT", help="llamafactory, trl, verl, hf (default: all)")
    parser.add_argument(
        "--prompt", help="prompt to train with: reflective, single, bare (default: as the traces' style)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    arguments = parser.parse_args(argv)

    from srpo.export.run import FORMATS, export
    from srpo.runs.progress import progress

    formats = [name for name in FORMATS if name in (arguments.format or FORMATS)]
    if unknown := sorted({*(arguments.format or ())} - {*FORMATS}):
        raise ValueError(f"--format {unknown[0]!r} is not known; use {', '.join(FORMATS)}")
    with progress(None, "export") as bar:
        result = export(arguments.runs, arguments.out, formats=formats, prompt=arguments.prompt, advance=bar.advance)
    if arguments.json:
        print(result.model_dump_json(indent=1))
    else:
        for example in result.examples:
            print(f"left out: {example}")
        more = "".join(f"; left out {number}: {reason}" for reason, number in result.left_out.items())
        print(f"{result.path}: {result.num_samples} samples, {result.num_pictures} pictures{more}")
    return 1 if result.left_out else 0
