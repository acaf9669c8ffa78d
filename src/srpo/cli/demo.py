"""`srpo demo`: the whole method on a tiny model, from nothing to an HTML report."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Spelling
from srpo.core.records import Record


class DemoOptions(Record):
    """The whole method on a tiny model, from nothing to an HTML report, whose path is printed."""

    out: Path = Path("demo")
    """Directory; a demo that was stopped goes on."""
    seed: int = 0
    """Reseeds data, training and sampling."""
    minutes: float = 10.0
    """About how long, on two cores."""
    processes: int = Field(default=1, ge=1)
    """Processes that train the cold start together, and the arm that goes on from it. With another number the answers
    differ in places, as with another seed."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the summary instead of the report's path; on the way, stderr has a JSON object per step and message."""


def show_demo(options: DemoOptions) -> int:
    """Run the demo and print the path of its report, or its summary."""
    from srpo.runs.json_events import json_events
    from srpo.runs.reader import SUMMARY
    from srpo.tiny.demo import run_demo

    with json_events(options.as_json):
        report = run_demo(options.out, seed=options.seed, minutes=options.minutes, processes=options.processes)
    if options.as_json:
        print(json.dumps(json.loads((options.out / SUMMARY).read_text(encoding="utf-8")), ensure_ascii=False))
    else:
        print(report)
    return 0


COMMAND = Command(DemoOptions, show_demo)
