"""The rules, one by one. The wide exam is in tests/golden/test_grading_cases.py."""

import pytest

from srpo.core.records import Problem, outcome_of
from srpo.grading import Grader, OutOfTime, classify_gold, grade, grade_gold, grader


def problem(gold: str, choices: tuple[str, ...] = (), kind: str | None = None) -> Problem:
    return Problem(id="p", question="", answer=gold, choices=choices, kind=kind)


@pytest.mark.parametrize(
    ("gold", "choices", "kind"),
    [
        ("B", (), "letter"),
        ("(C)", (), "letter"),
        ("12 cm", ("8 cm", "12 cm"), "letter"),
        ("ABD", (), "letters"),
        ("C\nD", (), "letters"),
        ("Yes", (), "yes_no"),
        ("否", (), "yes_no"),
        ("12 cm", (), "number"),
        ("50%", (), "percent"),
        ("1:64", (), "ratio"),
        ("3:15", (), "time"),
        ("N 34° W", (), "bearing"),
        (r"(-\infty, 4]", (), "interval"),
        ("x > 2", (), "inequality"),
        (r"\{1,2\}", (), "set"),
        ("(1, 2)", (), "tuple"),
        ("1, 2, 3", (), "list"),
        ("x^2+y^2=49", (), "relation"),
        ("2n+1", (), "expression"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", (), "matrix"),
        ("Bugs Bunny", (), "text"),
        ("三角形", (), "text"),
    ],
)
def test_gold_kinds(gold: str, choices: tuple[str, ...], kind: str) -> None:
    assert classify_gold(problem(gold, choices)) == kind


@pytest.mark.parametrize("gold", ["", "  ", "$$", "...", r"\frac{1}{", "?", "nan", "x" * 3000])
def test_a_gold_that_cannot_be_read_is_ungradable(gold: str) -> None:
    assert grade_gold(problem(gold))
    assert classify_gold(problem(gold)) is None
    for prediction in (gold, "", "5", "B"):
        assert grade(problem(gold), prediction).verdict == "ungradable"


def test_a_letter_beyond_the_options_is_no_gold() -> None:
    assert grade(problem("F", ("1", "2"), kind="letter"), "F").verdict == "ungradable"


@pytest.mark.parametrize(
    ("gold", "why"),
    [("35掳", "35°"), ("\x0crac{36}{13}", "36/13"), ("-4.9\n-4.9", "-4.9"), (r"{8}{5} \pi", r"\frac85\pi")],
)
def test_damaged_golds_are_repaired(gold: str, why: str) -> None:
    assert grade(problem(gold), why).is_correct


def test_kind_decides_what_is_ambiguous() -> None:
    assert grade(problem("[2014, 2016]", kind="list"), "(2014, 2016)").is_correct
    assert not grade(problem("[0, 1]", kind="interval"), "(0, 1)").is_correct
    assert grade(problem("10:15", kind="ratio"), "2:3").is_correct
    assert not grade(problem("2m", kind="expression"), "2").is_correct
    # a gold given as option text, where other options are letters
    options = ("B", "A", "C")
    assert grade(problem("A", options, kind="option"), "B").is_correct
    assert grade(problem("A", options), "A").is_correct


def test_grades_carry_the_answer_and_the_rule() -> None:
    result = grade(problem("12 cm"), "<think>..</think><answer>12 m</answer>")
    assert (result.verdict, result.extracted) == ("incorrect", "12 m")
    assert result.reason == "number: different (answer block)"
    assert grade(problem("A"), "I am not sure").extracted == "I am not sure"
    assert grade(problem("A"), "").extracted is None


def test_lone_surrogates_do_not_break_the_record() -> None:
    assert grade(problem("5"), "\ud800 5 \udfff").extracted is not None


class Verifier:
    """Answers from a table and keeps the questions."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer
        self.questions: list[tuple[str, str]] = []

    def verify(self, gold: str, prediction: str) -> bool | None:
        self.questions.append((gold, prediction))
        return self.answer


@pytest.mark.parametrize(("answer", "verdict"), [(True, "correct"), (False, "incorrect"), (None, "incorrect")])
def test_the_symbolic_verifier_is_asked_last(answer: bool | None, verdict: str) -> None:
    verifier = Verifier(answer)
    gold = problem(r"\sum_{k=1}^{n} k^2")
    assert Grader(symbolic=verifier).grade(gold, r"$\sum_{j=1}^{n} j^2$").verdict == verdict
    assert verifier.questions == [(r"\sum_{k=1}^{n} k^2", r"\sum_{j=1}^{n} j^2")]


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (r"\frac{n(n+1)}{2}, 5, x", True),
        (r"5, \frac{n(n+1)}{2}, x", True),
        (r"x, 5, \frac{n(n+1)}{2}", True),
        (r"x, 6, \frac{n(n+1)}{2}", False),
        (r"\sum_{j=1}^{n} j, 6, y", False),
    ],
)
def test_an_item_that_cannot_be_told_takes_no_place_of_one_that_can(answer: str, asked: bool) -> None:
    verifier = Verifier(answer=True)
    found = Grader(symbolic=verifier).grade(problem(r"\sum_{k=1}^{n} k, 5, x"), f"${answer}$")
    assert (bool(verifier.questions), found.is_correct) == (asked, asked)


class Slow:
    """A verifier that never comes to an end."""

    def verify(self, gold: str, prediction: str) -> bool | None:
        raise OutOfTime


def test_what_computer_algebra_did_not_finish_is_undecided_and_earns_nothing() -> None:
    gold, grader = problem(r"\sum_{k=1}^{n} k^2"), Grader(symbolic=Slow())
    found = grader.grade(gold, r"$\sum_{j=1}^{n} j^2$")
    assert (found.verdict, found.is_correct, found.counts) == ("undecided", False, False)
    assert outcome_of(found, grader.grade(gold, "")) is None


@pytest.mark.parametrize(
    ("gold", "prediction", "verdict"),
    [
        (r"5\sqrt{3}", "8.66", "correct"),
        (r"5\sqrt{3}", "8.67", "correct"),
        (r"5\sqrt{3}", "8.5", "incorrect"),
        (r"5\sqrt{3}", "9", "incorrect"),
        (r"36\pi", "113.1 cm²", "correct"),
        (r"\frac{1}{3}", "0.33", "correct"),
        ("36π cm", "1.131 m", "correct"),
        ("36π cm", "113.1 kg", "incorrect"),
        ("12", "12.01", "incorrect"),
        ("3.14", "3.15", "incorrect"),
    ],
)
def test_decimals_may_answer_exact_golds_within_a_stated_tolerance(gold: str, prediction: str, verdict: str) -> None:
    assert Grader(symbolic=False, rounded=0.01).grade(problem(gold), prediction).verdict == verdict
    assert not grade(problem(gold), prediction).is_correct


@pytest.mark.parametrize(
    ("gold", "prediction"),
    [("5", "6"), ("36π", "36"), ("2n+1", "2n+2"), ("B", "C"), ("x^2+y^2=49", "x^2-y^2=49"), ("5", "9^9^9^9")],
)
def test_what_the_rules_decide_is_not_asked_again(gold: str, prediction: str) -> None:
    verifier = Verifier(True)
    assert Grader(symbolic=verifier).grade(problem(gold), prediction).verdict == "incorrect"
    assert verifier.questions == []


def test_a_grade_that_is_remembered_is_the_one_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grader, "_MOST_KEPT", 3)
    remembering = Grader(symbolic=False)
    asked = (("3:15", (), "ratio"), ("3:15", (), None), ("B", ("1", "2"), None), ("B", (), None))
    problems = [problem(gold, choices, kind) for gold, choices, kind in asked]
    for _ in range(2):
        for one in problems:
            for text in ("3:15", "B", "2", "1:5", "x" * 500):
                fresh = Grader(symbolic=False).grade(one, text)
                assert remembering.grade(one, text) == fresh
                assert len(remembering._kept) <= 3
    verifier = Grader(symbolic=remembering)
    verifier.grade(problems[0], "3:15")
    assert not verifier._kept, "a verifier of one's own is asked each time"
