"""MathVision (MATH-V): 3,040 problems of mathematics competitions, 16 subjects, 5 levels; testmini has 304 of them.

The options of 384 questions are just their letters. Two questions have letters for options that stand at other
letters' places (654: A, B, D, F, G with gold E; 742: A, B, C, E, "Impossible" with gold D): the authors' code takes the
letter of the place and the text of the option alike, and so do we.
"""

from collections.abc import Sequence
from string import ascii_uppercase

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import to_choices
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import gold, lettered, make_item, needed, pictures, question, text, whole
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.grading import RULES_ONLY, Grader, chosen_letters

_SUBJECTS = (
    "algebra", "analytic geometry", "arithmetic", "combinatorial geometry", "combinatorics", "counting",
    "descriptive geometry", "graph theory", "logic", "metric geometry - angle", "metric geometry - area",
    "metric geometry - length", "solid geometry", "statistics", "topology", "transformation geometry",
)  # fmt: skip
_TASK = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'
)


class MathVision(PublishedBenchmark):
    """Official table: accuracy by subject and by level."""

    name = "mathvision"
    title = "MathVision test"
    size = 3040
    hub = HubSource("MathLLMs/MathVision", ("",), "test", "main")
    files = ("test.jsonl", "data/test.jsonl", "data/test-*.parquet", "test-*.parquet")
    columns = ("id", "question", "options", "answer", "level", "subject")
    orders = (("subject", _SUBJECTS), ("level", ("1", "2", "3", "4", "5")))
    citation = "Wang et al., MATH-Vision, NeurIPS 2024, arXiv 2402.14804"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; all pictures of a question are one merged file."""
        return make_item(
            row,
            needed(row, "id"),
            question(row, "question"),
            gold(row, "answer"),
            images=_pictures(row, source, wanted=pictures),
            choices=to_choices(row.values.get("options"), "options"),
            groups={"subject": text(row, "subject"), "level": str(whole(row, "level") or "")},
        )

    def prompt(self, item: Item) -> str:
        """Options follow unless they are just A to E in order."""
        choices = item.problem.choices
        listed = "" if _are_places(choices) else "\n" + lettered(choices, "({letter}) {text}")
        return f"{_TASK}\n{item.problem.question}{listed}".rstrip()

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The core's rule; where options are letters at other places, the option's own letter is right as well."""
        found = super().grade(item, text, grader)
        wanted = shuffled_gold(item.problem.choices, item.problem.answer)
        if wanted is None or found.is_correct or found.extracted is None:
            return found
        chosen = chosen_letters(found.extracted)
        if not (chosen.stated and chosen.letters == {wanted}):
            return found
        return found.model_copy(update={"verdict": "correct", "reason": f"option text {wanted} ({found.reason})"})


class MathVisionMini(MathVision):
    """The 304 problems of testmini."""

    name = "mathvision-testmini"
    title = "MathVision testmini"
    size = 304
    hub = HubSource("MathLLMs/MathVision", ("",), "testmini", "main")
    files = ("testmini.jsonl", "data/testmini.jsonl", "data/testmini-*.parquet", "testmini-*.parquet")


def shuffled_gold(choices: Sequence[str], answer: str) -> str | None:
    """The letter that the gold option reads, where that is another letter than the gold's; else None."""
    place = ascii_uppercase.find(answer.strip()) if len(answer.strip()) == 1 else -1
    option = choices[place].strip() if 0 <= place < len(choices) else ""
    return option if len(option) == 1 and option in ascii_uppercase and option != answer.strip() else None


def _are_places(choices: Sequence[str]) -> bool:
    return "".join(choices) == ascii_uppercase[: len(choices)]


def _pictures(row: Row, source: SourceConfig, *, wanted: bool) -> tuple[str, ...]:
    return pictures(row, source, ("decoded_image", "image"), wanted=wanted, roots=("..",))
