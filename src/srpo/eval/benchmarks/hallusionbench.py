"""HallusionBench: 1,129 yes-no questions about figures that support what is asked (VS) or deceive (VD).

178 questions show no picture. The ids are `category_subcategory_set_figure_question`, with the category because `ocr`
is a subcategory of both.
"""

from collections.abc import Collection, Sequence

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Breakdown, HubSource, Item, Mark
from srpo.eval.benchmarks.columns import make_item, needed, pictures, question, text
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.official.hallusionbench import hallusion_scores, read_id
from srpo.grading import RULES_ONLY, Grader
from srpo.grading.prose.grade import grade_verdict

_ID = ("category", "subcategory", "set_id", "figure_id", "question_id")
_GOLDS = {"0": "No", "1": "Yes", "no": "No", "yes": "Yes"}
_WITHOUT_PICTURE = "0"
"""`visual_input` of the questions that show nothing."""


class HallusionBench(PublishedBenchmark):
    """Official numbers: right answers (aAcc), figures (fAcc), question pairs (qAcc); leaderboards show their mean."""

    name = "hallusionbench"
    title = "HallusionBench"
    size = 1129
    hub = HubSource("lmms-lab/HallusionBench", ("",), "image+non_image", "main")
    files = (
        "HallusionBench.json", "hallusion_bench/HallusionBench.json", "data/*image-*.parquet", "*image-*.parquet",
    )  # fmt: skip
    columns = (*_ID, "question", "gt_answer")
    orders = (("category", ("VD", "VS")), ("visual_input", ("none", "original", "edited")))
    citation = "Guan et al., HallusionBench, CVPR 2024, arXiv 2310.14566"
    by_groups = True
    headline = "aAcc"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; the gold `0` or `1` becomes No or Yes."""
        answer = needed(row, "gt_answer")
        if answer.casefold() not in _GOLDS:
            raise RowError(f"column 'gt_answer': expected 0 or 1, got {answer!r}")
        shown = text(row, "visual_input") != _WITHOUT_PICTURE
        return make_item(
            row,
            "_".join(needed(row, name) for name in _ID),
            question(row, "question"),
            _GOLDS[answer.casefold()],
            images=_pictures(row, source, wanted=pictures and shown),
            kind="yes_no",
            groups={
                "category": text(row, "category"),
                "subcategory": text(row, "subcategory"),
                "visual_input": {"0": "none", "1": "original", "2": "edited"}.get(text(row, "visual_input"), ""),
            },
            facts={"gt_answer_details": text(row, "gt_answer_details"), "sample_note": text(row, "sample_note")},
        )

    def prompt(self, item: Item) -> str:
        """The question as it is: the authors ask for no form of answer."""
        return item.problem.question

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:  # noqa: ARG002
        """Yes or no, read out of the text.

        Where nothing is shown, saying that one cannot tell is right (the official code: VS, figure 0); elsewhere it is
        wrong.
        """
        found = read_id(item.problem.id)
        return grade_verdict(item.problem, text, unclear_is_right=(found.category, found.figure_id) == ("VS", "0"))

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:
        """The three accuracies beside those by category."""
        found = super().breakdown(marks, missing)
        right = {mark.item.problem.id: mark.is_correct for mark in marks if mark.final.counts}
        scores = hallusion_scores(right, [*right, *missing])
        counts = {"figures": scores.figures, "questions": scores.questions}
        # A complete run has none of these, and its table stays as it was.
        if scores.incomplete_figures or scores.incomplete_questions:
            counts |= {
                "incomplete_figures": scores.incomplete_figures,
                "incomplete_questions": scores.incomplete_questions,
            }
        why = {
            "fAcc": "no figure has all of its questions answered",
            "qAcc": "no question is answered for all figures",
        }
        unknown = {name: reason for name, reason in why.items() if name not in scores.metrics}
        return found.model_copy(update={"metrics": scores.metrics, "counts": counts, "unknown": unknown})


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("image", "filename"), wanted=wanted, roots=("hallusion_bench", "images"))
