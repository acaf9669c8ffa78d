"""An evaluation on the terminal."""

from collections.abc import Mapping
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.table import Table

from srpo.core.records import OUTCOMES

if TYPE_CHECKING:
    from srpo.eval.run import EvalResult


def render(result: "EvalResult", path: str) -> str:
    """The numbers of one evaluation, as text."""
    row = result.summary
    table = Table(title=f"{row.name}: {row.n} problems, {row.num_samples} samples each", title_justify="left")
    for column in ("", "accuracy", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("first answer", f"{row.first_accuracy:.3f}", _interval(row.first_interval))
    table.add_row("final answer", f"{row.final_accuracy:.3f}", _interval(row.final_interval))
    if result.majority_accuracy is not None and result.majority_interval is not None:
        table.add_row("majority vote", f"{result.majority_accuracy:.3f}", _interval(result.majority_interval))
    if row.chance is not None:
        table.add_row("blind guess", f"{row.chance:.3f}", "")
    transitions = Table("transition", "share", "samples", title="first to final answer", title_justify="left")
    for outcome in OUTCOMES:
        transitions.add_row(outcome, f"{row.transitions[outcome]:.3f}", str(row.counts[outcome]))
    num_bad = sum(result.rejected.get("source", {}).values())
    lines = [
        f"format right {row.format_rate:.3f}   truncated {result.truncation_rate:.3f}   ungradable {row.ungradable}",
        f"tokens per response {row.mean_tokens or 0:.1f}   temperature {row.temperature}   {row.seconds or 0:.1f} s",
        f"rows {result.rows} = answered {result.answered} + refused {result.refused} + not usable {num_bad}",
    ]
    if result.adjusted_pictures:
        lines.append(f"problems with an adjusted picture: {result.adjusted_pictures}")
    return text_of(table, transitions, *lines, *count_lines(result.rejected), path)


def count_lines(rejected: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each place and reason of rejection."""
    return [
        f"rejected, {where}: {number} x {why}" for where, found in rejected.items() for why, number in found.items()
    ]


def text_of(*parts: RenderableType) -> str:
    """What rich makes of the parts, as text of 100 columns without colour."""
    console = Console(file=StringIO(), width=100, color_system=None, highlight=False)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue().rstrip()


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
