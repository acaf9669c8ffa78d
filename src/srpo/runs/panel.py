"""What the last step of a training run came to, in a few lines below its bar on a terminal.

>>> panel_lines("rl", {"rl/first_accuracy": 0.5, "rl/final_accuracy": 0.625, "rl/format_rate": 1.0}, {})
[('answers', 'first 50.0% → final 62.5%'), ('format', '100.0% right')]
"""

from collections.abc import Mapping

from srpo.core.records import OUTCOME_KEYS

_GLYPHS = {"r2r": "✓✓", "w2r": "✗✓", "r2w": "✓✗", "w2w": "✗✗"}


def panel_lines(stage: str, row: Mapping[str, float], alarms: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and text of each line; what the row does not have is left out, and alarms come with what to do."""

    def share(key: str) -> str:
        return f"{100 * row[f'{stage}/{key}']:.1f}%"

    found: list[tuple[str, str]] = []

    def add(name: str, keys: tuple[str, ...], text: str) -> None:
        if all(f"{stage}/{key}" in row for key in keys):
            found.append((name, text.format(*map(share, keys))))

    add("answers", ("first_accuracy", "final_accuracy"), "first {} → final {}")
    outcomes = tuple(f"outcome/{key}" for key in OUTCOME_KEYS.values())
    add("first, final", outcomes, "   ".join(f"{_GLYPHS[key]} {{}}" for key in OUTCOME_KEYS.values()))
    add("format", ("format_rate",), "{} right")
    add("cut off", ("truncated",), "{}")
    kept, sampled = row.get(f"{stage}/groups/kept"), row.get(f"{stage}/groups/sampled")
    if kept is not None and sampled is not None:
        found.append(("groups", f"{kept:.0f} of {sampled:.0f} had something to learn from"))
    mean, spread = row.get(f"{stage}/reward/mean"), row.get(f"{stage}/reward/std")
    if mean is not None and spread is not None:
        found.append(("reward", f"{mean:.3g} ± {spread:.3g}"))
    return found + [(f"ALARM {name}", text) for name, text in alarms.items()]
