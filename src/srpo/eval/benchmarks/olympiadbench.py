"""OlympiadBench, OE_MM_maths_en_COMP: 150 open problems of mathematics competitions with pictures.

Other configurations have the same columns and are read as well; proofs (`Need_human_evaluate`, no answer) are rejected.
A problem may have several answers, and a tolerance for each (`error`); units stand outside the box.
"""

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError, to_choices, to_text
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import make_item, needed, numbered_pictures, question, repair_escapes, text
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.official.olympiadbench import olympiad_equal, read_tolerance
from srpo.grading import RULES_ONLY, Grader, OutOfTime

_CONFIG = "OE_MM_maths_en_COMP"
_WANTED = {
    "Numerical": "a numerical value", "Expression": "an expression", "Equation": "an equation",
    "Interval": "an interval", "Tuple": "a tuple",
}  # fmt: skip


class OlympiadBench(PublishedBenchmark):
    """Official number: accuracy by a rule with absolute tolerance; broken down by subfield and type of answer."""

    name = "olympiadbench"
    title = f"OlympiadBench {_CONFIG}"
    size = 150
    hub = HubSource("Hothan/OlympiadBench", (_CONFIG,), "train", "main")
    files = (
        f"{_CONFIG}.jsonl", f"{_CONFIG}.json", f"data/{_CONFIG}.json", f"{_CONFIG}/{_CONFIG}.json",
        f"{_CONFIG}/*.parquet", f"{_CONFIG}*.parquet",
    )  # fmt: skip
    columns = ("id", "question", "final_answer")
    citation = "He et al., OlympiadBench, ACL 2024, arXiv 2402.14008"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; several answers are joined by commas, as the official rule compares them."""
        tolerance = _tolerance(row)
        return make_item(
            row,
            needed(row, "id"),
            question(row, "question"),
            _answer(row),
            images=numbered_pictures(
                row,
                source,
                wanted=pictures,
                needs_one=not text(row, "modality").startswith("Text"),
                roots=("../images", "images"),
            ),
            groups={
                "subfield": text(row, "subfield"),
                "answer_type": text(row, "answer_type"),
            },
            facts={
                "error": tolerance,
                "unit": text(row, "unit"),
                "context": text(row, "context"),
                "is_multiple_answer": text(row, "is_multiple_answer").casefold() in {"true", "1"},
                "answer_type": text(row, "answer_type"),
            },
        )

    def prompt(self, item: Item) -> str:
        """The problem behind what kind of answer it has and where that goes, the unit outside the box."""
        facts = item.facts
        kinds = [_WANTED[part] for part in str(facts.get("answer_type") or "").split(",") if part in _WANTED]
        wanted = " and ".join(kinds) or "in the form that it asks for"
        form = "has several answers; each" if facts.get("is_multiple_answer") else "has one answer; it"
        unit = " (the unit outside the box)" if facts.get("unit") else ""
        boxes = "\\boxed{}, separated by commas" if facts.get("is_multiple_answer") else f"\\boxed{{}}{unit}"
        task = (
            "The following is an open-ended problem from an international mathematics competition. "
            f"It {form} is {wanted}. Use LaTeX for variables and formulas, and end with "
            f'"So the final answer is {boxes}."'
        )
        return "\n".join(part for part in (task, str(facts.get("context") or ""), item.problem.question) if part)

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The core's rule, then the official one with its tolerance."""
        found = super().grade(item, text, grader)
        if found.is_correct or not found.extracted:
            return found
        tolerance = item.facts.get("error")
        try:
            equal = olympiad_equal(item.problem.answer, found.extracted, str(tolerance) if tolerance else None, grader)
        except OutOfTime:
            return found.model_copy(
                update={"verdict": "undecided", "reason": "computer algebra ran out of its CPU time"}
            )
        if not equal:
            return found
        reason = f"within the tolerance {tolerance}" if tolerance else "equal by the official rule"
        return found.model_copy(update={"verdict": "correct", "reason": reason})


def _answer(row: Row) -> str:
    value = row.values.get("final_answer")
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, str) and value.strip().startswith("['"))
    found = to_choices(value, "final_answer") if is_list else (to_text(value, "final_answer"),)
    golds = [repair_escapes(part).strip() for part in found if part.strip()]
    if not golds:
        raise RowError("column 'final_answer': no answer; a proof cannot be graded by a rule")
    return ", ".join(golds)


def _tolerance(row: Row) -> str:
    """The column `error` as it is written, once it is known to be numbers."""
    written = text(row, "error")
    try:
        read_tolerance(written or None)
    except ValueError as error:
        raise RowError(f"column 'error': {error}") from error
    return written
