"""Rows as users of other trainers have them: chats, pictures in every form, and pictures that nobody would see."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from srpo.core.records import Problem
from srpo.data.config import SourceConfig
from srpo.data.images import load_image
from srpo.data.sources import ProblemSet, load_problems

ROW = {"question": "How many?", "answer": "3"}


def png(size: int = 8) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((size, size), 50).save(data, "PNG")
    return data.getvalue()


BASE64 = base64.b64encode(png(24)).decode()


def load(folder: Path, *rows: Mapping[str, object], **settings: object) -> ProblemSet:
    (folder / "images").mkdir(exist_ok=True)
    for number in (1, 2, 3):
        (folder / "images" / f"{number}.png").write_bytes(png(number + 4))
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = str(folder / "store")
    return load_problems(SourceConfig.model_validate({"path": str(path), "image_store": store, **settings}))


def only(found: ProblemSet) -> Problem:
    assert found.rejected == ()
    (problem,) = found.problems
    for ref in problem.images:
        load_image(ref)
    return problem


def turns(text: object, *, system: str = "") -> list[dict[str, object]]:
    said: list[dict[str, object]] = [{"role": "system", "content": system}] if system else []
    return [*said, {"role": "user", "content": text}]


def test_mm_eureka_with_conversations_and_image_urls(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/images/1.png"
    chat = turns("<image>Find x.", system="Think first.")
    problem = only(load(tmp_path, {"id": "0", "conversations": chat, "answer": "$3$", "image_urls": [address]}))
    assert (problem.id, problem.question, problem.answer) == ("0", "Find x.", "$3$")
    assert problem.images == (str(tmp_path / "images" / "1.png"),)


@pytest.mark.parametrize("as_text", [False, True])
def test_mm_eureka_with_typed_parts_and_as_json_text(tmp_path: Path, as_text: bool) -> None:
    parts = [{"type": "image", "image": f"file://{tmp_path}/images/1.png"}, {"type": "text", "text": "Find x."}]
    message: object = json.dumps(turns(parts)) if as_text else turns(parts)
    problem = only(load(tmp_path, {"message": message, "answer": "$3$"}))
    assert (problem.question, problem.answer, len(problem.images)) == ("Find x.", "$3$", 1)


def test_ms_swift_and_v_thinker(tmp_path: Path) -> None:
    row = {"messages": turns("<image>Find x."), "images": ["images/1.png"], "solution": "<answer> 3 </answer>"}
    problem = only(load(tmp_path, row))
    assert (problem.question, len(problem.images)) == ("Find x.", 1)
    objects = {**row, "images": [{"bytes": None, "path": "images/2.png"}]}
    assert only(load(tmp_path, objects)).images == (str(tmp_path / "images/2.png"),)


def test_trl_with_a_list_of_messages_as_prompt(tmp_path: Path) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "Find x."}]
    problem = only(load(tmp_path, {"prompt": turns(parts), "image": "images/1.png", "solution": "3"}))
    assert (problem.question, problem.answer, len(problem.images)) == ("Find x.", "3", 1)


def test_openai_parts_hold_their_pictures(tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}}
    problem = only(load(tmp_path, {"messages": turns([part, {"type": "text", "text": "q"}]), "answer": "3"}))
    assert load_image(problem.images[0]).size == (24, 24)


def test_r1_v_has_its_gold_in_solution(tmp_path: Path) -> None:
    problem = only(
        load(tmp_path, {"image": "images/1.png", "problem": "How many?", "solution": "<answer> 3 </answer>"})
    )
    assert problem.answer == "<answer> 3 </answer>"


def test_a_question_of_its_own_wins_over_the_chat(tmp_path: Path) -> None:
    row = {"problem": "Find x.", "solution": "3", "prompt": turns("Find x. Think first."), "messages": turns("other")}
    assert only(load(tmp_path, row)).question == "Find x."


@pytest.mark.parametrize(("reply", "gold"), [("3", "3"), ("The answer is 3.", "3"), ("w" * 400, None)])
def test_a_reply_is_the_gold_where_it_is_no_more_than_that(tmp_path: Path, reply: str, gold: str | None) -> None:
    found = load(tmp_path, {"messages": [*turns("q"), {"role": "assistant", "content": reply}]})
    assert [problem.answer for problem in found.problems] == ([gold] if gold else [])
    if gold is None:
        assert "name one with mapping.answer" in found.rejected[0].detail


def test_several_questions_in_a_chat_are_told(tmp_path: Path) -> None:
    found = load(tmp_path, {"messages": [*turns("q"), *turns("r")], "answer": "3"})
    assert found.rejected[0].reason.startswith("column 'messages': 2 questions in one conversation")


@pytest.mark.parametrize(
    "value", [[], None, "", [None], [""], [float("nan")], float("nan"), {"bytes": None, "path": None}]
)
def test_rows_without_a_picture_say_so_in_many_ways(tmp_path: Path, value: object) -> None:
    found = load(tmp_path, {**ROW, "images": ["images/1.png"]}, {**ROW, "images": value})
    assert [len(problem.images) for problem in found.problems] == [1, 0]


@pytest.mark.parametrize(
    "value",
    [
        BASE64,
        f"data:image/png;base64,{BASE64}",
        f"data:image/png;base64,\n{BASE64[:76]}\n{BASE64[76:]}",
        f"DATA:image/png;charset=utf-8;base64,{BASE64.rstrip('=')}",
        base64.urlsafe_b64encode(png(24)).decode(),
        {"bytes": BASE64},
        {"url": f"data:image/png;base64,{BASE64}"},
        {"image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        [BASE64],
        json.dumps([BASE64]),
    ],
)
def test_embedded_pictures_of_every_shape(tmp_path: Path, value: object) -> None:
    assert load_image(only(load(tmp_path, {**ROW, "image": value})).images[0]).size == (24, 24)


@pytest.mark.parametrize(
    "value",
    [
        "images/1.png",
        " images/1.png ",
        "file://images/1.png",
        '["images/1.png"]',
        "['images/1.png']",
        {"path": "images/1.png"},
    ],
)
def test_paths_of_every_shape(tmp_path: Path, value: object) -> None:
    assert only(load(tmp_path, {**ROW, "image": value})).images == (str(tmp_path / "images" / "1.png"),)


def test_addresses_with_escapes_and_a_host(tmp_path: Path) -> None:
    load(tmp_path, ROW)
    (tmp_path / "images" / "a b.png").write_bytes(png())
    for address in (f"file://{tmp_path}/images/a%20b.png", f"file://localhost{tmp_path}/images/a%20b.png"):
        assert only(load(tmp_path, {**ROW, "image": address})).images == (str(tmp_path / "images" / "a b.png"),)


def test_a_file_may_be_called_like_a_list(tmp_path: Path) -> None:
    (tmp_path / "[1].png").write_bytes(png())
    assert only(load(tmp_path, {**ROW, "image": "[1].png"})).images == (str(tmp_path / "[1].png"),)


@pytest.mark.parametrize("value", ["x" * 300 + ".png", "x" * 10_000, "a/" * 5000, "A" * 100_000, "/9j/" * 2000, "a\0b"])
def test_a_long_text_in_the_picture_column_costs_its_row_alone(tmp_path: Path, value: str) -> None:
    found = load(tmp_path, ROW, {**ROW, "image": value}, {**ROW, "id": "3"})
    assert len(found.problems) == 2
    assert found.rejected[0].place == f"{tmp_path / 'data.jsonl'}:2"
    assert len(found.rejected[0].detail) < 600


def test_numbered_columns_in_order_of_their_numbers(tmp_path: Path) -> None:
    row = {**ROW, "question": "<image 1> <image 2>?", "image_2": "images/2.png", "image_1": "images/1.png"}
    problem = only(load(tmp_path, {**row, "image_3": None, "image_10": "images/3.png"}))
    assert [Path(ref).stem for ref in problem.images] == ["1", "2", "3"]


def test_bytes_beside_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    row = {**ROW, "image": "images/7.jpg", "decoded_image": {"bytes": png(24), "path": None}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    source = SourceConfig(path=str(tmp_path / "x.parquet"), image_store=str(tmp_path / "store"))
    assert load_image(only(load_problems(source)).images[0]).size == (24, 24)


@pytest.mark.parametrize(
    ("question", "num_pictures", "detail"),
    [
        ("<image>How many?", 0, "1 placeholder <image> for no picture"),
        ("<image><image>Which?", 1, "2 placeholders <image> for 1 picture"),
        ("<image>Which?", 2, "1 placeholder <image> for 2 pictures"),
        ("See <image_2>.", 0, "placeholder 2 and no picture"),
        ("See <image 3>.", 2, "placeholder 3 and 2 pictures"),
        ("<|vision_start|><|image_pad|><|vision_end|>Which?", 0, "for no picture"),
    ],
)
def test_placeholders_without_their_pictures_are_told(
    tmp_path: Path, question: str, num_pictures: int, detail: str
) -> None:
    images = [f"images/{number + 1}.png" for number in range(num_pictures)]
    found = load(tmp_path, {**ROW, "question": question, "images": images})
    assert [row.reason for row in found.rejected] == ["pictures and placeholders do not match"]
    assert detail in found.rejected[0].detail


def test_placeholders_among_the_options_count(tmp_path: Path) -> None:
    row = {
        **ROW,
        "answer": "A",
        "options": ["<image 1>", "<image 2>"],
        "image_1": "images/1.png",
        "image_2": "images/2.png",
    }
    assert len(only(load(tmp_path, row)).images) == 2
    assert (
        load(tmp_path, {**row, "image_1": None, "image_2": None}).rejected[0].detail == "placeholder 2 and no picture"
    )


@pytest.mark.parametrize("held", ["images/1.png", BASE64, {"path": "images/1.png"}, ["images/1.png"]])
def test_pictures_in_a_column_that_is_not_read_are_told(tmp_path: Path, held: object) -> None:
    found = load(tmp_path, {**ROW, "screenshot": held})
    assert "name it with mapping.images" in found.rejected[0].detail
    assert len(only(load(tmp_path, {**ROW, "screenshot": held}, mapping={"images": "screenshot"})).images) == 1


def test_text_only_rows_keep_their_other_columns(tmp_path: Path) -> None:
    row = {**ROW, "source": "train/1.png", "note": "see cat.png", "digest": "iVBORw0KGgo"}
    assert only(load(tmp_path, row)).images == ()


def test_a_conversation_of_mathv360k_counts_its_placeholders(tmp_path: Path) -> None:
    chat = [{"from": "human", "value": "<image>\nHint: answer.\nQuestion: How many?"}, {"from": "gpt", "value": "3"}]
    assert only(load(tmp_path, {"image": "images/1.png", "conversations": chat})).question == "How many?"
    found = load(tmp_path, {"image": "", "conversations": chat})
    assert found.rejected[0].reason == "pictures and placeholders do not match"


def test_long_questions_are_left_out(tmp_path: Path) -> None:
    found = load(tmp_path, {**ROW, "question": "word " * 6000})
    assert found.rejected[0].detail == "question of 29,999 bytes; max_question_bytes is 16,384"
    assert only(load(tmp_path, {**ROW, "question": "word " * 6000}, max_question_bytes=100_000)).answer == "3"
