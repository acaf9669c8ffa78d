"""`srpo export`: reflection data for LLaMA-Factory, TRL, verl and `datasets`; predictions for VLMEvalKit."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import model_validator

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Record
from srpo.core.visible import one_line

VLMEVALKIT = "vlmevalkit"


class ExportOptions(Record):
    """Write traces for other trainers: LLaMA-Factory, TRL, verl, plain datasets; predictions for VLMEvalKit.

    Exit code 1 when some traces had to be left out.
    """

    runs: Annotated[tuple[str, ...], Positional("RUN")]
    """Run directories of `srpo reflect`, or `traces.jsonl` files."""
    out: Path
    """A new directory."""
    format: tuple[
        Literal["llamafactory", "trl", "verl", "hf", "trl-rl", "easyr1", "openrlhf", "ms-swift", "vlmevalkit"], ...
    ] = ()
    """What to write (default: the first four); trl-rl, easyr1, openrlhf and ms-swift are problems for GRPO there, and
    vlmevalkit is predictions for VLMEvalKit to mark."""
    tsv: Path | None = None
    """For vlmevalkit: its own file of the data set."""
    model_name: str = ""
    """For vlmevalkit: the model in the file's name (default: the run's)."""
    prompt: str | None = None
    """Prompt to train with: reflective, single, bare (null: as the traces' style)."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the counts as JSON."""

    @model_validator(mode="after")
    def _for_one_kind(self) -> Self:
        if VLMEVALKIT not in self.format:
            if self.tsv or self.model_name:
                raise ValueError("--tsv and --model_name belong to --format vlmevalkit")
        elif len(self.format) > 1 or len(self.runs) > 1:
            raise ValueError("--format vlmevalkit stands alone, and takes one run")
        elif self.prompt is not None:
            raise ValueError("--prompt belongs to the formats that one trains with, not to --format vlmevalkit")
        return self


def export_runs(options: ExportOptions) -> int:
    """Export the traces of runs; exit code 1 when some of them had to be left out."""
    return _export_predictions(options) if VLMEVALKIT in options.format else _export_traces(options)


def _export_traces(options: ExportOptions) -> int:
    from srpo.export.run import USUAL, WRITERS, export
    from srpo.runs.progress import progress

    formats = [name for name in WRITERS if name in (options.format or USUAL)]
    with progress(None, "export") as bar:
        result = export(options.runs, options.out, formats=formats, prompt=options.prompt, advance=bar.advance)
    if options.as_json:
        print(result.model_dump_json(indent=1))
    else:
        for example in result.examples:
            print(f"left out: {one_line(example, 300)}")
        more = "".join(f"; left out {number}: {reason}" for reason, number in result.left_out.items())
        print(f"{result.path}: {result.num_samples} samples, {result.num_pictures} pictures{more}")
    return 1 if result.left_out else 0


def _export_predictions(options: ExportOptions) -> int:
    from srpo.interop.vlmevalkit import export_predictions

    run = Path(options.runs[0])
    result = export_predictions(run, options.out, tsv=options.tsv, name=options.model_name)
    if options.as_json:
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
        print(f"note: {one_line(note, 300)}")
    return 0


COMMAND = Command(ExportOptions, export_runs)
