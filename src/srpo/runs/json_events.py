"""What a run tells while it works, as one JSON object per line of stderr: for programs, with `--json`.

    {"event": "note", "text": "runs/rl: starting"}
    {"event": "step", "stage": "rl", "step": 3, "metrics": {..}, "phases_s": {..}, "memory_bytes": {..}}
    {"event": "progress", "of": "rl", "done": 3, "total": 8, "elapsed_s": 9.1, "left_s": 15.2, "each_s": 3.03, ..}
    {"event": "alarm", "stage": "rl", "name": "no_signal", "text": "what it means, and what to do"}

Stdout keeps the result, one JSON document at the end. A line that is no JSON object is not ours, or says why the run
ended (`srpo: error: ..`). All but ASCII is escaped, so no text of a model can steer a terminal.
"""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_wanted: list[bool] = []


@contextmanager
def json_events(wanted: bool = True) -> Iterator[None]:
    """Within, progress is told as lines of JSON, if it is `wanted` so."""
    _wanted.append(wanted)
    try:
        yield
    finally:
        _wanted.pop()


def are_wanted() -> bool:
    """Whether somebody reads lines of JSON."""
    return bool(_wanted) and _wanted[-1]


def tell_event(event: str, **values: Any) -> None:
    """Print one line, if lines of JSON are wanted; JSON has no NaN, so what is no number is null."""
    if are_wanted():
        print(json.dumps({"event": event} | _finite(values), allow_nan=False), file=sys.stderr, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
