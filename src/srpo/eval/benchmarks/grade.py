"""One response to one item of a benchmark, reflective or plain, graded by the benchmark's own rule."""

from srpo.core.records import GradedText, MarkStyle, Style
from srpo.core.response import style_of
from srpo.eval.benchmarks.benchmark import Benchmark, Item, Mark
from srpo.grading import RULES_ONLY, Grader, grade_with


def grade_item(
    benchmark: Benchmark, item: Item, text: str, style: MarkStyle = "auto", grader: Grader = RULES_ONLY
) -> GradedText:
    """Both answers of a response; a plain one has the same grade twice."""
    return grade_with(lambda answer: benchmark.grade(item, answer, grader), text, style_of(text, style))


def grade_as_mark(
    benchmark: Benchmark, item: Item, text: str, style: MarkStyle = "auto", grader: Grader = RULES_ONLY
) -> Mark:
    """The mark of a response."""
    graded = grade_item(benchmark, item, text, style, grader)
    first = graded.first_grade if style_of(text, style) == "reflective" else None
    return Mark(item=item, first=first, final=graded.final_grade)


def official_verdict(benchmark: Benchmark, item: Item, text: str, style: Style) -> bool | None:
    """Whether the final answer is right by the authors' own code; None where we have none beside the rule."""
    if not benchmark.official_code:
        return None
    return grade_with(lambda answer: benchmark.official_grade(item, answer), text, style).final_grade.is_correct
