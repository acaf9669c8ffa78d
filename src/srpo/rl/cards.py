"""A response as trackers show it: the question, the picture, both answers, what it was paid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from srpo.core.prompts import problem_text
from srpo.core.records import Trace
from srpo.data.images import ImageError, load_image
from srpo.runs.trackers import SampleCard

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_PIXELS = 512 * 512
"""Cards are for looking at; pictures of training are often larger."""


def cards_of(traces: Sequence[Trace]) -> list[SampleCard]:
    """One card for each trace."""
    return [
        SampleCard(f"{trace.problem.id}: {trace.outcome or 'ungradable'}", _text(trace), _picture(trace))
        for trace in traces
    ]


def _text(trace: Trace) -> str:
    paid = ""
    if trace.reward is not None:
        terms = ", ".join(f"{term.name} {term.score:.3g}" for term in trace.reward.terms)
        paid = f"\n\nreward {trace.reward.total:.3g} ({terms})"
    # Fenced: the tags of a response are no Markdown.
    return f"{problem_text(trace.problem)}\n\ngold: {trace.problem.answer}{paid}\n\n~~~\n{trace.text}\n~~~"


def _picture(trace: Trace) -> "Image | None":
    """The first picture; one that cannot be read costs the card no more than that."""
    try:
        return next((load_image(ref, max_pixels=_MAX_PIXELS) for ref in trace.problem.images), None)
    except ImageError:
        return None
