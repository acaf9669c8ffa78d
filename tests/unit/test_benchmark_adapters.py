"""Rows of the other benchmarks with all their quirks, and what any adapter does with nonsense."""

from pathlib import Path

import pytest
from PIL import Image

from srpo.data.fields import RowError
from srpo.eval.benchmarks.benchmark import Item
from srpo.eval.benchmarks.columns import labelled_options, repair_escapes
from srpo.eval.benchmarks.named import benchmark_named
from tests.support.benchmark_rows import ROWS, hallusion, item, mmmu, png, right

# -- MMMU and MMMU-Pro


def test_mmmu_options_as_the_text_of_a_list() -> None:
    one = item("mmmu", **mmmu())
    assert one.problem.choices == ("$6", "it's 8", "<image 3>")
    assert one.problem.kind == "letter"
    assert one.groups["subject"] == "Energy_and_Power"
    assert one.groups["domain"] == "Tech and Engineering"
    assert right("mmmu", one, "B")
    assert right("mmmu", one, "it's 8")
    assert not right("mmmu", one, "A")
    assert "\nA. $6\nB. it's 8\nC. <image 3>\n" in benchmark_named("mmmu").prompt(one)
    with pytest.raises(RowError, match="is not a list of options"):
        item("mmmu", **mmmu(options="['a', __import__('os')]"))


def test_mmmu_open_questions_with_several_golds() -> None:
    one = item("mmmu", **mmmu(question_type="open", options="[]", answer="['24/7', '3.429']"))
    assert one.problem.choices == ()
    assert one.facts["golds"] == ["24/7", "3.429"]
    assert [text for text in ("24/7", "3.429", "3.43", r"\boxed{\frac{24}{7}}") if not right("mmmu", one, text)] == []
    assert not right("mmmu", one, "24")
    assert not right("mmmu", one, "3.5")
    assert not right("mmmu", one, "nan")
    letter = item("mmmu", **mmmu(question_type="open", options="[]", answer="C"))
    assert right("mmmu", letter, "The answer is C")
    assert not right("mmmu", letter, "B")
    assert "single word or phrase" in benchmark_named("mmmu").prompt(letter)


def test_mmmu_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    pictures = {"image_3": png("blue"), "image_1": png("red"), "image_2": png("green"), "image_4": None}
    one = item("mmmu", tmp_path, **mmmu(**pictures))
    colours = [Image.open(path).getpixel((0, 0)) for path in one.problem.images]
    assert colours == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


@pytest.mark.parametrize(("count", "gold"), [(12, "L"), (10, "J"), (9, "I"), (4, "D")])
def test_mmmu_pro_has_up_to_twelve_options(count: int, gold: str) -> None:
    options = str([f"text {number}" for number in range(count)])
    row = {"id": "test_History_5", "question": "What?", "options": options, "answer": gold, "subject": "History"}
    one = item("mmmu-pro-standard", **row)
    assert len(one.problem.choices) == count
    assert one.groups["domain"] == "Humanities and Social Science"
    assert right("mmmu-pro-standard", one, f"It is not (A).\n\nAnswer: {gold}")
    assert not right("mmmu-pro-standard", one, "A")


def test_mmmu_pro_vision_has_no_question() -> None:
    one = item("mmmu-pro-vision", id="test_History_5", options="['a', 'b']", answer="B", subject="History")
    assert one.problem.question == "Solve the multiple-choice question that is written in the picture."
    assert "a" not in benchmark_named("mmmu-pro-vision").prompt(one).split()
    assert right("mmmu-pro-vision", one, "B.")
    assert not right("mmmu-pro-vision", one, "A.")


# -- MMStar


def test_mmstar_options_stand_in_the_question() -> None:
    row = {"index": "0", "question": "Which?\nOptions: A: Water, land, B: Sky, C: Ice, D: None", "answer": "a",
           "category": "math", "l2_category": "geometry", "meta_info": {"source": "AI2D", "split": "val"}}  # fmt: skip
    one = item("mmstar", **row)
    assert one.problem.id == "0"
    assert one.problem.answer == "A"
    assert one.problem.choices == ("Water, land", "Sky", "Ice", "None")
    assert one.groups == {"category": "math", "l2_category": "geometry", "source": "AI2D"}
    assert right("mmstar", one, "The answer is A")
    assert right("mmstar", one, "Water, land")
    assert not right("mmstar", one, "A triangle is drawn, so the answer is C")
    assert benchmark_named("mmstar").prompt(one) == row["question"]
    assert item("mmstar", **{**row, "question": "Which?", "A": "x", "B": "y"}).problem.choices == ("x", "y")


# -- CharXiv


def test_charxiv_as_the_authors_and_as_the_hub_publish_it() -> None:
    theirs = item(
        "charxiv", figure_id="17", query="Which one?", answer="plain, PD-HDDPG", inst_category="1", qa_source="3"
    )
    hubs = item(
        "charxiv", figure_path="images/17.jpg", reasoning_q="Which one?", reasoning_a="plain, PD-HDDPG",
        reasoning_a_type=1, reasoning_q_source=3, category="cs", year="20",
    )  # fmt: skip
    assert theirs.problem.id == hubs.problem.id == "17"
    assert theirs.groups == {"answer_type": "text-in-chart", "question_source": "completely human"}
    assert hubs.groups == {**theirs.groups, "category": "cs", "year": "20"}
    with pytest.raises(RowError, match="expected 1, 2, 3 or 4"):
        item("charxiv", figure_id="17", query="q", answer="x", inst_category="9")


@pytest.mark.parametrize(
    ("kind", "gold", "good", "bad"),
    [
        (1, "plain, PD-HDDPG", ["PD-HDDPG and plain", r"\boxed{PD-HDDPG, plain}"], ["plain", "plain, plain", "ACC"]),
        (1, "ACC+", ["ACC+"], ["ACC"]),
        (1, "(c)", ["(c)", "c"], ["(b)", "b"]),
        (2, "Yes", ["yes", "Yes."], ["No"]),
        (3, "1e+06", ["1000000", "10^6"], ["100000", "1"]),
        (4, "0.14", ["0.140"], ["0.1", "14"]),
    ],
)
def test_charxiv_rules_by_type(kind: int, gold: str, good: list[str], bad: list[str]) -> None:
    one = item("charxiv", figure_id="1", query="q", answer=gold, inst_category=kind)
    assert [text for text in good if not right("charxiv", one, text)] == []
    assert [text for text in bad if right("charxiv", one, text)] == []


def test_charxiv_instructions_by_type() -> None:
    def asked(kind: int, gold: str) -> str:
        return benchmark_named("charxiv").prompt(
            item("charxiv", figure_id="1", query="q", answer=gold, inst_category=kind)
        )

    assert len({asked(kind, "3") for kind in (1, 2, 3, 4)}) == 4
    assert asked(4, "3").endswith("Answer with a whole number.")
    assert asked(4, "0.14").endswith("2 decimal places.")
    assert asked(4, "0.5").endswith("1 decimal place.")


def test_charxiv_finds_the_picture_by_the_figure(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "17.jpg").write_bytes(png("red")["bytes"])
    one = item("charxiv", tmp_path, figure_id="17", query="q", answer="3", inst_category="4")
    assert one.problem.images == (str(tmp_path / "images" / "17.jpg"),)


# -- HallusionBench


def test_hallusionbench_ids_and_golds() -> None:
    no = item("hallusionbench", **hallusion())
    assert no.problem.id == "VS_ocr_0_1_2"
    assert no.problem.answer == "No"
    assert no.problem.kind == "yes_no"
    assert item("hallusionbench", **hallusion(gt_answer=1)).problem.answer == "Yes"
    assert item("hallusionbench", **hallusion(category="VD")).problem.id != no.problem.id
    assert right("hallusionbench", no, "No, it is not.")
    assert not right("hallusionbench", no, "Yes")
    with pytest.raises(RowError, match="expected 0 or 1, got '2'"):
        item("hallusionbench", **hallusion(gt_answer="2"))


def test_hallusionbench_questions_without_a_picture(tmp_path: Path) -> None:
    assert item("hallusionbench", tmp_path, **hallusion(visual_input="0", filename=None)).problem.images == ()
    with pytest.raises(RowError, match=r"0_1.png': no such file"):
        item("hallusionbench", tmp_path, **hallusion())
    folder = tmp_path / "hallusion_bench" / "VS" / "ocr"
    folder.mkdir(parents=True)
    (folder / "0_1.png").write_bytes(png("red")["bytes"])
    assert item("hallusionbench", tmp_path, **hallusion()).problem.images[0].endswith("/VS/ocr/0_1.png")


# -- EMMA and MMK12


@pytest.mark.parametrize("kind", ["Multiple Choice", "Multiple choice"])
def test_emma_golds_in_lower_case(kind: str) -> None:
    row = {"pid": "phy_1", "question": "What? <image_1>", "options": ["up", "down", "left"], "answer": "c",
           "subject": "Physics", "category": "x", "type": kind, "context": "A car."}  # fmt: skip
    one = item("emma-mini", **row)
    assert one.problem.answer == "C"
    assert one.groups["question_type"] == "multiple choice"
    assert right("emma-mini", one, r"\boxed{c}")
    assert right("emma-mini", one, "left")
    assert not right("emma-mini", one, "A")
    assert benchmark_named("emma-mini").prompt(one).startswith("A car.\nWhat? <image_1>\nA: up\nB: down\n")


def test_emma_open_questions_and_letters_as_options() -> None:
    row = {"pid": "Math_1", "question": "How many?", "answer": "35", "subject": "Math", "type": "Open-ended"}
    one = item("emma", **row, options=None)
    assert one.groups["question_type"] == "open-ended"
    assert right("emma", one, "35")
    assert not right("emma", one, "36")
    letters = item("emma", **{**row, "answer": "d"}, options=["a", "b", "c", "d", "e"])
    assert letters.problem.answer == "D"
    assert right("emma", letters, r"\boxed{D}")
    assert not right("emma", letters, "E")


def test_mmk12_options_in_the_question_or_none() -> None:
    row = {"id": "u1", "question": "In triangle ABC, which?\nA. 30°\nB. 45°\nC. 60°", "answer": "B", "subject": "Math"}
    one = item("mmk12", **row)
    assert one.problem.choices == ("30°", "45°", "60°")
    assert one.groups == {"subject": "math"}
    assert right("mmk12", one, "B")
    assert right("mmk12", one, "45°")
    assert not right("mmk12", one, "C")
    free = item("mmk12", id="u2", question="The length of AF is .", answer=r"$\frac{8}{3}$", image_path="images/a.png")
    assert free.problem.choices == ()
    assert free.problem.kind is None
    assert free.groups == {}
    assert right("mmk12", free, "8/3")
    assert not right("mmk12", free, "3/8")


def test_rows_without_an_id() -> None:
    for name, row in (("mmk12", {"id": None}), ("mathvision", {"id": ""}), ("emma", {"pid": " "})):
        with pytest.raises(RowError, match="empty"):
            item(name, **{"question": "q", "answer": "1", "options": [], **row})


# -- all


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("What is it? Options: A: a cat, B: a dog, C: none of these", ("a cat", "a dog", "none of these")),
        ("A. 300, 400;B. 400, 300;C. 3; D. No correct answer", ("300, 400", "400, 300", "3", "No correct answer")),
        ("A. 4 B. 3 C. 2 ;D. 1", ("4", "3", "2", "1")),
        ("A. ①;B．②;C. ③", ("①", "②", "③")),
        ("A. north ;C.  ;B. west ;C.  ;C. south", ("north ;C.", "west ;C.", "south")),
        ("Points A, B and C. Which?\nA. AB\nB. BC\nC. CA", ("AB", "BC", "CA")),
        ("(A) one (B) two", ("one", "two")),
        ("no options. At all.", ()),
        ("B. two C. three", ()),
    ],
)  # fmt: skip
def test_options_in_a_text(text: str, options: tuple[str, ...]) -> None:
    assert labelled_options(text) == options


def test_hostile_option_lists_are_linear() -> None:
    assert len(labelled_options("A. x " * 5_000 + "B. y")) == 2
    assert labelled_options("A. " * 10_000) == ()
    assert len(labelled_options("A. x B. y " * 3_000)) == 2


def test_backslashes_that_a_string_literal_ate() -> None:
    assert repair_escapes("\x0crac{36}{13}") == r"\frac{36}{13}"
    assert repair_escapes("3\times 4, \text{cm}") == r"3\times 4, \text{cm}"
    assert repair_escapes("a\tb") == "a\tb"
    assert repair_escapes("\x08oxed{3}") == r"\boxed{3}"


NONSENSE: tuple[object, ...] = (
    None,
    "",
    [],
    {},
    {"a": [1]},
    [None],
    b"\x00",
    "\ud800",
    "[",
    "['a', {}]",
    1e308,
    float("nan"),
    True,
    "\x00" * 9,
)


@pytest.mark.parametrize("name", ROWS)
def test_whatever_a_column_holds_the_row_is_an_item_or_rejected(name: str) -> None:
    bench = benchmark_named(name)
    assert item(name, **ROWS[name])
    for column in ROWS[name]:
        for value in NONSENSE:
            try:
                one = item(name, **{**ROWS[name], column: value})
            except RowError:
                continue
            assert Item.model_validate_json(one.model_dump_json()) == one
            assert isinstance(bench.prompt(one), str)
            bench.grade(one, "A")
