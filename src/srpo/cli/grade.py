"""`srpo grade FILE.jsonl`: grade predictions against gold answers, row by row.

Rows: `{"id", "gold", "prediction", "kind"?, "choices"?, "question"?}`; other keys are ignored. A prediction is an
answer or a whole response. Output: one verdict per row, as a table or with `--json` as JSON lines
`{id, verdict, extracted, reason}`.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Grade, Problem, Record

_SURROGATE = re.compile("[\ud800-\udfff]")


class GradeOptions(Record):
    """Grade predictions against gold answers, row by row.

    A prediction is an answer or a whole response. Prints one verdict per row, as a table or as JSON lines.
    """

    file: Annotated[str, Positional("FILE.jsonl")]
    """Rows {id, gold, prediction, kind?, choices?, question?}; - reads standard input."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object {id, verdict, extracted, reason} per row."""


class Row(NamedTuple):
    """One line of the input."""

    problem: Problem
    prediction: str


def _text(value: object, place: str, field: str) -> str:
    """A field as text: numbers are taken as they are written, records refuse lone surrogates."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"{place}: {field} must be a text, not {value!r:.80}")
    return _SURROGATE.sub("\ufffd", value)


def _choices(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{place}: choices must be a list of option texts, not {value!r:.80}")
    return tuple(_text(choice, place, "each choice") for choice in value)


def parse_row(line: str, place: str) -> Row:
    """Read one JSON line; errors name `place` (`file:line`)."""
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"{place}: not JSON that can be read: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place}: a row must be a JSON object, not {type(row).__name__}")
    for field in ("id", "gold", "prediction"):
        if field not in row:
            raise ValueError(f"{place}: field {field!r} is missing; a row needs id, gold and prediction")
    # null means that the model gave no answer, or that the data set has none
    gold = "" if row["gold"] is None else _text(row["gold"], place, "gold")
    prediction = "" if row["prediction"] is None else _text(row["prediction"], place, "prediction")
    kind = None if row.get("kind") is None else _text(row["kind"], place, "kind")
    question = "" if row.get("question") is None else _text(row["question"], place, "question")
    problem = Problem(
        id=_text(row["id"], place, "id"),
        question=question,
        answer=gold,
        choices=_choices(row.get("choices"), place),
        kind=kind,
        source=place,
    )
    return Row(problem, prediction)


def read_rows(lines: Iterator[bytes], name: str) -> list[Row]:
    """Read all rows; a wrong line or an id that occurs twice is a ValueError naming the place."""
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(lines, start=1):
        place = f"{name}:{number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{place}: not UTF-8: {error.reason} at byte {error.start}") from None
        if not line.strip():
            continue
        row = parse_row(line, place)
        if row.problem.id in seen:
            raise ValueError(
                f"{place}: id {row.problem.id!r} was given in line {seen[row.problem.id]} already; ids must be unique"
            )
        seen[row.problem.id] = number
        rows.append(row)
    return rows


def _load(path: str) -> list[Row]:
    if path == "-":
        return read_rows(iter(sys.stdin.buffer), "<stdin>")
    try:
        with Path(path).open("rb") as file:
            return read_rows(iter(file), path)
    except OSError as error:
        raise ValueError(f"cannot read {path!r}: {error.strerror}") from None


def _print_table(graded: list[tuple[Row, Grade]]) -> None:
    width = min(32, max((len(row.problem.id) for row, _ in graded), default=2))
    for row, result in graded:
        extracted = "-" if result.extracted is None else " ".join(result.extracted.split())
        line = f"{row.problem.id:<{width}.{width}}  {result.verdict:<10}  {extracted[:40]:<40}  {result.reason[:80]}"
        print(line.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8").rstrip())
    counts = Counter(result.verdict for _, result in graded)
    gradable = counts["correct"] + counts["incorrect"]
    share = f"{counts['correct'] / gradable:.1%}" if gradable else "none"
    print(
        f"{len(graded)} rows: {counts['correct']} correct, {counts['incorrect']} incorrect, "
        f"{counts['ungradable']} ungradable; "
        f"accuracy on gradable rows {share}"
    )


def grade_file(options: GradeOptions) -> int:
    """Print a verdict on each row; raises ValueError for wrong input."""
    from srpo.grading import Grader

    rows = _load(options.file)
    graded: list[tuple[Row, Grade]] = []
    with Grader(symbolic=options.symbolic) as grader:
        for row in rows:
            result = grader.grade(row.problem, row.prediction)
            graded.append((row, result))
            if options.as_json:
                shown = {
                    "id": row.problem.id,
                    "verdict": result.verdict,
                    "extracted": result.extracted,
                    "reason": result.reason,
                }
                print(json.dumps(shown))
    if not options.as_json:
        _print_table(graded)
    return 0


COMMAND = Command(GradeOptions, grade_file)
