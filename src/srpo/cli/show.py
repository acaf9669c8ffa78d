"""`srpo show`: the traces of a run as cards on the terminal."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Record

if TYPE_CHECKING:
    from srpo.runs.reader import RunReader


class ShowOptions(Record):
    """Print the first traces that match, one card each: question, first attempt, reflection, second attempt, reward."""

    runs: Annotated[tuple[Path, ...], Positional("RUN")]
    """Run directories or demo directories."""
    outcome: str | None = None
    """Only this one: wrong→right, wrong-right or w2r, and so on; or ungradable."""
    family: str | None = None
    """Only problems of this family."""
    limit: Annotated[int, Field(ge=1)] = 10
    """At most so many."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one trace per line as JSON."""


def show_traces(options: ShowOptions) -> int:
    """Print the first traces that match, one card or line each."""
    from srpo.report import console
    from srpo.report.open import labelled_runs

    outcome = console.parse_outcome(options.outcome) if options.outcome is not None else None
    runs = labelled_runs(options.runs)
    traces = ((found.label, trace) for found in runs for trace in found.run.traces())
    shown = 0
    for label, trace in console.pick(traces, outcome=outcome, family=options.family, limit=options.limit):
        shown += 1
        if options.as_json:
            print(trace.model_dump_json())
        else:
            console.print_card(label, trace)
    if not shown:
        print(_nothing([found.run for found in runs]), file=sys.stderr)
    return 0


def _nothing(runs: "Sequence[RunReader]") -> str:
    """What there is, for who asked for something else."""
    where = ", ".join(str(run.path) for run in runs)
    counts = Counter((trace.problem.family, trace.outcome or "ungradable") for run in runs for trace in run.traces())
    if not counts:
        return f"no traces in {where}; reflect, rl and eval write them as they go, sft writes none"
    families = sorted({family for family, _ in counts if family})
    outcomes = Counter[str]()
    for (_, outcome), count in counts.items():
        outcomes[outcome] += count
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    return f"no trace matches in {where}; there are {told}" + (f"; families {', '.join(families)}" if families else "")


COMMAND = Command(ShowOptions, show_traces)
