"""The public pools' published formats become problems: question, gold, pictures, caption."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from srpo.core.records import Problem
from srpo.data.check import check_gold
from srpo.data.config import SourceConfig
from srpo.data.sources import ProblemSet, load_problems

CONTENT = (
    "<SUMMARY> I will read the bar chart. </SUMMARY>\n\n<CAPTION> A bar chart of the years 2005 to 2018. </CAPTION>\n\n"
    "<REASONING> The bar of 2017 stands at 21. </REASONING>\n\n<CONCLUSION> {} </CONCLUSION>"
)
REPLY = (
    "### Image Description:\nA rack with three cubes.\n\n### Rationales:\nCount.\n\n### Let's think step by step.\n\n"
    "### Step 1:\nThere are three.\n\n### The final answer is: {}"
)


def picture(folder: Path, name: str = "chartqa/x.png") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)
    return name


def load(folder: Path, *rows: Mapping[str, object], **settings: object) -> ProblemSet:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_problems(SourceConfig.model_validate({"path": str(path), **settings}))


def only(found: ProblemSet) -> Problem:
    assert found.rejected == ()
    (problem,) = found.problems
    assert check_gold(problem) is None
    return problem


def talk(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def said(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_llava_cot_as_its_readme_shows_it(tmp_path: Path) -> None:
    row = {"query": "How many leaders?", "image": picture(tmp_path), "answer": "21", "content": CONTENT.format(21)}
    problem = only(load(tmp_path, row))
    assert (problem.question, problem.answer) == ("How many leaders?", "21")
    assert problem.caption == "A bar chart of the years 2005 to 2018."
    assert problem.images == (str(tmp_path / "chartqa/x.png"),)


@pytest.mark.parametrize(("said_answer", "gold"), [("**B**", "B"), ("The answer is 21.", "21"), ("-3.5", "-3.5")])
def test_llava_cot_as_it_is_published(tmp_path: Path, said_answer: str, gold: str) -> None:
    row = {"id": "c1", "image": picture(tmp_path), "conversations": talk("How many?", CONTENT.format(said_answer))}
    problem = only(load(tmp_path, row))
    assert (problem.id, problem.answer, problem.caption[:11]) == ("c1", gold, "A bar chart")


def test_llava_cot_without_a_conclusion_and_with_several_questions(tmp_path: Path) -> None:
    good = {"conversations": talk("q", CONTENT.format(1))}
    found = load(
        tmp_path,
        good,
        {"conversations": talk("q", "just 7")},
        {"conversations": talk("q", CONTENT.format(1)) * 2},
        {"conversations": []},
        {"conversations": [{"from": "human", "value": "q"}]},
    )
    assert len(found.problems) == 1
    assert [row.reason for row in found.rejected] == [
        "no <CONCLUSION> in the reply, and no column 'answer'",
        "column 'conversations': 2 questions in one conversation; only single ones are used",
        "column 'conversations': expected a list of turns, got list",
        "column 'conversations': nobody speaks as assistant",
    ]


def test_mulberry(tmp_path: Path) -> None:
    name = picture(tmp_path, "cauldron/clevr/images/c.png")
    row = {"images": name, "messages": said("<image>\nQuestion: how many cubes are there?", REPLY.format("3"))}
    problem = only(load(tmp_path, row))
    assert (problem.question, problem.answer) == ("how many cubes are there?", "3")
    assert problem.caption == "A rack with three cubes."
    assert len(problem.images) == 1


def test_the_last_final_answer_of_mulberry_counts(tmp_path: Path) -> None:
    reply = "### The final answer is: 4\nI have made a mistake. " + REPLY.format("5")
    found = load(tmp_path, {"messages": said("q", reply)}, {"messages": said("q", "no idea")})
    assert found.problems[0].answer == "5"
    assert found.rejected[0].reason == "column 'messages': the reply has no '### The final answer is:'"


def test_mathv360k(tmp_path: Path) -> None:
    hint = "<image>\nHint: Please answer the question and provide the correct option letter, e.g., A, B, at the end.\n"
    question = "Which bar is longest?\nChoices:\n(A) red\n(B) blue"
    row = {
        "id": "7",
        "image": picture(tmp_path),
        "conversations": talk(f"{hint}Question: {question}", "The answer is B"),
    }
    problem = only(load(tmp_path, row))
    assert (problem.id, problem.question, problem.answer) == ("7", question, "B")


def test_geometry3k_needs_no_adapter(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    rows = {
        "images": [[{"bytes": data.getvalue(), "path": None}]],
        "problem": ["<image>Find x."],
        "answer": ["2\\sqrt{2}"],
    }
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    source = SourceConfig(path=str(tmp_path / "train.parquet"), image_store=str(tmp_path / "store"))
    problem = only(load_problems(source))
    assert (problem.question, problem.answer, len(problem.images)) == ("Find x.", "2\\sqrt{2}", 1)


def test_verl_parquet(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "data_source": "hiyouga/geometry3k",
        "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": "<image>Find x. Use a box."}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "3"},
        "extra_info": {"split": "train", "index": 0, "answer": "3", "question": "Find x."},
    }
    row["images"] = [{"bytes": None, "path": picture(tmp_path)}]
    bare = {**row, "extra_info": {"index": 1}}
    pq.write_table(pa.Table.from_pylist([row, bare]), tmp_path / "rl.parquet")
    found = load_problems(SourceConfig(path=str(tmp_path / "rl.parquet")))
    assert [problem.question for problem in found.problems] == ["Find x.", "Find x. Use a box."]
    assert {(problem.answer, problem.family) for problem in found.problems} == {("3", "hiyouga/geometry3k")}


def test_a_mapping_wins_and_a_name_insists(tmp_path: Path) -> None:
    row = {"image": picture(tmp_path), "conversations": talk("How many?", CONTENT.format("5")), "gold": "6", "set": "s"}
    found = load(tmp_path, row, mapping={"answer": "gold", "family": "set"})
    assert (found.problems[0].answer, found.problems[0].family) == ("6", "s")
    assert load(tmp_path, row, adapter="mathv360k").problems[0].answer.startswith("<SUMMARY>")
    with pytest.raises(ValueError, match="no column for the question; the columns are image, conversations, gold, set"):
        load(tmp_path, row, adapter="columns")


def test_captions_have_a_column_too(tmp_path: Path) -> None:
    row = {"question": "q", "answer": "1", "description": " A cat. "}
    assert only(load(tmp_path, row)).caption == "A cat."
