"""MMMU validation and MMMU-Pro: college questions of 30 subjects, with up to seven pictures, also among the options.

Options come as the text of a Python list, and so do golds of open questions that have several right answers. MMMU-Pro
has two settings, ten options and the whole question in the picture; its score is the mean of both.
"""

from string import ascii_uppercase

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError, to_choices
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import lettered, make_item, needed, numbered_pictures, question, repair_escapes, text
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.official import mmmu as official
from srpo.grading import RULES_ONLY, Grader
from srpo.grading.prose.grade import grade_letter, names_gold

DOMAINS = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy",
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics", "Energy_and_Power",
        "Materials", "Mechanical_Engineering",
    ),
}  # fmt: skip
_DOMAIN_OF = {subject: domain for domain, subjects in DOMAINS.items() for subject in subjects}
_SUBJECTS = tuple(sorted(_DOMAIN_OF))
_ORDERS = (("domain", tuple(DOMAINS)), ("subject", tuple(_DOMAIN_OF)))
_IN_PICTURE = "Solve the multiple-choice question that is written in the picture."
_LETTER_ONLY = "Answer with the option's letter from the given choices directly."
_LAST_LINE = (
    "The last line of your response should be 'Answer: $LETTER' (without quotes), where LETTER is one of the options. "
    "Think step by step before answering."
)


class Mmmu(PublishedBenchmark):
    """Official table: accuracy over all, by the six domains and by subject."""

    name = "mmmu"
    title = "MMMU val"
    size = 900
    hub = HubSource("MMMU/MMMU", _SUBJECTS, "validation", "main")
    files = ("validation.jsonl", "validation.json", "*/validation-*.parquet", "validation-*.parquet")
    columns = ("id", "question", "options", "answer", "question_type")
    orders = _ORDERS
    citation = "Yue et al., MMMU, CVPR 2024, arXiv 2311.16502"
    official_code = "eval_utils.py"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; several golds of an open question are in `facts["golds"]`, the first one is the answer."""
        choices = to_choices(row.values.get("options"), "options")
        is_open = text(row, "question_type") == "open"
        golds = _golds(row) if is_open else (needed(row, "answer"),)
        subject = _subject(row)
        return make_item(
            row,
            needed(row, "id"),
            question(row, "question"),
            golds[0],
            images=numbered_pictures(row, source, wanted=pictures),
            choices=() if is_open else choices,
            kind=None if is_open else "letter",
            groups={
                "domain": _DOMAIN_OF.get(subject, ""),
                "subject": subject,
                "difficulty": text(row, "topic_difficulty"),
                "question_type": text(row, "question_type"),
            },
            facts={"golds": list(golds)} if len(golds) > 1 else {},
        )

    def prompt(self, item: Item) -> str:
        """Question, options one a line, and the request for a letter or a short answer."""
        problem = item.problem
        if not problem.choices:
            return f"{problem.question}\n\nAnswer the question using a single word or phrase."
        return f"{problem.question}\n{lettered(problem.choices, '{letter}. {text}')}\n\n{_LETTER_ONLY}"

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """Right is what one of the golds says; numbers are compared to two decimals, as the authors do.

        A gold word may stand among others (`transformational leadership`), also as the authors have it.
        """
        if item.problem.choices:
            return grade_letter(item.problem, text, grader)
        found = super().grade(item, text, grader)
        if found.is_correct:
            return found
        golds = _all_golds(item)
        for other in golds[1:]:
            problem = item.problem.model_copy(update={"answer": other})
            if (again := grader.grade(problem, text)).is_correct:
                return again
        said = _rounded(found.extracted or "")
        if said is not None and said in map(_rounded, golds):
            return found.model_copy(update={"verdict": "correct", "reason": "equal to two decimals"})
        if any(names_gold(gold, found.extracted or "") for gold in golds):
            return found.model_copy(update={"verdict": "correct", "reason": "text: names the gold"})
        return found

    def official_grade(self, item: Item, text: str) -> Grade:
        """By the authors' parser; where it would draw a letter at random, nothing is right."""
        problem = item.problem
        if problem.choices:
            parsed = official.parse_choice(text, dict(zip(ascii_uppercase, problem.choices, strict=False)))
            right, shown = parsed == problem.answer, parsed
        else:
            found = official.parse_open(text)
            right, shown = official.open_is_right(found, _all_golds(item)), str(found)
        return Grade(verdict="correct" if right else "incorrect", extracted=shown, reason=self.official_code)


class MmmuPro(PublishedBenchmark):
    """MMMU-Pro, standard setting: up to twelve options."""

    name = "mmmu-pro-standard"
    title = "MMMU-Pro standard (10 options)"
    size = 1730
    hub = HubSource("MMMU/MMMU_Pro", ("standard (10 options)",), "test", "main")
    files = ("standard (10 options)/test-*.parquet", "test.jsonl", "test.json", "test-*.parquet")
    columns: tuple[str, ...] = ("id", "question", "options", "answer")
    orders = _ORDERS
    citation = "Yue et al., MMMU-Pro, ACL 2025, arXiv 2409.02813"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; in the vision setting there is no question, it stands in the picture."""
        subject = text(row, "subject").replace(" ", "_") or _subject(row)
        choices = to_choices(row.values.get("options"), "options")
        if not choices:
            raise RowError("column 'options': no options")
        return make_item(
            row,
            needed(row, "id"),
            question(row, "question") if text(row, "question") else _IN_PICTURE,
            needed(row, "answer"),
            images=numbered_pictures(row, source, wanted=pictures),
            choices=choices,
            kind="letter",
            groups={
                "domain": _DOMAIN_OF.get(subject, ""),
                "subject": subject,
                "difficulty": text(row, "topic_difficulty"),
            },
        )

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """The letter, or the option that the words of the response name."""
        return grade_letter(item.problem, text, grader)

    def prompt(self, item: Item) -> str:
        """Question and options, then how the response is to end."""
        problem = item.problem
        return f"{problem.question}\n{lettered(problem.choices, '{letter}. {text}')}\n\n{_LAST_LINE}"


class MmmuProVision(MmmuPro):
    """MMMU-Pro, vision setting: question and options are in the picture alone."""

    name = "mmmu-pro-vision"
    title = "MMMU-Pro vision"
    hub = HubSource("MMMU/MMMU_Pro", ("vision",), "test", "main")
    files = ("vision/test-*.parquet", "test.jsonl", "test.json", "test-*.parquet")
    columns = ("id", "options", "answer")

    def prompt(self, item: Item) -> str:
        """The options are not said again: reading them is part of the task."""
        return f"{item.problem.question} {_LAST_LINE}"


def _golds(row: Row) -> tuple[str, ...]:
    value = row.values.get("answer")
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, str) and value.strip().startswith("["))
    found = to_choices(value, "answer") if is_list else (needed(row, "answer"),)
    golds = tuple(repair_escapes(gold).strip() for gold in found if gold.strip())
    if not golds:
        raise RowError("column 'answer': no answer")
    return golds


def _all_golds(item: Item) -> list[str]:
    golds = item.facts.get("golds")
    return [str(gold) for gold in golds] if isinstance(golds, list) else [item.problem.answer]


def _rounded(number: str) -> float | None:
    bare = number.replace(",", "").replace("$", "").strip()
    if bare.startswith("(") and bare.endswith(")"):
        bare = f"-{bare[1:-1]}"  # as accountants write a loss
    try:
        return round(float(bare), 2)
    except ValueError:
        return None


def _subject(row: Row) -> str:
    """`Energy_and_Power` of `validation_Energy_and_Power_7`; empty for ids of another form."""
    return "_".join(text(row, "id").split("_")[1:-1])
