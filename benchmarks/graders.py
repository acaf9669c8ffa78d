"""Graders side by side, false positives first: srpo, math-verify, MathRuler and the authors' function as described.

    python benchmarks/graders.py [--out benchmarks/results/graders.json]

Every grader gets the same rows: gold, prediction and what is right. Peers get what they want: the gold between dollars,
the prediction in a box where it has none. Rows with options are left out for those that know no options. The cases made
after public bug reports are taken when they lie beside the checkout (`../shared/data/field`).

The authors' function is made after its description (docs/grading.md), not copied: a gold that math-verify cannot read
is always right, then math-verify, then the first of the letters A to H, whatever its case, against a gold letter.
"""

import argparse
import json
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.cleaning import spoken
from srpo.core.records import Problem
from srpo.grading import Grader

ROOT = Path(__file__).resolve().parents[1]
EXAMS = {
    "exam": ROOT / "tests/golden/grading_cases.jsonl",
    "shapes": ROOT / "tests/golden/answer_shapes.jsonl",
    "field": ROOT.parent / "shared/data/field/cases.jsonl",
}
MATH_VERIFY_TESTS = ROOT.parent / "shared/data/grading/mathverify_cases.json"


class Row(NamedTuple):
    """One gold and one prediction."""

    exam: str
    gold: str
    prediction: str
    choices: tuple[str, ...]
    right: bool


class Peer(NamedTuple):
    """A grader; None when it crashed."""

    name: str
    knows_options: bool
    grade: Callable[[Row], bool | None]


def rows() -> Iterator[Row]:
    for name, path in EXAMS.items():
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            case: dict[str, Any] = json.loads(line)
            if "prediction" in case and case["expected"] in (True, False, "correct", "incorrect"):
                gold = str(case["gold"]).encode("utf-8", "replace").decode()
                prediction = str(case["prediction"]).encode("utf-8", "replace").decode()
                right = case["expected"] in (True, "correct")
                yield Row(name, gold, prediction, tuple(case.get("choices") or ()), right)
    if MATH_VERIFY_TESTS.is_file():
        for case in json.loads(MATH_VERIFY_TESTS.read_text(encoding="utf-8"))["cases"]:
            if not case["tags"]:
                yield Row("math-verify's own tests", case["gold"], case["pred"], (), bool(case["expected"]))


def boxed(prediction: str) -> str:
    """The prediction as a peer wants it: its own box, or its text in one."""
    text = spoken(prediction)
    block = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    text = block[-1] if block else text
    return text if "boxed" in text else rf"\boxed{{{text.strip()}}}"


def _gold_of(row: Row) -> str:
    return row.gold if "$" in row.gold or "boxed" in row.gold else f"${row.gold}$"


def _math_of(row: Row) -> str:
    """With its own dollars where it has them, for math-verify looks for formulas."""
    return spoken(row.prediction) if "$" in row.prediction else boxed(row.prediction)


def guarded(grade: Callable[[Row], bool]) -> Callable[[Row], bool | None]:
    def run(row: Row) -> bool | None:
        try:
            return grade(row)
        except Exception:
            return None

    return run


def peers() -> Iterator[Peer]:
    rules, grader = Grader(symbolic=False), Grader()
    for name, one in (("srpo, rules alone", rules), ("srpo", grader)):
        yield Peer(name, True, lambda row, one=one: one.grade(_problem(row), row.prediction).is_correct)  # type: ignore[misc]
    try:
        from math_verify import parse, verify

        yield Peer("math-verify", False, guarded(lambda row: verify(parse(_gold_of(row)), parse(_math_of(row)))))
        yield Peer("the authors' function, as described", True, guarded(_authors))
    except ImportError:
        print("math-verify is not installed: left out")
    try:
        from mathruler.grader import extract_boxed_content, grade_answer

        yield Peer(
            "MathRuler",
            False,
            guarded(lambda row: grade_answer(extract_boxed_content(boxed(row.prediction)), row.gold)),
        )
    except ImportError:
        print("mathruler is not installed: left out")


def _problem(row: Row) -> Problem:
    return Problem(id="row", question="", answer=row.gold, choices=row.choices)


def _authors(row: Row) -> bool:
    from math_verify import parse, verify

    gold = parse(_gold_of(row))
    if not gold or verify(gold, parse(_math_of(row))):
        return True
    letter = re.search(r"[A-H]", spoken(row.prediction).upper())
    return bool(letter and len(row.gold) == 1 and letter.group() == row.gold)


def measure() -> dict[str, Any]:
    table: dict[str, Any] = {}
    found = list(rows())
    for peer in peers():
        counts: dict[str, Counter[str]] = {}
        for row in found:
            if row.choices and not peer.knows_options:
                continue
            said = peer.grade(row)
            count = counts.setdefault(row.exam, Counter())
            count["rows"] += 1
            count["false positives"] += said is True and not row.right
            count["false negatives"] += said is not True and row.right
            count["crashes"] += said is None
        table[peer.name] = {exam: dict(count) for exam, count in counts.items()}
        print(
            f"{peer.name:<38}",
            {exam: (c["false positives"], c["false negatives"], c["rows"]) for exam, c in counts.items()},
        )
    return table


def _versions() -> dict[str, str]:
    known = {}
    for name in ("math-verify", "mathruler"):
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "not installed"
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/graders.json")
    arguments = parser.parse_args()
    result = {
        "command": "python benchmarks/graders.py",
        "what": "false positives, false negatives, crashes and rows by grader and exam",
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": _versions(),
        "graders": measure(),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
