"""One row of numbers per step: `{"step": 12, "time_s": 30.5, "rl/accuracy/mean": 0.4, ...}`.

JSON has no NaN and no infinity; such values are written as null and read back as NaN, so that a diverged run can
still be looked at.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import SupportsFloat

from srpo.runs.files import read_lines

RESERVED = ("step", "time_s")
"""`time_s`: seconds that the run has worked, over all its processes. The only value that two equal runs differ in."""


def metrics_line(step: int, time_s: float, metrics: Mapping[str, SupportsFloat]) -> str:
    """Render one row; integers and booleans stay what they are, everything else becomes a float."""
    taken = [name for name in RESERVED if name in metrics]
    assert not taken, f"{taken} are filled in by the run"
    row: dict[str, float | None] = {"step": step, "time_s": round(time_s, 3)}
    row.update({name: _number(value) for name, value in metrics.items()})
    return json.dumps(row, allow_nan=False)


def read_metrics(path: Path) -> Iterator[dict[str, float]]:
    """Yield the complete rows of a `metrics.jsonl`.

    Raises:
        ValueError: a line is not a JSON object; names file and line.
    """
    for line in read_lines(path):
        try:
            row = json.loads(line.text)
        except ValueError as error:
            raise ValueError(f"{line.place}: not a row of metrics ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f"{line.place}: not a row of metrics ({line.text[:40]!r})")
        yield {name: math.nan if value is None else value for name, value in row.items()}


def _number(value: SupportsFloat) -> float | None:
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
