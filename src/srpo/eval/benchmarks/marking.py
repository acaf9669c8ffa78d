"""One response to one item of a benchmark, reflective or plain, graded by the benchmark's own rule."""

from srpo.core.records import GradedText, MarkStyle, Style
from srpo.eval.benchmarks.benchmark import Benchmark, Item, Mark
from srpo.grading import SymbolicVerifier
from srpo.grading.responses import score_with


def score_response(
    benchmark: Benchmark, item: Item, text: str, style: MarkStyle = "auto", symbolic: SymbolicVerifier | None = None
) -> GradedText:
    """Both answers of a response; a plain one has the same grade twice."""
    return score_with(lambda answer: benchmark.grade(item, answer, symbolic), text, style_of(text, style))


def mark_text(
    benchmark: Benchmark, item: Item, text: str, style: MarkStyle = "auto", symbolic: SymbolicVerifier | None = None
) -> Mark:
    """The mark of a response."""
    scored = score_response(benchmark, item, text, style, symbolic)
    first = scored.first_grade if style_of(text, style) == "reflective" else None
    return Mark(item=item, first=first, final=scored.final_grade)


def style_of(text: str, style: MarkStyle = "auto") -> Style:
    """A text that opens a reflection is reflective; every other one has a single answer."""
    if style != "auto":
        return style
    return "reflective" if "<reflection>" in text else "single"
