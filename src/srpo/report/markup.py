"""Text and tables of Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, num_text: int, escaped: bool = False) -> str:
    """A table whose first `num_text` columns are text and whose others are numbers; `escaped`: rows are Markdown."""
    ruler = ["---" if at < num_text else "---:" for at in range(len(head))]
    body = rows if escaped else [[plain(cell) for cell in row] for row in rows]
    lines = [[plain(cell) for cell in head], ruler, *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text in which Markdown and HTML see nothing but text."""
    return re.sub(r"([\\`*_\[\]|<>~])", r"\\\1", " ".join(text.split()))
