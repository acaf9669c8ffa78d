"""Rows of MathVista, MathVerse, MathVision, We-Math and OlympiadBench with all their quirks: items, prompts, grades."""

from pathlib import Path
from typing import Any

import pytest

from srpo.data.fields import RowError
from srpo.eval.benchmarks.benchmark import Item
from srpo.eval.benchmarks.grade import grade_as_mark
from srpo.eval.benchmarks.named import benchmark_named
from tests.support.benchmark_rows import item, right

# -- MathVista


def vista(**values: object) -> Item:
    row: dict[str, object] = {
        "pid": "5", "question": "How long?", "answer": "1.2", "question_type": "free_form", "answer_type": "float",
        "precision": "1", "unit": None, "choices": None, "query": None, "metadata": {},
    }  # fmt: skip
    return item("mathvista", **{**row, **values})


def test_mathvista_options_are_golds_by_text() -> None:
    one = vista(
        question_type="multi_choice", answer_type="text", precision=None, choices=["8 cm", "12 cm", "12 cm"],
        answer="12 cm", metadata={"task": "t", "source": "GEOS", "grade": "college", "skills": ["a", "b"]},
    )  # fmt: skip
    assert one.problem.kind == "option"
    assert one.facts["skills"] == ["a", "b"]
    assert one.groups["task"] == "t"
    assert "precision" not in one.facts
    assert right("mathvista", one, "(B)")
    assert right("mathvista", one, "(C)")
    assert right("mathvista", one, "12 cm")
    assert not right("mathvista", one, "A")
    assert not right("mathvista", one, "")


def test_mathvista_options_that_are_long_questions() -> None:
    asked = "Does the toy slide down the ramp in less time when it has a {} layer of wax?"
    options = [asked.format(kind) for kind in ("thin", "thick")]
    one = vista(question_type="multi_choice", answer_type="text", choices=options, answer=options[1])
    assert right("mathvista", one, options[1])
    assert not right("mathvista", one, options[0])


def test_mathvista_letters_as_options() -> None:
    one = vista(question_type="multi_choice", answer_type="text", choices=["B", "A", "C"], answer="A")
    assert one.problem.choices == ("B", "A", "C")


@pytest.mark.parametrize("precision", ["1", 1, 1.0, "1.0"])
def test_mathvista_precision_in_every_spelling(precision: Any) -> None:
    assert vista(precision=precision).facts["precision"] == 1


def test_mathvista_prompts() -> None:
    bench = benchmark_named("mathvista")
    assert bench.prompt(vista(query="Hint: published.")) == "Hint: published."
    assert "one decimal place" in bench.prompt(vista())
    assert bench.prompt(vista()).endswith("Question: How long?")
    years = bench.prompt(vista(answer_type="integer", precision=None, unit="years"))
    assert "integer answer" in years
    assert years.endswith("Question: How long? (Unit: years)")
    assert "Python list" in bench.prompt(vista(answer_type="list", precision=None))
    options = bench.prompt(vista(choices=["x", "y"], question_type="multi_choice", answer_type="text", answer="x"))
    assert options.endswith("Question: How long?\nChoices:\n(A) x\n(B) y")
    assert "option letter" in options


# -- MathVerse


def verse(**values: object) -> Item:
    row = {"sample_index": "7", "problem_index": "2", "problem_version": "Text Dominant",
           "question": "How large?\nChoices:\nA:40°\nB:60°", "answer": "B", "question_type": "multi-choice",
           "metadata": {"subject": "Plane Geometry", "subfield": "Angle"}, "query_wo": "wo",
           "query_cot": "cot"}  # fmt: skip
    return item("mathverse", **{**row, **values})


def test_mathverse_options_stand_in_the_question() -> None:
    one = verse()
    assert one.problem.choices == ("40°", "60°")
    assert one.groups["version"] == "Text Dominant"
    assert right("mathverse", one, "B")
    assert right("mathverse", one, "60°")
    assert not right("mathverse", one, "40°")
    assert benchmark_named("mathverse").prompt(one) == "cot"


def test_mathverse_vision_only_has_no_question() -> None:
    one = verse(problem_version="Vision Only", question="", query_cot="Please first reason.")
    assert one.problem.question == "Solve the problem that is written in the picture."
    assert one.problem.choices == ()
    assert benchmark_named("mathverse").prompt(one) == "Please first reason."
    kept = verse(problem_version="Vision_Only", question="", question_for_eval="How?\nChoices:\nA.x\nB.y")
    assert kept.groups["version"] == "Vision Only"
    assert kept.problem.choices == ("x", "y")


def test_mathverse_text_only_needs_no_picture(tmp_path: Path) -> None:
    row = {"sample_index": "1", "problem_version": "Text Only", "question": "q", "answer": "3", "image": "",
           "question_type": "free-form"}  # fmt: skip
    assert item("mathverse", tmp_path, **row).problem.images == ()
    with pytest.raises(RowError, match="no picture in column 'image'"):
        item("mathverse", tmp_path, **{**row, "problem_version": "Text Lite"})


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("118掳T", "118°T"), (r"Area $=113.1 \mathrm{~cm}^{2}$", "113.1"), ("$5=s$", "5"), ("(C)", "C"),
        ("-4.9\n-4.9", "-4.9"), ("domain: [-4, 0) and range: (-3, 1]", "domain: [-4, 0) and range: (-3, 1]"),
        ("Bugs Bunny", "Bugs Bunny"), ("N 34° W", "N 34° W"),
    ],
)  # fmt: skip
def test_mathverse_golds_as_dirty_as_they_are(gold: str, answer: str) -> None:
    one = verse(answer=gold, question="Work it out.", question_type="free-form")
    assert "掳" not in one.problem.answer
    assert right("mathverse", one, answer)
    assert not right("mathverse", one, "17.5")


# -- MathVision


def vision(number: str, options: list[str], answer: str) -> Item:
    return item("mathvision", id=number, question="Which one?\n<image1>", options=options, answer=answer, level="3",
                subject="solid geometry", image="images/1.jpg")  # fmt: skip


def test_mathvision_options_that_are_letters() -> None:
    one = vision("2", ["A", "B", "C", "D", "E"], "D")
    assert one.problem.level == 3
    assert one.groups == {"subject": "solid geometry", "level": "3"}
    assert right("mathvision", one, r"\boxed{D}")
    assert not right("mathvision", one, "E")
    assert benchmark_named("mathvision").prompt(one).endswith("Which one?")


@pytest.mark.parametrize(
    ("options", "gold", "good", "bad"),
    [
        (["A", "B", "D", "F", "G"], "E", ["E", r"\boxed{G}", "(G)"], ["D", "A", "F", "G or E", ""]),
        (["A", "B", "C", "E", "Impossible to determine"], "D", ["D", "E"], ["A", "Impossible to determine", "C"]),
    ],
)
def test_mathvision_shuffled_letters(options: list[str], gold: str, good: list[str], bad: list[str]) -> None:
    one = vision("654", options, gold)
    assert [text for text in good if not right("mathvision", one, text)] == []
    assert [text for text in bad if right("mathvision", one, text)] == []
    assert "(C) D\n" in benchmark_named("mathvision").prompt(vision("654", ["A", "B", "D", "F", "G"], "E"))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\x0crac{36}{13}", r"\frac{36}{13}"), (r"$\boxed{\frac{16}{7}}$", "16/7"), ("69{degrees}", "69"),
        ("45^2", "2025"), ("1:2", "1:2"), ("11 ", "11"), (r"\frac{360}7", r"\frac{360}{7}"),
    ],
)  # fmt: skip
def test_mathvision_golds(gold: str, answer: str) -> None:
    one = vision("9", [], gold)
    assert right("mathvision", one, answer)
    assert not right("mathvision", one, "4711")


# -- We-Math


def wemath(**values: object) -> Item:
    row = {"ID": "2steps_17", "key": "2steps_multi", "question": "How many?", "answer": "C",
           "option": "A. 300, 400;B. 400, 300;C. 3000, 4000; D. No correct answer", "knowledge concept": "Length",
           "image_path": "2steps/image/1.png"}  # fmt: skip
    return item("wemath", **{**row, **values})


def test_wemath_ids_are_problem_and_key() -> None:
    one = wemath()
    assert one.problem.id == "2steps_17|2steps_multi"
    assert one.groups == {
        "step": "two-step",
        "knowledge concept": "Length",
    }
    assert one.problem.choices == ("300, 400", "400, 300", "3000, 4000", "No correct answer")
    assert wemath(key="3steps_2").groups["step"] == "one-step"
    assert benchmark_named("wemath").prompt(one).startswith("Question: How many?\nOption: A. 300, 400;B.")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("<Thought process>: <<A is too small>> <Answer>: <<C>>", True),
        ("<Thought process>: <<C>>\n<Answer>: <<C. 3000, 4000>>", True),
        ("<Thought process>: <<C looks right>> <Answer>: <<A>>", False),
        ("3000, 4000", True), ("Answer: B", False), ("", False),
    ],
)  # fmt: skip
def test_wemath_answers_in_the_authors_template(text: str, good: bool) -> None:
    assert grade_as_mark(benchmark_named("wemath"), wemath(), text).is_correct is good


# -- OlympiadBench


def olympiad(**values: object) -> Item:
    row = {"id": "2231", "subfield": "Geometry", "context": None, "question": "Find $x$.", "final_answer": ["$1.5$"],
           "is_multiple_answer": False, "unit": None, "answer_type": "Numerical", "error": None}  # fmt: skip
    return item("olympiadbench", **{**row, **values})


def test_olympiadbench_tolerance() -> None:
    one = olympiad(error="1e-1")
    assert right("olympiadbench", one, "1.55")
    assert right("olympiadbench", one, r"So the final answer is \boxed{1.45}.")
    assert not right("olympiadbench", one, "1.7")
    assert not right("olympiadbench", olympiad(), "1.55")
    with pytest.raises(RowError, match="column 'error'"):
        olympiad(error="much")


def test_olympiadbench_several_answers() -> None:
    one = olympiad(final_answer=["$2$", r"$\frac{1}{2}$"], is_multiple_answer="True", error="0.01,0.001")
    assert one.problem.answer == r"$2$, $\frac{1}{2}$"
    assert one.facts["is_multiple_answer"] is True
    assert right("olympiadbench", one, r"\boxed{\frac{1}{2}, 2}")
    assert not right("olympiadbench", one, "2")
    listed = olympiad(final_answer="['$2$', '$3$']", is_multiple_answer=True)
    assert listed.problem.answer == "$2$, $3$"
    assert "several answers" in benchmark_named("olympiadbench").prompt(one)


def test_olympiadbench_units_and_proofs() -> None:
    asked = benchmark_named("olympiadbench").prompt(olympiad(unit="cm", context="Let $x$ be a length."))
    assert "the unit outside the box" in asked
    assert asked.endswith("Let $x$ be a length.\nFind $x$.")
    assert right("olympiadbench", olympiad(unit="cm"), r"\boxed{1.5} cm")
    with pytest.raises(RowError, match="a proof cannot be graded"):
        olympiad(final_answer=[])


def test_olympiadbench_text_only_problems_need_no_picture(tmp_path: Path) -> None:
    row = {"id": 1, "question": "q", "final_answer": ["1"], "error": None}
    assert item("olympiadbench", tmp_path, **row, modality="Text-only").problem.images == ()
    with pytest.raises(RowError, match="no picture"):
        item("olympiadbench", tmp_path, **row, modality="Multimodal")
