"""MathVista testmini: 540 questions with options, 418 whole numbers, 40 numbers with one or two decimals, 2 lists.

The gold of a question with options is an option's text, not its letter; three questions list an option twice.
"""

from collections.abc import Collection, Sequence

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import to_choices
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Breakdown, HubSource, Item, Mark, in_order, table_by
from srpo.eval.benchmarks.columns import gold, inner, lettered, make_item, needed, pictures, question, text, whole
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.official import mathvista as official
from srpo.grading import RULES_ONLY, Grader
from srpo.grading.prose.grade import grade_list, grade_number, grade_option

SKILLS = (
    "arithmetic reasoning", "statistical reasoning", "algebraic reasoning", "geometry reasoning",
    "numeric commonsense", "scientific reasoning", "logical reasoning",
)  # fmt: skip
_AXES = ("task", "context", "source", "grade", "category", "language")
_ASKED = {
    "integer": "requiring an integer answer and provide the final value, e.g., 1, 2, 3",
    "list": "requiring a Python list as an answer and provide the final list, e.g., [1, 2, 3], [1.2, 1.3, 1.4]",
    1: "requiring a floating-point number with one decimal place and provide the final value, e.g., 1.2, 1.3, 1.4",
    2: "requiring a floating-point number with two decimal places and provide the final value, e.g., 1.23, 1.34, 1.45",
}


class MathVista(PublishedBenchmark):
    """Official table: accuracy, and by task, skill, context, source, grade, category and language."""

    name = "mathvista"
    title = "MathVista testmini"
    size = 1000
    hub = HubSource("AI4Math/MathVista", ("",), "testmini", "2b6ad69445fbb5695c9b165475e8decdbeb97747")
    files = (
        "testmini.jsonl", "testmini.json", "annot_testmini.json", "data/testmini.json", "data/testmini-*.parquet",
        "testmini-*.parquet",
    )  # fmt: skip
    columns = ("pid", "question", "answer", "question_type", "answer_type")
    citation = "Lu et al., MathVista, ICLR 2024, arXiv 2310.02255"
    official_code = "calculate_score.py"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; kind `option` where there are options, because the gold is the text of one."""
        choices = to_choices(row.values.get("choices"), "choices")
        return make_item(
            row,
            needed(row, "pid"),
            question(row, "question"),
            gold(row, "answer"),
            images=_pictures(row, source, wanted=pictures),
            choices=choices,
            kind="option" if choices else None,
            groups=inner(row, "metadata", *_AXES)
            | {name: text(row, name) for name in ("question_type", "answer_type")},
            facts={
                "question_type": text(row, "question_type"),
                "answer_type": text(row, "answer_type"),
                "precision": whole(row, "precision"),
                "unit": text(row, "unit"),
                "query": text(row, "query"),
                "skills": list(_skills_of(row)) or None,
            },
        )

    def prompt(self, item: Item) -> str:
        """The `query` column as it is published, else what the authors' code makes of the row."""
        query = item.facts.get("query")
        return str(query) if query else _query(item)

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """By the authors' rule, on the answer that our own rules read out of the text instead of GPT-4."""
        problem, precision = item.problem, item.facts.get("precision")
        if text.strip() in problem.choices:
            return super().grade(item, text, grader)  # some options are whole questions, which no prose would be
        if problem.choices:
            return grade_option(problem, text)
        match item.facts.get("answer_type"):
            case "integer" | "float" as kind:
                places = precision if kind == "float" and isinstance(precision, int) else None
                return grade_number(problem, text, places, str(item.facts.get("unit") or ""))
            case "list":
                return grade_list(problem, text)
        return super().grade(item, text, grader)

    def official_grade(self, item: Item, text: str) -> Grade:
        """The authors' comparison, given what our rules read where GPT-4 did; what they cannot read is empty."""
        problem, facts = item.problem, item.facts
        extracted = self.grade(item, text).extracted or ""
        precision = facts.get("precision")
        right = official.is_right(
            extracted,
            problem.answer,
            problem.choices or None,
            str(facts.get("question_type")),
            str(facts.get("answer_type")),
            precision if isinstance(precision, int) else None,
        )
        return Grade(verdict="correct" if right else "incorrect", extracted=extracted, reason=self.official_code)

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:
        """With a table of skills, in which a question counts for each skill that it needs."""
        found = super().breakdown(marks, missing)
        skills = in_order(table_by(marks, _skills), SKILLS)
        return found.model_copy(update={"tables": found.tables | {"skill": skills}}) if skills else found


def _skills_of(row: Row) -> tuple[str, ...]:
    about = row.values.get("metadata")
    return to_choices(about.get("skills"), "metadata.skills") if isinstance(about, dict) else ()


def _skills(item: Item) -> list[str]:
    named = item.facts.get("skills")
    return [str(skill) for skill in named] if isinstance(named, list) else []


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("decoded_image", "image"), wanted=wanted, roots=("data", ".."))


def _query(item: Item) -> str:
    """The published form of a question: a hint on the form of the answer, the question with its unit, the options."""
    facts, problem = item.facts, item.problem
    if problem.choices:
        hint = "and provide the correct option letter, e.g., A, B, C, D"
    else:
        precision = facts.get("precision")
        wanted = precision if facts.get("answer_type") == "float" else facts.get("answer_type")
        hint = _ASKED.get(wanted if isinstance(wanted, (str, int)) else "", "and provide the final value")
    unit = f" (Unit: {facts['unit']})" if facts.get("unit") else ""
    lines = [f"Hint: Please answer the question {hint}, at the end.", f"Question: {problem.question}{unit}"]
    return "\n".join([*lines, "Choices:", lettered(problem.choices, "({letter}) {text}")] if problem.choices else lines)
