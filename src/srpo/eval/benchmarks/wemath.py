"""We-Math testmini: 525 problems of two or three steps, each asked as a whole and step by step, 1,740 questions.

What counts is how the answers to a problem and to its steps go together: `official.wemath`.
"""

from collections.abc import Collection, Sequence

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Breakdown, HubSource, Item, Mark
from srpo.eval.benchmarks.columns import labelled_options, letter_gold, make_item, needed, pictures, question, text
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.official.wemath import wemath_scores
from srpo.grading import RULES_ONLY, Grader


class WeMath(PublishedBenchmark):
    """Official numbers: strict and loose score, the rates of IK, IG, CM and RM, accuracy of steps (S1) and wholes."""

    name = "wemath"
    title = "We-Math testmini"
    size = 1740
    hub = HubSource("We-Math/We-Math", ("",), "testmini", "main")
    files = ("testmini.jsonl", "testmini.json", "data/testmini.json", "data/testmini-*.parquet", "*testmini*.parquet")
    columns = ("ID", "key", "question", "option", "answer")
    orders = (("step", ("one-step", "two-step", "three-step")),)
    citation = "Qiao et al., We-Math, ACL 2025, arXiv 2407.01284"
    by_groups = True
    headline = "strict_score"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; `ID` is that of the problem, so that the id is `ID|key`."""
        identity, key, option = needed(row, "ID"), needed(row, "key"), needed(row, "option")
        choices = labelled_options(option)
        return make_item(
            row,
            f"{identity}|{key}",
            question(row, "question"),
            letter_gold(needed(row, "answer"), choices),
            images=_pictures(row, source, wanted=pictures),
            choices=choices,
            kind="letter",
            groups={"step": _step(key), "knowledge concept": text(row, "knowledge concept")},
            facts={"ID": identity, "key": key, "option": option},
        )

    def prompt(self, item: Item) -> str:
        """Question and options as they are published; the authors' answer template is left to our own."""
        return f"Question: {item.problem.question}\nOption: {item.facts['option']}"

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The core's rule; of a response in the authors' template (`<Answer>: <<B. 12>>`) what it holds as answer."""
        head, found, answer = text.rpartition("Answer")
        in_template = found and head.endswith("<") and "<<" in answer
        return super().grade(item, answer.strip("<>: \n") if in_template else text, grader)

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:
        """The four-dimensional metrics beside accuracy by step."""
        found = super().breakdown(marks, missing)
        right = {
            (str(mark.item.facts["ID"]), str(mark.item.facts["key"])): mark.is_correct
            for mark in marks
            if mark.final.counts
        }
        scores = wemath_scores(right)
        unknown = {}
        if not scores.groups:
            why = f"none of the {scores.incomplete} problems was answered together with all of its steps"
            unknown = {"strict_score": why, "loose_score": why}
        counts = {"groups": scores.groups, "incomplete_groups": scores.incomplete}
        counts |= {str(kind): number for kind, number in scores.counts.items()}
        return found.model_copy(update={"metrics": scores.metrics, "counts": counts, "unknown": unknown})


def _step(key: str) -> str:
    if not key.endswith("multi"):
        return "one-step"
    return "two-step" if key.startswith("2") else "three-step"


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("image_path", "image"), wanted=wanted, roots=("data", "images"))
