"""Short sums and products that the rules decide are what math-verify, which decided them before, says they are."""

import random
from fractions import Fraction

import pytest

from srpo.core.records import Problem
from srpo.grading.grader import RULES_ONLY
from srpo.grading.rules.evaluate import compute
from srpo.grading.rules.syntax import parse_formula

math_verify = pytest.importorskip("math_verify")

BODIES = (
    "k", "k^2", "2k", "(k+1)", "k(k+1)", r"\frac{1}{k+4}", r"k\cdot 2", "-k", "5", "2^{k}", "3^{-k}", "kk", "k!",
    r"\frac{k}{2}", "k / 2", r"(-1)^{k}", r"\frac{(-1)^k}{k+7}", r"k \sum_{j=1}^{2} j", r"\prod_{j=1}^{2} (j+k)",
)  # fmt: skip
AROUND = ("{}", "3{}", r"\frac{{1}}{{2}}{}", "1-{}", "{}+4", "2 {}-1", "-{}")


def _slow(gold: str, answer: str) -> bool:
    config = [math_verify.LatexExtractionConfig()]
    read = [math_verify.parse(f"${text}$", extraction_config=config, parsing_timeout=None) for text in (gold, answer)]
    return bool(all(read) and math_verify.verify(*read, timeout_seconds=None))


def _rules(gold: str, answer: str) -> bool:
    return RULES_ONLY.grade(Problem(id="1", question="?", answer=gold), answer).is_correct


@pytest.mark.parametrize("seed", range(40))
def test_numbers_are_those_of_math_verify(seed: int) -> None:
    rng = random.Random(seed)
    command, low = rng.choice((r"\sum", r"\prod")), rng.randrange(4)
    bounds = [f"_{{k={low}}}", f"^{{{low + rng.randrange(6)}}}"]
    rng.shuffle(bounds)
    gold = rng.choice(AROUND).format(f"{command}{''.join(bounds)} {rng.choice(BODIES)}")
    node = parse_formula(gold)
    assert node is not None, gold
    value = compute(node)
    assert isinstance(value, Fraction), gold
    right, wrong = (rf"\frac{{{one.numerator}}}{{{one.denominator}}}" for one in (value, value + Fraction(1, 3)))
    assert _slow(gold, right), gold
    assert _rules(gold, right), gold
    assert _rules(right, gold), gold
    assert not _slow(gold, wrong), gold
    assert not _rules(gold, wrong), gold


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\sum_{k=1}^{3} k^2+5x", "14+5x"),
        (r"\sum_{k=1}^{3} k x^k", "x+2x^2+3x^3"),
        (r"\prod_{k=1}^{3} (x-k)", "(x-1)(x-2)(x-3)"),
        (r"\sum_{i=1}^{3} i", "6"),
        (r"\sum_{x=1}^{3} x + x", "6+x"),
        (r"2^{\sum_{k=1}^{3} k}", "64"),
        (r"\sum_{k=1}^{2} \sqrt{k}", r"1+\sqrt{2}"),
    ],
)
def test_formulas_are_those_of_math_verify(gold: str, answer: str) -> None:
    assert _slow(gold, answer)
    assert _rules(gold, answer)
    for wrong in (answer + "+1", f"2({answer})", f"{answer}+y"):
        assert not _slow(gold, wrong), wrong
        assert not _rules(gold, wrong), wrong


@pytest.mark.parametrize(
    "text",
    [
        r"\sum_{k=1}^{3} k = 6",
        r"\sum_{k=1}^{3} k = 1+2+3 = 6",
        r"1+\sum_{k=1}^{2} k+2 = 6",
        r"\prod_{k=1}^{3} k = 6",
        r"S = \sum_{k=1}^{3} k = 6",
    ],
)
def test_a_series_that_was_calculated_is_its_result(text: str) -> None:
    assert _slow("6", text)
    assert _rules("6", text)
    assert _rules(text, "6")
    for wrong in ("7", "-6", r"\frac{1}{6}"):
        assert not _rules(wrong, text)
        assert not _rules(text, wrong)


@pytest.mark.parametrize(
    "text",
    [
        r"\sum_{k=3}^{1} k",  # math-verify says -2, people say 0
        r"\sum_{k=1}^{n} k",
        r"\sum_{k=1}^{\infty} k",
        r"\sum_{k=1}^{3}",
        r"\sum k",
        r"\sum_{k=0.5}^{3} k",
        r"\sum_{k=1}^{99999999} k",
        r"\sum_{k=1}^{3} x_k",
        r"\sum_{e=1}^{3} e",
        r"\sum_{k=1}^{60} " * 12 + "k",
        "+".join([r"\sum_{k=1}^{60} k^k"] * 12),
        r"\sum_{k=1}^{3}^{4} k",
        r"\sum_{k=1}_{j=1}^{3} k",
    ],
)
def test_what_is_not_plain_stays_a_question(text: str) -> None:
    assert parse_formula(text) is None
    for answer in ("6", "0", "k", text[::-1]):
        assert not _rules(text, answer)
        assert not _rules(answer, text)


def test_units_rounding_and_lists_are_not_decided_here() -> None:
    gold = r"\sum_{k=1}^{3} \frac{1}{k}"
    for answer in ("1.83", "1.8333333", r"\frac{11}{6} cm", "183.333%", r"\{\frac{11}{6}\}", r"\frac{11}{6}, 7"):
        grade = RULES_ONLY.grade(Problem(id="1", question="?", answer=gold), answer)
        assert not grade.is_correct
        assert "not understood" in grade.reason, answer
