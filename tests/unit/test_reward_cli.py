import json
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.cli.reward import RewardRow, reward_row
from srpo.core.lengths import rough_length
from srpo.core.records import Attempt, Grade, GradedText, Problem, Response, Style
from srpo.core.response import pieces
from srpo.data.jsonl import Located, read_jsonl
from tests.support.responses import parse_style

FIVE = (
    "<think>3+4</think><answer>{first}</answer><reflection>red is 3, blue is 4</reflection>"
    "<think>3+4=7</think><answer>{final}</answer>"
)
TERMS = ["format", "accuracy", "effect", "reflection", "length"]


def exact_score(problem: Problem, text: str, style: Style) -> GradedText:
    """In place of `score_text`: an answer is right when it equals the gold; gold "?" is ungradable."""

    def grade(answer: str | None) -> Grade:
        if problem.answer == "?":
            return Grade(verdict="ungradable", extracted=answer, reason="the gold is '?'")
        return Grade(verdict="correct" if answer == problem.answer else "incorrect", extracted=answer, reason="exact")

    parsed = parse_style(text, style)
    match parsed:
        case Response():
            return GradedText(parsed, grade(parsed.first.answer), grade(parsed.second.answer))
        case Attempt():
            return GradedText(parsed, grade(parsed.answer), grade(parsed.answer))
    found = pieces(text)
    return GradedText(parsed, grade(found.first_answer), grade(found.second_answer))


def row(response: str, gold: str = "7") -> Located[RewardRow]:
    given = RewardRow(id="a", gold=gold, response=response, num_tokens=40, first_tokens=20)
    return Located(given, "f.jsonl", 1)


def write(folder: Path, *rows: str | dict[str, object]) -> str:
    path = folder / "f.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("first", "final", "total", "outcome"),
    [
        ("7", "7", 1.60, "right→right"),
        ("5", "7", 1.35, "wrong→right"),
        ("7", "5", 1.10, "right→wrong"),
        ("5", "5", 0.85, "wrong→wrong"),
    ],
)
def test_a_row_of_the_interface(first: str, final: str, total: float, outcome: str) -> None:
    found = reward_row(row(FIVE.format(first=first, final=final)), "paper", None, exact_score).as_json()
    assert list(found) == ["id", "terms", "total", "outcome", "note"]
    assert (found["id"], found["total"], found["outcome"], found["note"]) == ("a", total, outcome, None)
    assert list(found["terms"]) == TERMS
    assert found["terms"]["length"] == {"score": 1.0, "weight": 0.1}


def test_an_ungradable_gold_has_a_null_total() -> None:
    found = reward_row(row(FIVE, gold="?"), "paper", None, exact_score).as_json()
    assert found == {"id": "a", "terms": {}, "total": None, "outcome": None, "note": "ungradable: the gold is '?'"}


def test_a_broken_format_is_explained() -> None:
    found = reward_row(row(FIVE.format(first="7", final="7") + "!"), "paper", None, exact_score).as_json()
    assert found["note"].startswith("format: at character ")
    assert found["terms"]["format"]["score"] == 0.0
    assert found["total"] == 1.1


def test_preset_answer_takes_one_attempt_or_five_blocks_unless_told() -> None:
    single, five = row("<think>3+4</think><answer>7</answer>"), row(FIVE.format(first="5", final="7"))
    assert reward_row(single, "answer", None, exact_score).as_json()["total"] == 1.5
    assert reward_row(five, "answer", None, exact_score).as_json()["total"] == 1.5
    assert reward_row(single, "answer", "reflective", exact_score).as_json()["terms"]["format"]["score"] == 0.0
    with pytest.raises(ValueError, match="needs the five blocks"):
        reward_row(single, "paper", "single", exact_score)


def test_tokens_are_counted_by_the_documented_rule() -> None:
    assert rough_length("<think>the sum is 12.5</think>") == 8
    assert rough_length("看错了 abc") == 4
    assert rough_length("</thin") == 3
    assert rough_length("") == 0


def test_rows_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"id": 1, "gold": 7, "response": FIVE, "choices": ["x", "y"], "kind": "number", "model": "kept out"},
        "",
        {"id": "b", "gold": "B", "response": "plain", "num_tokens": 10, "first_tokens": 4, "choices": None},
    )
    rows = [found.row for found in read_jsonl(path, RewardRow)]
    problems = [found.row.problem(found.place) for found in read_jsonl(path, RewardRow)]
    assert [row.id for row in rows] == [1, "b"]
    assert [(one.id, one.answer, one.choices, one.kind) for one in problems] == [
        ("1", "7", ("x", "y"), "number"),
        ("b", "B", (), None),
    ]
    assert [one.source for one in problems] == [f"{path}:1", f"{path}:3"]
    assert [(row.tokens.first, row.tokens.total) for row in rows] == [(10, 31), (4, 10)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "f.jsonl:2:2: not valid JSON"),
        ("[1]", "f.jsonl:2: a row is a JSON object with id, gold, .*response.*, not a list"),
        ({"id": 1, "gold": "7"}, "f.jsonl:2: field 'response' is missing; this row has 'id', 'gold'"),
        ({"id": 1, "gold": "7", "response": 7}, "f.jsonl:2: response should be a text, or null for none, not '7'"),
        (
            '{"id": 1, "gold": NaN, "response": ""}',
            "f.jsonl:2: gold should be a text or a number, or null for none, not nan",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "choices": "AB"},
            "f.jsonl:2: choices should be a list of option texts, or null for none, not 'AB'",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "num_tokens": 5},
            "f.jsonl:2: num_tokens and first_tokens belong together",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "num_tokens": 5, "first_tokens": 6},
            "f.jsonl:2: need first_tokens <= num_tokens, got 6 and 5",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "num_tokens": 5, "first_tokens": -1},
            "f.jsonl:2: first_tokens should be greater than or equal to 0, not '-1'",
        ),
        ("[" * 100_000, "f.jsonl:2: not valid JSON: nested too deeply"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path: Path, bad: str | dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_jsonl(write(tmp_path, {"id": 0, "gold": "7", "response": ""}, bad), RewardRow))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"id": "rr", "gold": "7", "response": FIVE.format(first="7", final="7"), "num_tokens": 40, "first_tokens": 20},
        {"id": "wr", "gold": "7", "response": FIVE.format(first="5", final="7"), "num_tokens": 40, "first_tokens": 20},
        {"id": "none", "gold": "", "response": FIVE},
        {"id": "hostile", "gold": "7", "response": "<answer>\ud800" * 3},
    ]
    return Path(write(tmp_path, *rows))


def test_the_command_with_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reward", str(file), "--preset", "paper", "--json"]) == 0
    found = {row["id"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {key: row["total"] for key, row in found.items()} == {"rr": 1.6, "wr": 1.35, "none": None, "hostile": 0.0}
    assert found["wr"]["outcome"] == "wrong→right"
    assert found["none"]["outcome"] is None


def test_the_command_with_a_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reward", str(file), "--preset", "release-openrlhf"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["rr", "1.35", "right→right"]
    assert out[1].split()[:3] == ["wr", "1.60", "wrong→right"]
    assert "ungradable: " in out[2]
    assert out[-1] == (
        "4 rows: mean total 0.983, right→right 1, wrong→right 1, right→wrong 0, wrong→wrong 1, ungradable 1"
    )


def test_unknown_preset_and_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"--preset: 'papper' is not allowed: .*; did you mean 'paper'"):
        run_command(["reward", "x.jsonl", "--preset", "papper"])
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        run_command(["reward", "no-such-file.jsonl"])
