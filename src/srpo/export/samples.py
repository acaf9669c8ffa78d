"""Traces become samples that any trainer can take: a prompt, a target, the pictures as bytes.

The target is rendered through the one template, never copied from the raw text, exactly as `srpo sft` does it.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from srpo.core.prompts import user_text
from srpo.core.records import Attempt, FormatError, Problem, Rejected, Response, Trace
from srpo.core.response import render, render_attempt
from srpo.data.images import ImageError
from srpo.export.pictures import PictureFile, read_picture
from srpo.runs.reader import TORN, has_torn_trace, read_traces

_TRAINERS_MARK = re.compile(r"<(image|video|audio)>")


class Sample(NamedTuple):
    """One training sample."""

    trace: Trace
    prompt: str
    """What the user says, without placeholders for pictures: they stand before the text."""
    target: str
    """What the assistant says."""
    pictures: tuple[PictureFile, ...]

    @property
    def problem(self) -> Problem:
        """The problem that is answered."""
        return self.trace.problem

    @property
    def placed_prompt(self) -> str:
        """The prompt with one `<image>` for each picture before it, as LLaMA-Factory and verl want it."""
        return "<image>" * len(self.pictures) + self.prompt


def iter_samples(files: Iterable[Path], prompt: str | None) -> Iterator[Sample | Rejected]:
    """One sample for each trace with a right final answer, in order; the others with the reason.

    Args:
        files: Trace files.
        prompt: Name of the prompt to train with; None takes the one of the trace's style.

    Raises:
        ValueError: a line is no trace, or the prompt is unknown.
    """
    for file in files:
        for trace in read_traces(file):
            yield _sample(trace, prompt)
        if has_torn_trace(file):
            yield Rejected(where="export", id="", place=str(file), reason=TORN)


def _sample(trace: Trace, prompt: str | None) -> Sample | Rejected:
    match trace.parsed:
        case Response():
            target = render(trace.parsed)
        case Attempt():
            target = render_attempt(trace.parsed)
        case FormatError():
            return _rejected(trace, "the format does not parse")
    if not trace.final_grade.is_correct:
        return _rejected(trace, f"the final answer is {trace.final_grade.verdict}")
    try:
        pictures = tuple(read_picture(ref) for ref in trace.problem.images)
    except ImageError as error:
        return _rejected(trace, "a picture cannot be read", str(error))
    text = user_text(trace.problem, prompt or trace.style)
    return Sample(trace, without_placeholders(text), without_placeholders(target), pictures)


def without_placeholders(text: str) -> str:
    """Trainers count `<image>` in texts and stop when it is not the number of pictures."""
    return _TRAINERS_MARK.sub(r"[\1]", text)


def _rejected(trace: Trace, reason: str, detail: str = "") -> Rejected:
    return Rejected.about(trace.problem, "export", reason, detail, sample=trace.sample)
