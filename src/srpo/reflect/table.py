"""A reflection run on the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table

from srpo.runs.tables import count_lines, text_of

if TYPE_CHECKING:
    from srpo.reflect.run import ReflectResult


def render_reflect(result: "ReflectResult", path: str) -> str:
    """The counts of one run, as text."""
    table = Table("step", "count", title="reflection data", title_justify="left")
    table.columns[1].justify = "right"
    for name, number in (
        ("rows read", result.rows),
        ("problems that the policy cannot take", result.refused),
        ("first attempts", result.attempts),
        ("asked about", result.asked),
        ("replies, retries included", result.requests),
        ("verified", result.verified),
        ("selected", result.selected),
        ("  of these with a wrong first attempt", result.selected_wrong),
    ):
        table.add_row(name, str(number))
    for one in result.spend:
        table.add_row(f"answers paid to {one.model}", f"{one.requests} (${one.usd:.2f})")
    lines = [f"first attempts right: {result.first_accuracy:.3f} (of those that can be read and graded)"]
    if not result.selected:
        lines.append("nothing was selected, so there is nothing to train on")
    return text_of(table, *lines, *count_lines(result.rejected), path)
