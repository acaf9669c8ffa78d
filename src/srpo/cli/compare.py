"""`srpo compare`: two evaluation runs on the problems that both answered."""

from pathlib import Path
from typing import Annotated

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Record


class CompareOptions(Record):
    """Compare two evaluation runs problem by problem, second run less first run: difference, interval, exact test."""

    first: Annotated[Path, Positional("RUN")]
    """Run directory: what is compared with, e.g. the base."""
    second: Annotated[Path, Positional("RUN")]
    """Run directory: what is compared, e.g. the trained model."""
    seed: int = 0
    """Seeds the bootstrap."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object."""


def print_comparison(options: CompareOptions) -> int:
    """Print the comparison."""
    from srpo.eval.compare import compare, render_comparison
    from srpo.runs.directory import RunDir

    found = compare(RunDir.read(options.first), RunDir.read(options.second), seed=options.seed)
    print(found.model_dump_json(indent=2) if options.as_json else render_comparison(found))
    return 0


COMMAND = Command(CompareOptions, print_comparison)
