"""MMStar val: 1,500 questions that need the picture, six core abilities of 250, each in three axes.

Options stand in the text of the question (`Options: A: .., B: ..`).
"""

from collections.abc import Collection, Sequence

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Breakdown, HubSource, Item, Mark, macro
from srpo.eval.benchmarks.columns import (
    inner,
    labelled_options,
    letter_gold,
    make_item,
    needed,
    pictures,
    question,
    text,
)
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.grading import RULES_ONLY, Grader
from srpo.grading.prose.grade import grade_letter

CORES = (
    "coarse perception", "fine-grained perception", "instance reasoning", "logical reasoning",
    "science & technology", "math",
)  # fmt: skip


class MmStar(PublishedBenchmark):
    """Official numbers: accuracy, and by core; lmms-eval reports the mean of the 18 axes instead, here `macro_axes`."""

    name = "mmstar"
    title = "MMStar val"
    size = 1500
    hub = HubSource("Lin-Chen/MMStar", ("val",), "val", "main")
    files = ("val.jsonl", "val.json", "mmstar.parquet", "val-*.parquet", "data/val-*.parquet", "*.parquet")
    columns = ("index", "question", "answer", "category")
    orders = (("category", CORES),)
    citation = "Chen et al., MMStar, NeurIPS 2024, arXiv 2403.20330"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; the question keeps the list of options that is part of it."""
        content = question(row, "question")
        return make_item(
            row,
            needed(row, "index"),
            content,
            letter_gold(needed(row, "answer")),
            images=_pictures(row, source, wanted=pictures),
            choices=_options(row, content),
            kind="letter",
            groups={
                "category": text(row, "category"),
                "l2_category": text(row, "l2_category"),
                **inner(row, "meta_info", "source"),
            },
        )

    def prompt(self, item: Item) -> str:
        """The question as it is published."""
        return item.problem.question

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The letter, or the option that the words of the response name."""
        return grade_letter(item.problem, text, grader)

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:
        """Means over cores and over axes beside plain accuracy: they differ when items are missing or left out."""
        found = super().breakdown(marks, missing)
        metrics = {"macro_cores": macro(found.tables.get("category", {}))}
        metrics["macro_axes"] = macro(found.tables.get("l2_category", {}))
        return found.model_copy(update={"metrics": metrics})


def _options(row: Row, content: str) -> tuple[str, ...]:
    """From the text; VLMEvalKit's copies have a column for each letter."""
    listed = labelled_options(content.rpartition("Options:")[2])
    columns = [text(row, letter) for letter in "ABCD"]
    return listed or tuple(option for option in columns if option)


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("image", "image_path"), wanted=wanted, roots=("images",))
