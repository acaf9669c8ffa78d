"""Cases made after public reports of users of graders and trainers. Skipped where the shared data is absent."""

from pathlib import Path

import pytest

from srpo.grading import Grader
from tests.support.field_cases import read_cases, run_cases

CASES = Path(__file__).parents[2].parent / "shared" / "data" / "field" / "cases.jsonl"
pytestmark = pytest.mark.skipif(not CASES.is_file(), reason="the shared cases from the field are not here")


def test_cases_from_the_field_are_right_and_none_is_rewarded_falsely() -> None:
    with Grader() as grader:
        found = run_cases(read_cases(CASES), grader)
    wrong = [(one.case["id"], one.said, one.detail) for one in found if not one.is_right]
    assert [one.case["id"] for one in found if one.is_false_reward] == []
    assert len(wrong) <= 0.01 * len(found), wrong
