"""What the last step of a training run came to, in a few lines below its bar on a terminal.

>>> panel_lines("rl", {"rl/first_accuracy": 0.5, "rl/final_accuracy": 0.625, "rl/format_rate": 1.0}, {})
[('answers', 'first 50.0% → final 62.5%'), ('format', '100.0% right')]
>>> panel_lines("sft", {"sft/loss": 0.31}, {}, {"sample": 3.0, "learn": 1.0})
[('loss', '0.31'), ('time', 'sample 3.0s 75%   learn 1.0s 25%')]
"""

from collections.abc import Mapping

from srpo.core.records import OUTCOME_KEYS
from srpo.runs.memory import Memory
from srpo.runs.progress import format_duration

_GLYPHS = {"r2r": "✓✓", "w2r": "✗✓", "r2w": "✓✗", "w2w": "✗✗"}
_GIB = 2**30

PanelLine = tuple[str, str]
"""Name and text."""


def panel_lines(
    stage: str,
    row: Mapping[str, float],
    alarms: Mapping[str, str],
    phases: Mapping[str, float] | None = None,
    memory: Memory | None = None,
) -> list[PanelLine]:
    """What the row has, then the time and memory that it took; alarms come with what to do.

    Args:
        stage: Name of the stage.
        row: Metrics of the step.
        alarms: Name -> what it means, and what to do.
        phases: Seconds of each phase of the step.
        memory: What is in use.
    """
    found = [*_answer_lines(stage, row), *_learning_lines(stage, row)]
    if phases and (whole := sum(phases.values())):
        parts = (f"{name} {format_duration(took)} {took / whole:.0%}" for name, took in phases.items())
        found.append(("time", "   ".join(parts)))
    if memory is not None:
        now = "" if memory.now is None else f"{memory.now / _GIB:.1f} GiB, "
        found.append(("memory", f"{memory.where} {now}{memory.peak / _GIB:.1f} GiB at most"))
    return found + [(f"ALARM {name}", text) for name, text in alarms.items()]


def _answer_lines(stage: str, row: Mapping[str, float]) -> list[PanelLine]:
    """What responses came to."""
    found: list[PanelLine] = []

    def add(name: str, keys: tuple[str, ...], text: str) -> None:
        if all(f"{stage}/{key}" in row for key in keys):
            found.append((name, text.format(*(f"{100 * row[f'{stage}/{key}']:.1f}%" for key in keys))))

    add("answers", ("first_accuracy", "final_accuracy"), "first {} → final {}")
    outcomes = tuple(f"outcome/{key}" for key in OUTCOME_KEYS.values())
    add("first, final", outcomes, "   ".join(f"{_GLYPHS[key]} {{}}" for key in OUTCOME_KEYS.values()))
    add("held out", ("eval/first_accuracy", "eval/final_accuracy"), "first {} → final {}")
    add("format", ("format_rate",), "{} right")
    add("cut off", ("truncated",), "{}")
    return found


def _learning_lines(stage: str, row: Mapping[str, float]) -> list[PanelLine]:
    """What there was to learn from, and how it was learned."""
    found: list[PanelLine] = []
    kept, sampled = row.get(f"{stage}/groups/kept"), row.get(f"{stage}/groups/sampled")
    if kept is not None and sampled is not None:
        found.append(("groups", f"{kept:.0f} of {sampled:.0f} had something to learn from"))
    mean, spread = row.get(f"{stage}/reward/mean"), row.get(f"{stage}/reward/std")
    if mean is not None and spread is not None:
        found.append(("reward", f"{mean:.3g} ± {spread:.3g}"))
        return found  # the loss of such a step says nothing: its mean is near zero whatever is learned
    loss, first, rest = (row.get(f"{stage}/{key}") for key in ("loss", "loss/first", "loss/rest"))
    if loss is not None:
        parts = f", first attempts {first:.3g}, reflections and what follows {rest:.3g}" if first and rest else ""
        found.append(("loss", f"{loss:.3g}{parts}"))
    return found
