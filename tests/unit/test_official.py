"""The official rules against values worked out by hand; tests/golden has their authors' own outputs."""

import time

import pytest

from srpo.eval.official import mathvista, mmmu
from srpo.eval.official.hallusionbench import hallusion_scores, read_id
from srpo.eval.official.olympiadbench import olympiad_equal, read_tolerance
from srpo.eval.official.wemath import wemath_scores
from srpo.grading import Grader

HOSTILE = ["1" * 1_000_000, "1" * 100_000 + ",", "(" * 100_000, "<answer>" * 10_000, "1.1e" * 10_000, "is " * 10_000]


def group(identity: str, steps: str, multi: int) -> dict[tuple[str, str], bool]:
    prefix = f"{len(steps)}steps_"
    found = {(identity, f"{prefix}{i}"): bool(int(step)) for i, step in enumerate(steps, start=1)}
    return found | {(identity, f"{prefix}multi"): bool(multi)}


# -- We-Math


def test_wemath_by_hand() -> None:
    right = (
        group("a", "11", 1)  # mastered
        | group("b", "10", 1)  # mastered loosely, memorised strictly
        | group("c", "000", 1)  # memorised
        | group("d", "111", 0)  # not generalised
        | group("e", "110", 0)  # not known
    )
    found = wemath_scores(right)
    assert found.groups == 5
    assert found.counts == {"IK": 1, "IG": 1, "CM_strict": 1, "CM_loose": 2, "RM_strict": 2, "RM_loose": 1}
    assert found.rates["RM_strict"] == 2 / 3
    assert found.rates["RM_loose"] == 1 / 3, "of mastered and memorised, not of all groups"
    assert found.rates["CM_loose"] == 2 / 5
    assert found.strict_score == (0.5 + 1) / 5
    assert found.loose_score == (0.5 + 2) / 5
    assert (found.S1, found.S2, found.S3) == (8 / 13, 2 / 2, 1 / 3)
    assert found.accuracy == 11 / 18
    assert found.metrics["strict_score"] == 0.3


def test_wemath_leaves_incomplete_groups_out_of_group_metrics_only() -> None:
    lacking = group("b", "111", 1)
    del lacking["b", "3steps_2"]
    found = wemath_scores(group("a", "11", 0) | lacking)
    assert (found.groups, found.incomplete) == (1, 1)
    assert found.counts["IG"] == 1
    assert sum(found.counts.values()) == 1
    assert (found.S1, found.S3) == (1.0, 1.0)
    without_composite = {("a", "2steps_1"): True, ("a", "2steps_2"): True}
    assert wemath_scores(without_composite).incomplete == 1


def test_wemath_never_divides_by_zero() -> None:
    nothing_mastered = wemath_scores(group("a", "00", 0))
    assert nothing_mastered.rates["RM_strict"] is None, "the official code divides by zero here"
    assert nothing_mastered.strict_score == 0
    assert "RM_strict" not in nothing_mastered.metrics
    assert "S3" not in nothing_mastered.metrics
    empty = wemath_scores({})
    assert empty.metrics == {}
    assert (empty.groups, empty.accuracy) == (0, None)


@pytest.mark.parametrize("key", ["2steps_3", "4steps_1", "2steps_", "multi"])
def test_wemath_refuses_other_keys(key: str) -> None:
    with pytest.raises(ValueError, match=r"is no key of We-Math"):
        wemath_scores({("2steps_1", key): True})


# -- HallusionBench


def test_hallusionbench_by_hand() -> None:
    right = {
        "VS_chart_0_0_0": False,  # without a picture: no figure, but part of the question's group
        "VS_chart_0_1_0": True,
        "VS_chart_0_1_1": True,
        "VD_ocr_0_0_0": True,  # VD figure 0 is a figure
        "VD_ocr_0_1_0": True,
        "VS_ocr_0_1_0": False,  # another category: not the figure and question of the line above
    }
    found = hallusion_scores(right)
    assert (found.figures, found.questions) == (4, 4)
    assert found.aAcc == 4 / 6
    assert found.fAcc == 3 / 4
    assert found.qAcc == 2 / 4, "VS_chart_0 question 0 is wrong without its picture"
    assert found.metrics["mean"] == pytest.approx((4 / 6 + 3 / 4 + 2 / 4) / 3)
    only_shown = {key: value for key, value in right.items() if key != "VS_chart_0_0_0"}
    assert hallusion_scores(only_shown).qAcc == 3 / 4


def test_hallusionbench_counts_what_is_incomplete() -> None:
    everything = ["VD_ocr_0_0_0", "VD_ocr_0_0_1", "VD_ocr_0_1_0", "VS_map_1_0_0"]
    found = hallusion_scores({"VD_ocr_0_0_0": True, "VD_ocr_0_1_0": True}, everything)
    assert (found.figures, found.incomplete_figures) == (1, 1)
    assert (found.questions, found.incomplete_questions) == (1, 2)
    assert (found.aAcc, found.fAcc, found.qAcc) == (1.0, 1.0, 1.0)
    assert hallusion_scores({}).metrics == {}


@pytest.mark.parametrize("text", ["", "VD", "VD_ocr_1_2", "VD_ocr_1__2"])
def test_hallusionbench_refuses_other_ids(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no id of HallusionBench"):
        read_id(text)


def test_hallusionbench_ids_may_have_long_subcategories() -> None:
    assert read_id("VD_a_b_1_2_3").subcategory == "a_b"


# -- MathVista

CM = ["8 cm", "12 cm", "15 cm"]


@pytest.mark.parametrize(
    ("extraction", "expected"),
    [
        ("B", "12 cm"),
        (" (c) 12 cm", "15 cm"),  # the letter in brackets wins over the text
        ("b", "8 cm"),  # a small letter is a text, and this is the nearest
        ("D", "8 cm"),  # no fourth option
        ("", "8 cm"),
        ("15cm", "15 cm"),
    ],
)
def test_mathvista_options(extraction: str, expected: str) -> None:
    assert mathvista.normalise(extraction, CM, "multi_choice", "text", None) == expected


def test_mathvista_empty_extractions() -> None:
    assert mathvista.is_right("", "8 cm", CM, "multi_choice", "text", None), "the official scorer does so"
    assert not mathvista.is_right("", "8 cm", CM, "multi_choice", "text", None, ignore_empty=True)
    assert mathvista.normalise("A", None, "multi_choice", "text", None) is None


@pytest.mark.parametrize(
    ("extraction", "answer_type", "precision", "expected"),
    [
        ("14.9", "integer", None, "14"),
        ("-0.5", "integer", None, "0"),
        ("1,400", "integer", None, None),
        ("inf", "integer", None, None),
        ("nan", "integer", None, None),
        ("1.249", "float", 1.0, "1.2"),
        ("1.15", "float", 1.0, "1.1"),  # as binary floats round
        ("2", "float", 2.0, "2.0"),
        ("1.2", "float", None, None),
        ("1.2 m", "float", 1.0, None),
        ("[1,2]", "list", None, "[1,2]"),
        ("word", "text", None, None),
    ],
)
def test_mathvista_free_form(extraction: str, answer_type: str, precision: float | None, expected: str | None) -> None:
    assert mathvista.normalise(extraction, None, "free_form", answer_type, precision) == expected


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [("", "", 0), ("", "abc", 3), ("flaw", "lawn", 2), ("B.", "8 cm", 4), ("ab", "ba", 2)],
)
def test_edit_distance(left: str, right: str, distance: int) -> None:
    assert mathvista.edit_distance(left, right) == mathvista.edit_distance(right, left) == distance


# -- MMMU

OPTIONS = {"A": "75", "B": "12 cm", "C": "15 cm"}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("'C';", "C"),
        ("The answer is (B) because (A) is small", "A"),  # the quirk: last bracketed letter
        ("(A), (B), (A)", "A"),
        ("A or B ", "B"),  # between blanks, the last one
        ("C. then A.", "A"),  # 'A ' is found only where a blank follows
        ("A.B.x", "A"),  # with a full stop only, the first one
        ("it is surely twelve, that is 12 CM in all", "B"),
        ("12 cm", None),  # option texts count in long responses only
        (r"\boxed{B}", None),
        ("**B**", None),
        ("B) 12 cm", None),
        ("", None),
    ],
)
def test_mmmu_choice(response: str, expected: str | None) -> None:
    assert mmmu.parse_choice(response, OPTIONS) == expected


def test_mmmu_open() -> None:
    assert mmmu.parse_open("36 Watts.") == ["36 watts", 36.0]
    assert mmmu.parse_open("The width is 3\nso it is 1,234.5, x = .5") == [3.0, 0.5], "the shortest tail of each line"
    assert mmmu.parse_open("x = 7") == [7.0]
    assert mmmu.parse_open("x = 7\nthen nothing") == ["x = 7\nthen nothing", 7.0], "'=' counts in the last line only"
    assert mmmu.parse_open("so a\nis b") == [" a", "a ", " b", "b "]
    assert mmmu.parse_open("1,234 and 5.5 and -2e3 and .25") == [
        "1,234 and 5.5 and -2e3 and .25",
        1234.0,
        -2000.0,
        234.0,
        5.5,
        3.0,
        0.25,
    ], "and the pieces of a number that another pattern finds"
    assert mmmu.open_is_right(["tampa, florida"], ["Miami", "Florida"])
    assert mmmu.open_is_right([0.96], "0.963"), "both are rounded to two places"
    assert not mmmu.open_is_right(["36 watts", 36.0], "6"), "a number must be equal"
    assert not mmmu.open_is_right(["abc"], "b"), "a single letter must be a word's edge"
    assert mmmu.open_is_right(["type b lymph"], "b")
    assert not mmmu.open_is_right([], "b")


# -- OlympiadBench


@pytest.mark.parametrize(
    ("gold", "prediction", "precision"),
    [
        ("3", r"so \boxed{3}", None),
        ("1, 2", r"\boxed{2} and \boxed{1}", None),
        ("7", "We get\n$x=7$.", None),
        (r"2\pm\sqrt{3}", r"2+\sqrt3, 2-\sqrt3", None),
        ("60", "0.6", None),
        ("0.6", r"60\%", None),
        (r"30^{\circ}", "30", None),
        ("x=1", "x=1.0009", 1e-3),
        ("10", "10.1", "0.1"),
        ("10, 20", "20.9, 10.05", "0.1,1"),
        (r"\pm 2", "-2.05, 2.05", [0.1]),
        ("2x+2y=2", "x+y=1", None),
        (r"\Phi (x,y)=\frac{x+1}{2y}", r"\Phi(x,y)=\frac{x}{2y}+\frac{1}{2y}", None),
        (r"(0,\infty)", r"x \in (0,+\infty)", None),
        (r"(-\infty,1]\cup[2,3)", r"\left(-\infty,\frac22\right]\cup[2,3)", None),
        ("9!", "362880", None),
        ("0.64N", r"\frac{16}{25}N", None),
    ],
)
def test_olympiad_equal(gold: str, prediction: str, precision: float | str | list[float] | None) -> None:
    assert olympiad_equal(gold, prediction, precision)


@pytest.mark.parametrize(
    ("gold", "prediction", "precision"),
    [
        ("", "", None),
        ("3", "", None),
        ("3", "4", None),
        ("1, 2", "1", None),
        ("1, 1", "1, 2", None),
        ("10", "10.2", "0.1"),
        ("10, 20", "10.9, 20.05", "0.1,1"),
        ("2x+2y=2", "3x+3y=3", None),  # 3/2 is no whole multiple
        ("x=1", "y=1", None),
        ("n!", "n", None),
        ("[1,2)", "[1,2]", None),
        ("(1,2)", "(1,2,3)", None),
        ("0.64N", "0.64", None),
        ("yes", "no", None),
        (r"10^{10^{10^{10}}}", r"10^{10}", None),
        (r"\sqrt{2}", "1.414", None),
    ],
)
def test_olympiad_different(gold: str, prediction: str, precision: str | None) -> None:
    assert not olympiad_equal(gold, prediction, precision)


def test_olympiad_asks_the_verifier_only_about_formulas_it_cannot_read() -> None:
    asked: list[tuple[str, str]] = []

    class Verifier:
        def verify(self, gold: str, prediction: str) -> bool | None:
            asked.append((gold, prediction))
            return True

    assert olympiad_equal(r"\int_0^1 x dx", r"\frac{1}{2}", None, Grader(symbolic=Verifier()))
    assert len(asked) == 1
    assert not olympiad_equal("x+1", "x+2", None, Grader(symbolic=Verifier()))
    assert not olympiad_equal("no solution", "every number", None, Grader(symbolic=Verifier()))
    assert len(asked) == 1


def test_olympiad_tolerances() -> None:
    assert read_tolerance(None) == read_tolerance("") == read_tolerance([]) == (1e-8,)
    assert read_tolerance(0.5) == (0.5,)
    for wrong in ("ten", "-1", float("inf"), [1.0, float("nan")]):
        with pytest.raises(ValueError, match="tolerance"):
            read_tolerance(wrong)


@pytest.mark.parametrize("text", HOSTILE)
def test_time_is_linear_in_hostile_text(text: str) -> None:
    start = time.process_time()
    mmmu.parse_choice(text, OPTIONS)
    mmmu.parse_open(text)
    mathvista.normalise(text, CM, "multi_choice", "text", None)
    mathvista.normalise(text, None, "free_form", "float", 1.0)
    assert not olympiad_equal("3", text)
    assert time.process_time() - start < 1
