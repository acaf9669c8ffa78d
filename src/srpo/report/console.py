"""Traces as cards on a terminal: colours and boxes where there is one, plain lines where there is not."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from srpo.core.records import OUTCOMES, FormatError, Trace
from srpo.core.visible import clip, one_line
from srpo.eval.flips import FoundFlips
from srpo.report.pages import blocks
from srpo.report.palette import OUTCOME_MARKS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PATH: Final = 300
"""Characters of where a picture is."""
_STYLES: Final = {"r2r": "green", "w2r": "blue", "r2w": "dark_orange", "w2w": "bright_black", "none": "yellow"}
_VERDICT_MARKS: Final = {
    "correct": ("✓", "green"),
    "incorrect": ("✗", "dark_orange"),
    "ungradable": ("?", "yellow"),
    "undecided": ("?", "yellow"),
}


def parse_outcome(text: str) -> str:
    """An outcome from what people type: `wrong→right`, `wrong->right`, `wrong-right`, `wrong_to_right`, `w2r`, `wr`.

    Raises:
        ValueError: it is none of them.
    """
    wanted = text.strip().lower()
    if wanted == "ungradable":
        return wanted
    for name in OUTCOMES:
        first, _, final = name.partition("→")
        joined = {first + arrow + final for arrow in ("→", "->", "-", "_", "2", ">", " ", "-to-", "_to_", " to ")}
        if wanted in joined | {OUTCOME_MARKS[name].slug, first[0] + final[0]}:
            return name
    raise ValueError(
        f"--outcome {text!r} is not an outcome; choose from {', '.join(OUTCOMES)} (or r2r, w2r, r2w, w2w) or ungradable"
    )


def pick(
    traces: Iterable[tuple[str, Trace]], *, outcome: str | None, family: str | None, limit: int
) -> Iterator[tuple[str, Trace]]:
    """The first `limit` traces that have the outcome and the family asked for."""
    wanted = (
        (label, trace)
        for label, trace in traces
        if (outcome is None or (trace.outcome or "ungradable") == outcome)
        and (family is None or trace.problem.family == family)
    )
    return islice(wanted, limit)


def render_flips(flips: FoundFlips) -> str:
    """Problems that flipped between two runs as lines of text, the question cut to one line."""
    lines = [f"Flips: {flips.gained} of {flips.n} problems wrong→right, {flips.lost} right→wrong; drawn at random:"]
    for flip in flips.shown:
        first, second = ("no answer" if one is None else one_line(one) for one in (flip.first, flip.second))
        mark = OUTCOME_MARKS["wrong→right" if flip.gained else "right→wrong"].glyph
        lines.append(f"  {mark} {one_line(flip.problem)}: {one_line(flip.question)}")
        lines.append(f"     gold {one_line(flip.gold)}: {first} → {second}")
    return "\n".join(lines if flips.shown else [lines[0].replace("; drawn at random:", "")])


def print_card(label: str, trace: Trace, console: "Console | None" = None) -> None:
    """Print one trace to `console` (stdout unless given); texts of models and data sets are never read as markup."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = console or Console(highlight=False)
    name = trace.outcome or "ungradable"
    mark = OUTCOME_MARKS[name]
    problem = trace.problem
    place = [one_line(label), one_line(problem.family), f"level {problem.level}" if problem.level is not None else ""]
    place.append(f"step {trace.origin.step}" if trace.origin.step is not None else "")
    title = Text(f"{mark.glyph} {name} ({mark.word})", style="bold") + Text(f"  {' · '.join(filter(None, place))}")
    body = _body(trace)
    if console.is_terminal:
        console.print(Panel(body, title=title, title_align="left", border_style=_STYLES[mark.slug], padding=(1, 2)))
        return
    console.print(title, soft_wrap=True)
    console.print(body, soft_wrap=True)
    console.print()


def _body(trace: Trace) -> "Text":
    from rich.text import Text

    problem = trace.problem
    body = Text()
    body.append(clip(problem.question) + "\n")
    for index, choice in enumerate(problem.choices):
        body.append(f"  {chr(ord('A') + index)}. {clip(choice)}\n")
    body.append(f"gold: {clip(problem.answer)}", style="bold")
    body.append(f"   pictures: {', '.join(one_line(ref, _PATH) for ref in problem.images) or 'none'}\n")
    for block in blocks(trace):
        body.append(f"\n{block.title}\n", style="underline")
        body.append(f"{clip(block.think)}\n" if block.think else "")
        if block.verdict is not None:
            glyph, style = _VERDICT_MARKS[block.verdict]
            answer = "no answer" if block.answer is None else clip(block.answer)
            body.append(f"{glyph} {answer}", style=f"bold {style}")
            body.append(f"  {block.verdict}: {clip(block.reason)}\n")
    if isinstance(trace.parsed, FormatError):
        body.append(f"\nformat: {clip(trace.parsed.what)} (at character {trace.parsed.where})\n")
    if trace.reward is not None:
        terms = "  ".join(f"{term.name} {term.value:+.2f}" for term in trace.reward.terms)
        body.append(f"\nreward {trace.reward.total:.2f} = {clip(terms)}")
    if trace.advantage is not None:
        body.append(f"   advantage {trace.advantage:+.2f}")
    if trace.tokens is not None:
        body.append(f"   {trace.tokens.total} tokens" + (" (cut off)" if trace.tokens.truncated else ""))
    body.rstrip()
    return body
