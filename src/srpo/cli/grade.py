"""`srpo grade FILE.jsonl`: grade predictions against gold answers, row by row.

Rows: `{"id", "gold", "prediction", "kind"?, "choices"?, "question"?}`; other keys are ignored. A prediction is an
answer or a whole response. Output: one verdict per row, as a table or with `--json` as JSON lines
`{id, verdict, extracted, reason}`.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Grade, Record
from srpo.core.visible import one_line
from srpo.data.ids import check_new
from srpo.data.jsonl import AnswerText, GoldRow, Located, read_jsonl


class GradeOptions(Record):
    """Grade predictions against gold answers, row by row.

    A prediction is an answer or a whole response. Prints one verdict per row, as a table or as JSON lines.
    """

    file: Annotated[str, Positional("FILE.jsonl")]
    """Rows {id, gold, prediction, kind?, choices?, question?}; - reads standard input."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    rounded: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Relative tolerance for decimals that answer an exact gold: 0.01 lets 8.66 answer 5√3."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object {id, verdict, extracted, reason} per row."""


class GradeRow(GoldRow):
    """One line of the input."""

    prediction: AnswerText


class Graded(NamedTuple):
    """One line of the output."""

    id: str
    grade: Grade


def grade_file(options: GradeOptions) -> int:
    """Print a verdict on each row; raises ValueError for wrong input."""
    from srpo.grading import Grader

    rows = _read(options.file)
    graded: list[Graded] = []
    with Grader(symbolic=options.symbolic, rounded=options.rounded) as grader:
        for found in rows:
            one = Graded(str(found.row.id), grader.grade(found.row.problem(found.place), found.row.prediction))
            graded.append(one)
            if options.as_json:
                shown = one.grade.model_dump(include={"verdict", "extracted", "reason"})
                print(json.dumps({"id": one.id, **shown}))
    if not options.as_json:
        _print_table(graded)
    return 0


def _read(file: str) -> list[Located[GradeRow]]:
    """All rows, so that nothing is printed before a wrong one is known."""
    rows: list[Located[GradeRow]] = []
    seen: dict[str, str] = {}
    for found in read_jsonl(file, GradeRow):
        key = str(found.row.id)
        check_new(key, found.place, seen.get(key))
        seen[key] = found.place
        rows.append(found)
    return rows


def _print_table(graded: Sequence[Graded]) -> None:
    width = min(32, max((len(one.id) for one in graded), default=2))
    for key, result in graded:
        extracted = "-" if result.extracted is None else one_line(result.extracted, 40)
        line = f"{one_line(key, width):<{width}}  {result.verdict:<10}  {extracted:<40}  {one_line(result.reason, 80)}"
        print(line.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8").rstrip())
    counts = Counter(one.grade.verdict for one in graded)
    undecided = f", {counts['undecided']} undecided" if counts["undecided"] else ""
    gradable = counts["correct"] + counts["incorrect"]
    share = f"{counts['correct'] / gradable:.1%}" if gradable else "none"
    print(
        f"{len(graded)} rows: {counts['correct']} correct, {counts['incorrect']} incorrect, "
        f"{counts['ungradable']} ungradable{undecided}; "
        f"accuracy on gradable rows {share}"
    )


COMMAND = Command(GradeOptions, grade_file)
