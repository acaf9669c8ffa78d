"""A response as trackers show it: the question, the picture, both answers, what it was paid.

Trackers read Markdown. All that a model or a data set wrote stands in one fence that nothing in it can close, with what
cannot be seen named, and cut where it is long: it is shown, and no more.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from srpo.core.prompts import problem_text
from srpo.core.records import Trace
from srpo.core.visible import clip, one_line
from srpo.data.images import ImageError, load_image
from srpo.runs.trackers import SampleCard

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_PIXELS = 512 * 512
"""Cards are for looking at; pictures of training are often larger."""


def cards_of(traces: Sequence[Trace]) -> list[SampleCard]:
    """One card for each trace."""
    return [
        SampleCard(f"{_code(trace.problem.id)}: {trace.outcome or 'ungradable'}", _text(trace), _picture(trace))
        for trace in traces
    ]


def _text(trace: Trace) -> str:
    paid = ""
    if trace.reward is not None:
        terms = ", ".join(f"{term.name} {term.score:.3g}" for term in trace.reward.terms)
        paid = f"reward {trace.reward.total:.3g} ({terms})\n"
    shown = f"{clip(problem_text(trace.problem))}\n\ngold: {clip(trace.problem.answer)}\n{paid}\n{clip(trace.text)}"
    longest = max(map(len, re.findall("~+", shown)), default=0)
    fence = "~" * max(3, longest + 1)
    return f"{fence}\n{shown}\n{fence}"


def _code(name: str) -> str:
    """A name as Markdown that is not read."""
    return "`" + one_line(name).replace("`", "'") + "`"


def _picture(trace: Trace) -> "Image | None":
    """The first picture; one that cannot be read costs the card no more than that."""
    try:
        return next((load_image(ref, max_pixels=_MAX_PIXELS) for ref in trace.problem.images), None)
    except ImageError:
        return None
