"""`srpo export`: reflection data for LLaMA-Factory, TRL, verl and `datasets`; predictions for VLMEvalKit."""

import argparse
from pathlib import Path

VLMEVALKIT = "vlmevalkit"
HELP = "write traces for other trainers: LLaMA-Factory, TRL, verl, plain datasets; predictions for VLMEvalKit"


def run(argv: list[str]) -> int:
    """Export the traces of runs; exit code 1 when some of them had to be left out."""
    parser = argparse.ArgumentParser(prog="srpo export", description=HELP)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory of `srpo reflect`, or a traces.jsonl")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new directory")
    parser.add_argument(
        "--format",
        nargs="+",
        metavar="FORMAT",
        help="llamafactory, trl, verl, hf (default: these four); or vlmevalkit: predictions for it to mark",
    )
    parser.add_argument("--tsv", type=Path, metavar="FILE.tsv", help="vlmevalkit: its own file of the data set")
    parser.add_argument(
        "--model-name", default="", help="vlmevalkit: the model in the file's name (default: the run's)"
    )
    parser.add_argument(
        "--prompt", help="prompt to train with: reflective, single, bare (default: as the traces' style)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    arguments = parser.parse_args(argv)

    if VLMEVALKIT in (arguments.format or ()):
        return _export_predictions(arguments)
    if arguments.tsv or arguments.model_name:
        raise ValueError("--tsv and --model-name belong to --format vlmevalkit")

    from srpo.export.run import FORMATS, export
    from srpo.runs.progress import progress

    formats = [name for name in FORMATS if name in (arguments.format or FORMATS)]
    if unknown := sorted({*(arguments.format or ())} - {*FORMATS}):
        raise ValueError(f"--format {unknown[0]!r} is not known; use {', '.join((*FORMATS, VLMEVALKIT))}")
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


def _export_predictions(arguments: argparse.Namespace) -> int:
    from srpo.interop.vlmevalkit import export_predictions

    if len(arguments.format) > 1 or len(arguments.runs) > 1:
        raise ValueError("--format vlmevalkit stands alone, and takes one run")
    if arguments.prompt is not None:
        raise ValueError("--prompt belongs to the formats that one trains with, not to --format vlmevalkit")
    run = Path(arguments.runs[0])
    result = export_predictions(run, arguments.out, tsv=arguments.tsv, name=arguments.model_name)
    if arguments.json:
        print(result.model_dump_json(indent=1))
        return 0
    counts = {
        "without a final answer": result.without_answer,
        "further samples left out": result.further_samples,
        "rows of the data file without a prediction left out": result.without_prediction,
        "items that the data file does not have left out": result.unknown_items,
    }
    more = "".join(f"; {number} {what}" for what, number in counts.items() if number)
    print(f"{result.path}: {result.num_predictions} predictions{more}")
    for note in result.notes:
        print(f"note: {note}")
    return 0
