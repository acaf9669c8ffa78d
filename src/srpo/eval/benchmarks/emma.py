"""EMMA and EMMA-mini: problems of mathematics, physics, chemistry and coding that cannot be solved by text alone.

Some golds are lower-case letters, and the column `type` varies in case (`Multiple Choice`, `Multiple choice`).
"""

from srpo.data.config import SourceConfig
from srpo.data.fields import to_choices
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import (
    gold,
    letter_gold,
    lettered,
    make_item,
    needed,
    numbered_pictures,
    question,
    text,
)
from srpo.eval.benchmarks.items import PublishedBenchmark

_SUBJECTS = ("Math", "Physics", "Chemistry", "Coding")
_LETTER = 'Answer with the option\'s letter from the given choices and put the letter in one "\\boxed{}".'
_OPEN = 'Answer the question using a single word or phrase and put the answer in one "\\boxed{}".'
_STEPS = "Please solve the problem step by step."


class Emma(PublishedBenchmark):
    """Official table: accuracy by subject, and by category within it."""

    name = "emma"
    title = "EMMA"
    size = 2788
    hub = HubSource("luckychao/EMMA", _SUBJECTS, "test", "main")
    files = (
        "questions.jsonl", "test.jsonl", "test.json", "*/test-*.parquet", "data/test-*.parquet", "test-*.parquet",
    )  # fmt: skip
    columns = ("pid", "question", "answer", "options", "type")
    orders = (("subject", _SUBJECTS), ("question_type", ("multiple choice", "open-ended")))
    citation = "Hao et al., EMMA, ICML 2025, arXiv 2501.05444"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; a question without options is open, whatever its type says."""
        choices = to_choices(row.values.get("options"), "options")
        answer = gold(row, "answer")
        return make_item(
            row,
            needed(row, "pid"),
            question(row, "question"),
            letter_gold(answer, choices) if choices else answer,
            images=numbered_pictures(row, source, wanted=pictures),
            choices=choices,
            groups={
                "subject": text(row, "subject"),
                "category": text(row, "category"),
                "question_type": "multiple choice" if choices else "open-ended",
                "task": text(row, "task"),
            },
            facts={"context": text(row, "context")},
        )

    def prompt(self, item: Item) -> str:
        """Context, question and options, then the request for a box, with the steps before it."""
        problem = item.problem
        options = lettered(problem.choices, "{letter}: {text}")
        parts = (str(item.facts.get("context") or ""), problem.question, options, _LETTER if options else _OPEN, _STEPS)
        return "\n".join(part for part in parts if part)


class EmmaMini(Emma):
    """The 400 problems of EMMA-mini, 100 a subject."""

    name = "emma-mini"
    title = "EMMA-mini"
    size = 400
    hub = HubSource("luckychao/EMMA-mini", _SUBJECTS, "test", "main")
