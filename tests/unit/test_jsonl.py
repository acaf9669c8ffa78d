"""Rows of users' JSONL: what is taken, and the one wording of what is not."""

import gzip
import io
from pathlib import Path

import pytest

from srpo.data.ids import check_new
from srpo.data.jsonl import AnswerText, IdText, JsonRow, OptionTexts, PlainText, RowId, json_lines, read_jsonl


class Row(JsonRow):
    id: IdText
    key: RowId = "none"
    answer: AnswerText = ""
    text: PlainText = ""
    options: OptionTexts = ()


def write(path: Path, text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


def read(path: str) -> list[Row]:
    return [found.row for found in read_jsonl(path, Row)]


def test_numbers_stay_as_they_are_written_and_null_is_nothing(tmp_path: Path) -> None:
    long = "9" * 5000
    path = write(
        tmp_path / "a.jsonl",
        f'{{"id": 7.50, "key": 12, "answer": {long}, "options": [1.0, "b", null], "more": {{}}}}\n\n'
        '{"id": "x", "key": 1.5, "answer": true, "text": null, "options": null}',
    )
    first, second = read(path)
    assert (first.id, first.key, first.answer, first.options) == ("7.50", 12, long, ("1.0", "b", ""))
    assert (second.id, second.key, second.answer, second.text, second.options) == ("x", "1.5", "True", "", ())
    assert {type(one) for one in (first.id, first.answer, *first.options, second.key)} == {str}


def test_places_count_blank_lines_and_byte_order_marks_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '\ufeff{"id": "a"}\n \n\ufeff{"id": "\\ud800b"}\n')
    assert [(found.row.id, found.number, found.place) for found in read_jsonl(path, Row)] == [
        ("a", 1, f"{path}:1"),
        ("\ufffdb", 3, f"{path}:3"),
    ]


def test_compressed_files_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row.id for row in read(write(tmp_path / "a.jsonl.gz", '{"id": "z"}\n'))] == ["z"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"id": "s"}\n{')))
    with pytest.raises(ValueError, match=r"^<stdin>:2:2: not valid JSON: Expecting property name"):
        read("-")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a", }', ":1:13: not valid JSON: Expecting property name"),
        ("[" * 100_000, ":1: not valid JSON: nested too deeply"),
        (b'{"id": "\xff"}', ":1: not UTF-8 text (invalid start byte at byte 8)"),
        ("7", ":1: a row is a JSON object with id, key, answer, text, options, not a number"),
        ("null", ":1: a row is a JSON object with id, key, answer, text, options, not null"),
        ("{}", ":1: field 'id' is missing; this row has nothing"),
        ('{"ID": 1, "text": ""}', ":1: field 'id' is missing; this row has 'ID', 'text'"),
        ('{"id": ""}', ":1: id should be a text or a number, not ''"),
        ('{"id": true}', ":1: id should be a text or a number, not True"),
        ('{"id": "a", "text": 7}', ":1: text should be a text, or null for none, not '7'"),
        ('{"id": "a", "answer": NaN}', ":1: answer should be a text or a number, or null for none, not nan"),
        ('{"id": "a", "options": "AB"}', ":1: options should be a list of option texts, or null for none, not 'AB'"),
        ('{"id": "a", "options": [["x"]]}', ":1: options.0 should be a text or a number, or null for none, not ['x']"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, line: str | bytes, message: str) -> None:
    path = write(tmp_path / "a.jsonl", line)
    with pytest.raises(ValueError, match=r"a\.jsonl") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_line_without_end_is_told_and_not_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": "a"}\n' + "x" * 5_000_000 + '\n{"id": "b"}\n')
    found = list(json_lines(path, longest=1000))
    assert [(line.number, line.problem) for line in found] == [(1, ""), (2, "longer than 1,000 bytes"), (3, "")]
    with pytest.raises(ValueError, match=r"a\.jsonl:2: longer than 1,000 bytes"):
        list(read_jsonl(path, Row, longest=1000))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.jsonl' cannot be read: No such file"):
        read(str(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read(str(tmp_path))
    path = Path(write(tmp_path / "cut.jsonl.gz", '{"id": "a"}\n' * 1000))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"cut\.jsonl\.gz:\d+: the compressed file is damaged"):
        read(str(path))
    (tmp_path / "no.gz").write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"no\.gz' cannot be read: Not a gzipped file"):
        read(str(tmp_path / "no.gz"))


def test_an_id_that_comes_again_names_both_places() -> None:
    check_new("a", "f:2", None)
    with pytest.raises(ValueError, match=r"^f:2: id 'a' is already used at f:1; ids must be unique$"):
        check_new("a", "f:2", "f:1")
