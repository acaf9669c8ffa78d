"""Official tables and headline numbers out of marks."""

import pytest

from srpo.core.records import Grade, Verdict
from srpo.eval.benchmarks.benchmark import Mark
from srpo.eval.benchmarks.named import benchmark_named
from tests.support.benchmark_rows import item


def mark(name: str, verdict: bool | Verdict, **values: object) -> Mark:
    """A mark with this verdict on the item of this row."""
    one = item(name, **values)
    said: Verdict = verdict if isinstance(verdict, str) else "correct" if verdict else "incorrect"
    return Mark(item=one, final=Grade(verdict=said, extracted=None, reason=""))


def vision(right: bool | Verdict, subject: str, level: int) -> Mark:
    return mark("mathvision", right, id="1", question="q", options=[], answer="1", level=level, subject=subject)


def test_tables_in_the_published_order_without_ungradable_items() -> None:
    marks = [vision(True, "topology", 5), vision(False, "algebra", 1), vision("ungradable", "algebra", 5)]
    found = benchmark_named("mathvision").breakdown(marks)
    assert list(found.tables["subject"]) == ["algebra", "topology"]
    assert list(found.tables["level"]) == ["1", "5"]
    cell = found.tables["subject"]["algebra"]
    assert (cell.n, cell.correct, cell.accuracy) == (1, 0, 0.0)
    assert found.tables["level"]["5"].low < 1.0 == found.tables["level"]["5"].high
    assert benchmark_named("mathvision").breakdown([]).tables == {}


def test_mathvista_counts_a_question_for_each_skill() -> None:
    def vista(right: bool, *skills: str) -> Mark:
        return mark("mathvista", right, pid="1", question="q", answer="1", question_type="free_form",
                    answer_type="integer", metadata={"skills": list(skills), "task": "t"})  # fmt: skip

    marks = [vista(True, "logical reasoning", "arithmetic reasoning"), vista(False, "arithmetic reasoning")]
    skills = benchmark_named("mathvista").breakdown(marks).tables["skill"]
    assert [(name, cell.n, cell.correct) for name, cell in skills.items()] == [
        ("arithmetic reasoning", 2, 1),
        ("logical reasoning", 1, 1),
    ]


def test_mathverse_leaves_text_only_out_of_the_overall_number() -> None:
    def verse(right: bool, version: str) -> Mark:
        return mark("mathverse", right, sample_index="1", problem_version=version, question="q", answer="1",
                    question_type="free-form", metadata={})  # fmt: skip

    marks = [verse(True, "Vision Only"), verse(False, "Text Dominant"), verse(False, "Text Only")]
    found = benchmark_named("mathverse").breakdown(marks)
    assert found.metrics == {"overall": 0.5}
    assert list(found.tables["version"]) == ["Text Dominant", "Vision Only", "Text Only"]
    assert benchmark_named("mathverse").breakdown(marks[2:]).metrics == {"overall": 0.0}


def test_wemath_scores_whole_groups() -> None:
    def step(right: bool, identity: str, key: str) -> Mark:
        return mark("wemath", right, ID=identity, key=key, question="q", option="A. x; B. y", answer="A")

    marks = [step(True, "2steps_1", key) for key in ("2steps_1", "2steps_2", "2steps_multi")]
    marks += [step(key != "2steps_2", "2steps_2", key) for key in ("2steps_1", "2steps_2", "2steps_multi")]
    marks += [step(True, "3steps_1", "3steps_1")]
    found = benchmark_named("wemath").breakdown(marks)
    assert found.metrics["strict_score"] == 0.5
    assert found.metrics["loose_score"] == 1.0
    assert found.counts["groups"] == 2
    assert found.counts["incomplete_groups"] == 1
    assert found.counts["RM_strict"] == 1
    assert {step: cell.n for step, cell in found.tables["step"].items()} == {"one-step": 5, "two-step": 2}


def test_hallusionbench_scores_figures_and_pairs() -> None:
    def asked(right: bool, category: str, figure: str, question: str) -> Mark:
        return mark("hallusionbench", right, category=category, subcategory="ocr", visual_input="1", set_id="0",
                    figure_id=figure, question_id=question, question="q", gt_answer="1")  # fmt: skip

    marks = [asked(True, "VD", "0", "0"), asked(False, "VD", "1", "0"), asked(True, "VS", "0", "0")]
    found = benchmark_named("hallusionbench").breakdown(marks)
    assert found.metrics["aAcc"] == pytest.approx(2 / 3)
    assert found.metrics["fAcc"] == 0.5
    assert found.counts["figures"] == 2
    assert found.metrics["qAcc"] == 0.5
    assert found.counts["questions"] == 2
    assert list(found.tables["category"]) == ["VD", "VS"]


def test_wemath_without_a_whole_group_says_so() -> None:
    row = {"ID": "2steps_1", "key": "2steps_1", "question": "q", "option": "A. x; B. y", "answer": "A"}
    found = benchmark_named("wemath").breakdown([mark("wemath", True, **row)])
    assert found.metrics == {"S1": 1.0}
    assert found.unknown["strict_score"] == "none of the 1 problems was answered together with all of its steps"


def test_hallusionbench_leaves_out_groups_of_which_a_member_is_missing() -> None:
    def asked(right: bool, figure: str, question: str) -> Mark:
        return mark("hallusionbench", right, category="VD", subcategory="ocr", visual_input="1", set_id="0",
                    figure_id=figure, question_id=question, question="q", gt_answer="1")  # fmt: skip

    marks = [asked(True, "0", "0"), asked(True, "0", "1"), asked(True, "1", "0")]
    whole = benchmark_named("hallusionbench").breakdown(marks)
    assert whole.metrics["fAcc"] == whole.metrics["qAcc"] == 1.0
    assert "incomplete_figures" not in whole.counts
    part = benchmark_named("hallusionbench").breakdown(marks, ["VD_ocr_0_1_1"])
    assert (part.counts["figures"], part.counts["incomplete_figures"]) == (1, 1)
    assert (part.counts["questions"], part.counts["incomplete_questions"]) == (1, 1)
    none = benchmark_named("hallusionbench").breakdown(marks[:1], ["VD_ocr_0_0_1", "VD_ocr_0_1_0"])
    assert none.unknown == {
        "fAcc": "no figure has all of its questions answered",
        "qAcc": "no question is answered for all figures",
    }


def test_mmstar_reports_both_means() -> None:
    def star(right: bool, core: str, axis: str) -> Mark:
        return mark("mmstar", right, index="1", question="q", answer="A", category=core, l2_category=axis)

    marks = [star(True, "math", "geometry"), star(False, "math", "statistics"), star(False, "math", "statistics"),
             star(True, "coarse perception", "scene")]  # fmt: skip
    found = benchmark_named("mmstar").breakdown(marks)
    assert found.metrics == {"macro_cores": pytest.approx((1 / 3 + 1) / 2), "macro_axes": pytest.approx(2 / 3)}
    assert list(found.tables["category"]) == ["coarse perception", "math"]


def test_mmmu_pro_by_domain() -> None:
    row = {"id": "test_Art_1", "question": "q", "options": "['a', 'b']", "answer": "A", "subject": "Art"}
    marks = [mark("mmmu-pro-standard", right, **row) for right in (True, True, False, False)]
    domains = benchmark_named("mmmu-pro-standard").breakdown(marks).tables["domain"]
    assert {name: cell.accuracy for name, cell in domains.items()} == {"Art and Design": 0.5}


def test_every_headline_is_a_number_of_the_breakdown() -> None:
    assert benchmark_named("wemath").headline == "strict_score"
    assert benchmark_named("mathverse").headline == "overall"
    assert benchmark_named("hallusionbench").headline == "aAcc"
    assert benchmark_named("mathvision").headline == "accuracy"
