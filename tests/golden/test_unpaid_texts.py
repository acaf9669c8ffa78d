"""Texts by which a policy could try to be paid without knowing the answer: several answers, hedges, near answers."""

import json
from pathlib import Path

import pytest

from srpo.core.records import Problem
from srpo.grading import RULES_ONLY

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "unpaid_texts.jsonl").read_text(encoding="utf-8").splitlines()
]
OPTIONS = ("12 cm", "15 cm", "18 cm", "21 cm")


def final_verdict(problem: Problem, answer: str) -> str:
    blocks = f"<think>t</think><answer>3</answer><reflection>r</reflection><think>t</think><answer>{answer}</answer>"
    return RULES_ONLY.grade_response(problem, blocks, "reflective").final_grade.verdict


def test_no_text_that_names_more_or_less_than_the_answer_is_right() -> None:
    paid = [
        (case["gold"], case["text"])
        for case in CASES
        if final_verdict(
            Problem(id="1", question="?", answer=case["gold"], choices=tuple(case.get("choices", ()))), case["text"]
        )
        == "correct"
    ]
    assert len(CASES) > 250
    assert paid == []


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("B", "correct"),
        ("B. 15 cm", "correct"),
        ("15 cm", "correct"),
        ("B. 18 cm", "incorrect"),
        ("(B) 12", "incorrect"),
    ],
)
def test_a_letter_beside_the_text_of_another_option_earns_nothing(answer: str, verdict: str) -> None:
    assert final_verdict(Problem(id="1", question="?", answer="B", choices=OPTIONS), answer) == verdict
