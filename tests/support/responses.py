"""Texts of responses."""

from srpo.core.records import Attempt, FormatError, Response, Style
from srpo.core.response import parse, parse_attempt


def reflective(first: str, second: str, reflection: str = "Look at (A) again.") -> str:
    """All five blocks, with these answers."""
    return (
        f"<think>a</think><answer>{first}</answer><reflection>{reflection}</reflection>"
        f"<think>b</think><answer>{second}</answer>"
    )


def parse_style(text: str, style: Style) -> Response | Attempt | FormatError:
    """The text as `style` reads it."""
    return parse(text) if style == "reflective" else parse_attempt(text)
