import json
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.cli.reward import Row, count_tokens, read_rows, reward_row
from srpo.core.records import Attempt, Grade, GradedText, Problem, Response, Style, TokenCounts
from srpo.core.response import pieces
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


def row(response: str, gold: str = "7", tokens: tuple[int, int] = (40, 20)) -> Row:
    counts = TokenCounts(prompt=0, total=tokens[0], first=tokens[1])
    return Row("a", Problem(id="a", question="", answer=gold), response, counts)


def lines(*rows: str | dict[str, object]) -> list[bytes]:
    return [(r if isinstance(r, str) else json.dumps(r)).encode() + b"\n" for r in rows]


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
    assert count_tokens("<think>the sum is 12.5</think>") == 8
    assert count_tokens("看错了 abc") == 4
    assert count_tokens("</thin") == 3
    assert count_tokens("") == 0


def test_rows_are_read() -> None:
    found = list(
        read_rows(
            lines(
                {"id": 1, "gold": 7, "response": FIVE, "choices": ["x", "y"], "kind": "number", "model": "kept out"},
                "",
                {"id": "b", "gold": "B", "response": "plain", "num_tokens": 10, "first_tokens": 4, "choices": None},
            ),
            "f.jsonl",
        )
    )
    assert [(r.id, r.problem.answer, r.problem.choices, r.problem.kind) for r in found] == [
        (1, "7", ("x", "y"), "number"),
        ("b", "B", (), None),
    ]
    assert found[0].problem.source == "f.jsonl:1"
    assert (found[0].tokens.first, found[0].tokens.total) == (10, 31)
    assert (found[1].tokens.first, found[1].tokens.total) == (4, 10)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "f.jsonl:2: not a line of JSON"),
        ("[1]", "f.jsonl:2: expected an object with id, gold and response, got list"),
        ({"id": 1, "gold": "7"}, r"f.jsonl:2: no field 'response'; this row has \['gold', 'id'\]"),
        ({"id": 1, "gold": "7", "response": 7}, "f.jsonl:2: response must be text, got 7"),
        ({"id": 1, "gold": True, "response": ""}, "f.jsonl:2: gold must be text or whole number or number, got True"),
        ('{"id": 1, "gold": NaN, "response": ""}', "f.jsonl:2: not a line of JSON: NaN is not JSON"),
        (
            {"id": 1, "gold": "7", "response": "", "choices": "AB"},
            "f.jsonl:2: choices must be a list of texts, got 'AB'",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "num_tokens": 5},
            "f.jsonl:2: num_tokens and first_tokens belong together",
        ),
        (
            {"id": 1, "gold": "7", "response": "", "num_tokens": 5, "first_tokens": 6},
            "f.jsonl:2: need 0 <= first_tokens <= num_tokens, got 6 and 5",
        ),
        ('{"id": 1, "gold": "\\ud800", "response": ""}', "f.jsonl:2: not a usable problem"),
        ("[" * 100_000, "f.jsonl:2: not a line of JSON"),
    ],
)
def test_bad_rows_name_file_and_line(bad: str | dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_rows(lines({"id": 0, "gold": "7", "response": ""}, bad), "f.jsonl"))


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(ValueError, match="1: not a line of JSON: 'utf-8' codec"):
        list(read_rows([b'{"id": "\xff"}'], "f.jsonl"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, object]] = [
        {"id": "rr", "gold": "7", "response": FIVE.format(first="7", final="7"), "num_tokens": 40, "first_tokens": 20},
        {"id": "wr", "gold": "7", "response": FIVE.format(first="5", final="7"), "num_tokens": 40, "first_tokens": 20},
        {"id": "none", "gold": "", "response": FIVE},
        {"id": "hostile", "gold": "7", "response": "<answer>\ud800" * 3},
    ]
    path.write_bytes(b"".join(lines(*rows)))
    return path


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
    with pytest.raises(FileNotFoundError):
        run_command(["reward", "no-such-file.jsonl"])
