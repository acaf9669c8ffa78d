r"""MathVerse testmini: 788 problems in five versions that shift text into the picture, and once more as text only.

In the version Vision Only the question stands in the picture and the column is empty. The golds are the dirtiest of
all: labels (`Area $=113.1 \mathrm{~cm}^{2}$`), degree signs read in a wrong encoding, letters that some rows bracket.
"""

import re
from collections.abc import Collection, Sequence

from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Breakdown, HubSource, Item, Mark, cell_of
from srpo.eval.benchmarks.columns import (
    first,
    gold,
    inner,
    labelled_options,
    make_item,
    needed,
    pictures,
    question,
    text,
)
from srpo.eval.benchmarks.items import PublishedBenchmark

VERSIONS = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")
TEXT_ONLY = "Text Only"
_IN_PICTURE = "Solve the problem that is written in the picture."
"""Stands for the question of the version Vision Only."""
_HANZI = re.compile(r"[\u4e00-\u9fff]+")


class MathVerse(PublishedBenchmark):
    """Official numbers: accuracy per version, and over the five versions with pictures."""

    name = "mathverse"
    title = "MathVerse testmini"
    size = 3940
    hub = HubSource("AI4Math/MathVerse", ("testmini",), "testmini", "main")
    files = (
        "testmini.jsonl", "testmini.json", "testmini.parquet", "data/testmini-0*.parquet", "testmini-0*.parquet",
        "testmini_text_only.json", "testmini_text_only.jsonl", "testmini_text_only.parquet",
        "data/testmini_text_only-*.parquet",
    )  # fmt: skip
    columns = ("sample_index", "problem_version", "answer", "question_type")
    orders = (("version", (*VERSIONS, TEXT_ONLY)),)
    citation = "Zhang et al., MathVerse, ECCV 2024, arXiv 2403.14624"
    headline = "overall"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; options stand in the question, or for Vision Only in `question_for_eval`, as lmms-eval publishes."""
        version = needed(row, "problem_version").replace("_", " ")
        asked = first(row.values, "question", "question_for_eval")
        multiple = text(row, "question_type").startswith("multi")
        content = text(row, "question_for_eval", "question", "query_wo")
        return make_item(
            row,
            needed(row, "sample_index"),
            question(row, "question", "question_for_eval") if asked else _IN_PICTURE,
            repair_encoding(gold(row, "answer")),
            images=_pictures(row, source, wanted=pictures and version != TEXT_ONLY),
            choices=labelled_options(content.rpartition("Choices:")[2]) if multiple and "Choices:" in content else (),
            groups={
                "version": version,
                **inner(row, "metadata", "subject", "subfield"),
                "question_type": text(row, "question_type"),
            },
            facts={
                "problem_index": text(row, "problem_index"),
                "query_cot": text(row, "query_cot"),
                "query_wo": text(row, "query_wo"),
                "question_for_eval": text(row, "question_for_eval"),
            },
        )

    def prompt(self, item: Item) -> str:
        """The published query that lets the model reason first; the plain one is in `facts["query_wo"]`."""
        query = item.facts.get("query_cot") or item.facts.get("query_wo")
        return str(query) if query else super().prompt(item)

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:
        """`overall` is over the five versions with pictures; where there are none of them, over all."""
        found = super().breakdown(marks, missing)
        pictured = cell_of(mark for mark in marks if mark.item.groups["version"] != TEXT_ONLY)
        overall = pictured if pictured.n else cell_of(marks)
        return found.model_copy(update={"metrics": {"overall": overall.accuracy}})


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("image", "decoded_image"), wanted=wanted, roots=("images", "data/images"))


def repair_encoding(value: str) -> str:
    """UTF-8 that was read as GBK: `118掳T` is 118°T."""
    return _HANZI.sub(lambda match: _reread(match.group()), value)


def _reread(run: str) -> str:
    try:
        return run.encode("gbk").decode("utf-8")
    except UnicodeError:
        return run
