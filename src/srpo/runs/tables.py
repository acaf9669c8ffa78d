"""Tables of a run as plain text."""

from collections.abc import Mapping
from io import StringIO

from rich.console import Console, RenderableType

from srpo.core.visible import visible


def count_lines(rejected: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each place and reason of rejection."""
    return [
        f"rejected, {where}: {number} x {why}" for where, found in rejected.items() for why, number in found.items()
    ]


def text_of(*parts: RenderableType) -> str:
    """What rich makes of the parts, as text of 100 columns without colour; names out of data steer no terminal."""
    console = Console(file=StringIO(), width=100, color_system=None, highlight=False)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    file = console.file
    assert isinstance(file, StringIO)
    return visible(file.getvalue().rstrip())
