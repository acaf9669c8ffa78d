"""`srpo compare`: two evaluation runs on the problems that both answered."""

import json
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

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
    """Seeds the bootstrap, and which flips are shown."""
    flips: Annotated[int, Field(ge=0)] = 3
    """Show so many problems that went from wrong to right, and as many that went the other way."""
    fail_if: str | None = None
    """Exit with code 1 if this holds, e.g. 'final < -1.0': points, second run less first run. `final`, `first`, or the
    ends of their 95% intervals: `final.low`, `final.high`."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object."""


def print_comparison(options: CompareOptions) -> int:
    """Print the comparison; 1 where the bound that was given holds."""
    from srpo.eval.bound import read_bound
    from srpo.eval.compare import compare, render_comparison
    from srpo.eval.flips import find_flips
    from srpo.report.console import render_flips
    from srpo.report.open import read_run
    from srpo.runs.progress import note

    bound = read_bound(options.fail_if) if options.fail_if is not None else None
    runs = read_run(options.first), read_run(options.second)
    for run in runs:
        if run.summary() is None:
            note(f"srpo: {run.path} is not finished; what it has answered so far is compared")
    found = compare(*runs, seed=options.seed)
    flips = find_flips(*runs, num=options.flips, seed=options.seed)
    if options.as_json:
        print(json.dumps(found.model_dump(mode="json") | {"flips": flips.model_dump(mode="json")}, indent=2))
    else:
        print(f"{render_comparison(found)}\n{render_flips(flips)}")
    if bound is None or not bound.holds(found):
        return 0
    print(f"srpo: compare: {options.fail_if} holds, it is {bound.value(found):+.2f}", file=sys.stderr)
    return 1


COMMAND = Command(CompareOptions, print_comparison)
