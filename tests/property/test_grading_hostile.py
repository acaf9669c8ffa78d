"""Texts of up to 10 MB that are made to hang a grader, as answers and as golds."""

import time

import pytest

from srpo.core.records import Problem
from srpo.grading import grade


def problem(gold: str) -> Problem:
    return Problem(id="p", question="", answer=gold)


HOSTILE = [
    "9^9^9^9",
    "(" * 300,
    r"\frac{" * 60 + "1" + "}{2}" * 60,
    "10^8!",
    "10^{10^{10^{10}}}",
    "7" * 10_000_000,
    "\x00" * 1000,
    "\ud800" * 1000,
    "<answer>" * 200_000,
    r"\boxed{" * 200_000,
    "1," * 1_000_000,
    "A or " * 400_000,
    "1e999999999",
    "-" * 1900,
    "x" * 1900,
    "((" * 100 + "5" + "))" * 100,
    "a_" * 900,
    "1 " * 900,
    ", ".join(["1"] * 600),
    "not " * 450 + "A",
    "9" * 1900 + "!",
]


@pytest.mark.parametrize("gold", ["5", "B", "Yes", "triangle", "x^2+1", "(1,2)", "3:15"])
def test_hostile_text_is_wrong_and_fast(gold: str) -> None:
    start = time.process_time()
    for text in HOSTILE:
        assert grade(problem(gold), text).verdict == "incorrect", text[:40]
        assert grade(problem(gold), f"<answer>{text[:5000]}</answer>").verdict == "incorrect", text[:40]
    assert time.process_time() - start < 60


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_golds_do_not_hang(text: str) -> None:
    start = time.process_time()
    for prediction in ("5", text[:1900]):
        assert grade(problem(text.encode("utf-8", "replace").decode()), prediction).verdict in (
            "correct",
            "incorrect",
            "ungradable",
        )
    assert time.process_time() - start < 30
