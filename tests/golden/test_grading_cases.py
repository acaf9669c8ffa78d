"""Our own exam: every kind of answer, with near misses. No false positive is tolerated."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from srpo.core.records import Problem
from srpo.grading import RULES_ONLY, grade
from tests.support.field_cases import read_cases, run_cases

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "grading_cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def _verdict(case: dict[str, Any]) -> bool:
    gold = str(case["gold"]).encode("utf-8", "replace").decode()
    problem = Problem(id=str(case["id"]), question="", answer=gold, choices=tuple(case.get("choices", ())))
    return grade(problem, str(case["prediction"])).is_correct


def test_every_case_is_graded_as_expected() -> None:
    wrong = [
        (case["id"], case["gold"], str(case["prediction"])[:80]) for case in CASES if _verdict(case) != case["expected"]
    ]
    assert wrong == []


def test_the_exam_is_wide() -> None:
    kinds = Counter(case["kind"] for case in CASES)
    assert len(CASES) >= 300
    assert len(kinds) >= 30
    assert 0.35 < sum(case["expected"] for case in CASES) / len(CASES) < 0.65


def test_answers_in_all_the_shapes_that_people_write_are_graded_as_expected() -> None:
    """Ranges, dates, histories, statement numbers and so on; `answer_shapes.jsonl` is ours."""
    found = run_cases(read_cases(Path(__file__).parent / "answer_shapes.jsonl"), RULES_ONLY)
    assert [
        (one.case["id"], one.case["gold"], one.case["prediction"], one.detail) for one in found if not one.is_right
    ] == []
