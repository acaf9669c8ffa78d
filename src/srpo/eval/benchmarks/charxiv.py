"""CharXiv, reasoning questions of the validation split: 1,000 charts of papers, four types of answer.

The type decides what is asked for and how it is judged. It is `inst_category` in the authors' JSON and
`reasoning_a_type` on the hub; `reasoning_q_source` there is where the question comes from, and no type.
"""

from typing import Any

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import first, gold, make_item, needed, pictures, question, text
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.grading import RULES_ONLY, Grader, grade

TYPES = ("text-in-chart", "text-in-general", "number-in-chart", "number-in-general")
SOURCES = ("GPT-sourced", "GPT-inspired", "completely human")
_RULES = {
    "text-in-chart": "Answer with text that is written in the chart and that the question is about. Separate several "
    "terms with commas. Give the full names of subplots and labels, unless the question asks for a letter or the like.",
    "text-in-general": "If the question names options, answer with one of them; if it says how to answer, do so; "
    "otherwise answer with a short phrase.",
    "number-in-chart": "Answer with a number that is written in the chart and that the question is about, even if it "
    "is an approximate value; it may be part of a text there.",
}
_MAX_TERMS = 20


class CharXiv(PublishedBenchmark):
    """Official table: accuracy by type of answer and by source of the question. The official judge is GPT-4o."""

    name = "charxiv"
    title = "CharXiv reasoning val"
    size = 1000
    hub = HubSource("princeton-nlp/CharXiv", ("",), "validation", "main")
    files = (
        "reasoning_val.json", "data/reasoning_val.json", "reasoning_val.jsonl", "val.parquet",
        "validation-*.parquet", "data/validation-*.parquet", "data/val-*.parquet",
    )  # fmt: skip
    columns = ("figure_id|figure_path", "query|reasoning_q", "answer|reasoning_a", "inst_category|reasoning_a_type")
    orders = (("answer_type", TYPES), ("question_source", SOURCES))
    citation = "Wang et al., CharXiv, NeurIPS 2024, arXiv 2406.18521"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; the hub names figures by their file (`images/0.jpg`)."""
        figure = text(row, "figure_id") or _stem(needed(row, "figure_path"))
        answer_type = _named(first(row.values, "inst_category", "reasoning_a_type"), TYPES)
        if not answer_type:
            raise RowError("column 'reasoning_a_type' or 'inst_category': expected 1, 2, 3 or 4")
        return make_item(
            row,
            figure,
            question(row, "query", "reasoning_q"),
            gold(row, "answer", "reasoning_a"),
            images=_pictures(row, source, figure, wanted=pictures),
            kind=None if answer_type.startswith("number") else "text",
            groups={
                "answer_type": answer_type,
                "question_source": _named(first(row.values, "qa_source", "reasoning_q_source"), SOURCES),
                "category": text(row, "category"),
                "year": text(row, "year"),
            },
        )

    def prompt(self, item: Item) -> str:
        """The question and what its type asks for; the type number-in-general says how many decimals the gold has."""
        answer_type = item.groups["answer_type"]
        rule = _RULES.get(answer_type) or _decimals(item.problem.answer)
        return f"{item.problem.question}\n{rule}"

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The core's rule; several terms may come in any order."""
        found = super().grade(item, text, grader)
        if found.verdict != "incorrect" or found.extracted is None or item.problem.kind != "text":
            return found
        if _same_terms(item, found.extracted):
            return found.model_copy(update={"verdict": "correct", "reason": "text: same terms in another order"})
        return found


def _same_terms(item: Item, said: str) -> bool:
    golds, others = _terms(item.problem.answer), _terms(said)
    if len(golds) != len(others) or not 1 < len(golds) <= _MAX_TERMS:
        return False
    for term in golds:
        problem = item.problem.model_copy(update={"answer": term})
        match = next((other for other in others if grade(problem, other).is_correct), None)
        if match is None:
            return False
        others.remove(match)
    return True


def _terms(content: str) -> list[str]:
    return [term.strip() for term in content.replace(" and ", ",").split(",") if term.strip()]


def _decimals(answer: str) -> str:
    decimals = len(answer.rpartition(".")[2]) if "." in answer else 0
    if not decimals:
        return "Answer with a whole number."
    return f"Answer with a number with {decimals} decimal place{'s' if decimals > 1 else ''}."


def _named(value: Any, names: tuple[str, ...]) -> str:
    """The name of a type that is given by its number, from 1; empty when it is none."""
    number = str(value).strip().removesuffix(".0")
    return names[int(number) - 1] if number.isdecimal() and 1 <= int(number) <= len(names) else ""


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _pictures(row: Row, source: SourceConfig, figure: str, *, wanted: bool) -> tuple[str, ...]:
    """The authors' JSON has no column for the picture: it is `images/<figure_id>.jpg`."""
    named = row._replace(values={"image": f"images/{figure}.jpg", **row.values})
    return pictures(named, source, ("image",), wanted=wanted, roots=("..",))
