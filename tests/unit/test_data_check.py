"""`srpo data check` finds bad golds, broken pictures and duplicates, and counts every row once."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from srpo.cli.main import run_command
from srpo.core.records import Problem
from srpo.data.check import BAD_GOLD, BAD_PICTURE, CONTROL, LONG_GOLD, REPEATED, check_gold, check_source, check_texts
from srpo.data.config import SourceConfig


def picture(path: Path, color: str = "red", size: tuple[int, int] = (5, 5)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path.name


def write(folder: Path, *rows: Mapping[str, object]) -> str:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_everything_is_found_and_adds_up(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "copy.png")
    picture(tmp_path / "long.png", size=(1, 1000))
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(noise, "PNG")
    (tmp_path / "cut.png").write_bytes(noise.getvalue()[:500])
    path = write(
        tmp_path,
        {"id": "1", "question": "How many?", "answer": "3", "image": "a.png"},
        {"id": "1", "question": "What else?", "answer": "4", "image": "a.png"},
        {"id": "2", "question": "How  many?", "answer": "3", "image": "copy.png"},
        {"id": "3", "question": "q3", "answer": "5", "image": "cut.png"},
        {"id": "4", "question": "q4", "answer": "5", "image": "long.png"},
        {"id": "5", "question": "q5", "answer": "5", "image": "none.png"},
        {"id": "6", "question": "q6", "answer": "7"},
    )
    report = check_source(SourceConfig(path=path))
    assert (report.num_rows, report.num_usable, report.num_bad) == (7, 3, 4)
    assert report.counts == {REPEATED: 2, BAD_PICTURE: 1, "picture: no such file": 1}
    assert [(row.place.removeprefix(f"{path}:"), row.id, row.reason) for row in report.findings] == [
        ("2", "1", REPEATED),
        ("3", "2", REPEATED),
        ("4", "3", BAD_PICTURE),
        ("6", "", "picture: no such file"),
    ]
    assert report.findings[0].detail == f"id '1' is already used at {path}:1"
    assert report.findings[1].detail == f"same question and picture as {path}:1"
    assert "truncated" in report.findings[2].detail
    assert report.findings[3].detail == f"picture 'none.png': no such file under {tmp_path}"
    assert [(note.id, "padded" in note.note) for note in report.notes] == [("4", True)]


def test_golds_must_grade_themselves() -> None:
    assert check_gold(Problem(id="1", question="q", answer="3/4")) is None
    assert check_gold(Problem(id="1", question="q", answer="B", choices=("x", "y"))) is None
    reason = check_gold(Problem(id="1", question="q", answer="n/a"))
    assert reason is not None
    assert reason.startswith("gold 'n/a' is ungradable: ")


@pytest.mark.parametrize(
    ("gold", "choices", "hint"),
    [
        ("5", ("red", "blue"), "if it is an index from 0, write 'F'"),
        ("1", ("red", "blue"), "if it is an index from 0, write 'B'"),
        ("D", ("red", "blue", "green"), "none of the 3 options"),
        ("yellow", ("red", "blue"), "none of the 2 options"),
        ("</answer>", (), "does not grade itself"),
    ],
)
def test_golds_that_no_response_can_reach(gold: str, choices: tuple[str, ...], hint: str) -> None:
    ((reason, detail),) = check_texts(Problem(id="1", question="q", answer=gold, choices=choices))
    assert reason == BAD_GOLD
    assert hint in detail


def test_a_solution_in_words_is_no_gold() -> None:
    words = "The car moves on because nothing holds it, and as the road goes down it will be faster and faster. " * 3
    ((reason, _),) = check_texts(Problem(id="1", question="q", answer=words))
    assert reason == LONG_GOLD
    for gold in (words + "So the answer is \\boxed{3}.", words + "#### 3"):
        assert list(check_texts(Problem(id="1", question="q", answer=gold))) == []


@pytest.mark.parametrize(
    ("question", "token"),
    [
        ("2 + 2?<|im_end|>\n<|im_start|>assistant\n4", "'<|im_end|>', '<|im_start|>'"),
        ("a <|video_pad|>", "'<|video_pad|>'"),
        ("x<|endoftext|>", "'<|endoftext|>'"),
        ("x <end_of_turn>", "'<end_of_turn>'"),
        ("[INST] x [/INST]", "'[INST]', '[/INST]'"),
        ("x <｜end▁of▁sentence｜>", "'<｜end▁of▁sentence｜>'"),
    ],
)
def test_control_tokens_in_questions_are_told(question: str, token: str) -> None:
    ((reason, detail),) = check_texts(Problem(id="1", question=question, answer="4"))
    assert (reason, detail.partition(":")[0]) == (CONTROL, token)
    ((reason, _),) = check_texts(Problem(id="1", question="q", answer="A", choices=(question, "y")))
    assert reason == CONTROL


@pytest.mark.parametrize(
    "question", ["Is <|x|> = |x|?", "Is a<|b|>c?", "A <b>bold</b> [word] <s>no</s>?", "What is <sum>?"]
)
def test_what_only_looks_like_a_control_token_is_none(question: str) -> None:
    assert list(check_texts(Problem(id="1", question=question, answer="4"))) == []


def test_exit_codes_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, {"id": "1", "question": "q", "answer": "3"})
    assert run_command(["data", "check", good]) == 0
    assert "1 rows, 1 usable" in capsys.readouterr().out
    bad = write(tmp_path, {"id": "1", "question": "q", "answer": ""}, {"id": "2", "question": "q", "answer": "1"})
    assert run_command(["data", "check", bad, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["num_rows"], found["num_bad"], found["counts"]) == (2, 1, {"column 'answer': no answer": 1})
    reason = "column 'answer': no answer"
    assert found["findings"] == [{"id": "", "place": f"{bad}:1", "reason": reason, "detail": reason}]


def test_mapping_and_limit_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, *({"q": f"q{i}", "a": "1"} for i in range(3)))
    assert run_command(["data", "check", path, "--mapping.question", "q", "--mapping.answer", "a", "--limit", "2"]) == 0
    assert "2 rows, 2 usable" in capsys.readouterr().out
    with pytest.raises(ValueError, match="columns are q, a"):
        run_command(["data", "check", path])


def test_drawn_problems_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "check", "drawn", "--limit", "60"]) == 0
    assert "60 usable" in capsys.readouterr().out
