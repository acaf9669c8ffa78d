"""Every row of a source becomes a problem or a rejection with its place."""

import base64
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from srpo.core.records import Problem, Rejected
from srpo.data.config import DrawnConfig, FieldMapping, SourceConfig
from srpo.data.images import load_image
from srpo.data.sources import ProblemSet, iter_problems, load_problems


def png(color: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(data, "PNG")
    return data.getvalue()


def write(folder: Path, *rows: object, name: str = "data.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "a.png").write_bytes(png())
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def load(path: Path, **settings: object) -> ProblemSet:
    return load_problems(SourceConfig.model_validate({"path": str(path), **settings}))


ROW = {"id": "1", "question": "How many?", "answer": "3"}


def test_layout_of_mmk12(tmp_path: Path) -> None:
    path = write(tmp_path, {**ROW, "image_path": "images/a.png"})
    (problem,) = load(path).problems
    assert (problem.id, problem.question, problem.answer) == ("1", "How many?", "3")
    assert problem.images == (str(tmp_path / "images" / "a.png"),)
    assert problem.source == f"{path}:1"


def test_layout_of_mathvision(tmp_path: Path) -> None:
    row = {
        "id": "2",
        "question": "Which bike is most expensive?\n<image1>",
        "options": ["A", "B"],
        "answer": "A",
        "solution": None,
        "level": 2,
        "subject": "arithmetic",
        "image": "images/a.png",
    }
    (problem,) = load(write(tmp_path, row)).problems
    assert problem.question == "Which bike is most expensive?"
    assert (problem.choices, problem.level, problem.family) == (("A", "B"), 2, "arithmetic")


@pytest.mark.parametrize(
    ("text", "num_pictures", "expected"),
    [
        ("<image>\nHow many?", 1, "How many?"),
        ("<image1> <image 2>How many?<image1>", 2, "How many?"),
        ("<|vision_start|><|image_pad|><|vision_end|>How many <image>?", 2, "How many <image>?"),
        ("How many <|image_pad|>s?<image>", 2, "How many <image>s?"),
        ("Does <image1> fit into <image2>?", 2, "Does <image1> fit into <image2>?"),
        ("Does <image1> fit into <image2>?", 1, "Does <image1> fit into <image2>?"),
        ("Is 3 <image?", 0, "Is 3 <image?"),
    ],
)
def test_placeholders_at_the_ends_go(tmp_path: Path, text: str, num_pictures: int, expected: str) -> None:
    row = {**ROW, "question": text, "image": ["images/a.png"] * num_pictures}
    assert load(write(tmp_path, row)).problems[0].question == expected


def test_a_question_that_is_written_in_the_picture(tmp_path: Path) -> None:
    row = {**ROW, "question": "<image1>", "image": "images/a.png"}
    assert load(write(tmp_path, row)).problems[0].question == "<image1>"


@pytest.mark.parametrize(
    ("written", "answer"),
    [("1.50", "1.50"), ("007", None), ("3", "3"), ("true", "True"), ('["x"]', "x"), ("1e3", "1e3")],
)
def test_answers_stay_as_they_are_written(tmp_path: Path, written: str, answer: str | None) -> None:
    found = load(write(tmp_path, f'{{"question": "q", "answer": {written}}}', ROW))
    assert [problem.answer for problem in found.problems][:-1] == ([answer] if answer is not None else [])
    assert len(found.problems) + len(found.rejected) == 2


def test_long_numbers_are_exact(tmp_path: Path) -> None:
    digits = "7" * 6000
    assert load(write(tmp_path, f'{{"question": "q", "answer": {digits}}}')).problems[0].answer == digits


def test_mapping_and_its_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path, {"q": "How many?", "truth": "3", "pic": ["images/a.png"]})
    mapping = FieldMapping(question="q", answer="truth", images="pic")
    (problem,) = load(path, mapping=mapping).problems
    assert (problem.question, problem.answer, len(problem.images), problem.id) == ("How many?", "3", 1, "data:1")
    with pytest.raises(ValueError, match="no column for the question; the columns are q, truth, pic"):
        load(path)
    with pytest.raises(ValueError, match="'truht'; the columns are q, truth, pic; did you mean 'truth'"):
        load(path, mapping=FieldMapping(question="q", answer="truht"))


def test_bad_rows_are_rejected_with_line_and_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ROW,
        '{"id": "2", "question": "x" "answer": 1}',
        "[1, 2]",
        "",
        {"id": "5", "question": "  ", "answer": "1"},
        {"id": "6", "question": "q"},
        {"id": "7", "question": "q", "answer": "1", "image": "images/none.png"},
        {"id": "8", "question": "q", "answer": "1", "image": "images"},
        {"id": "9", "question": "q", "answer": "1", "image": "https://host/x.png"},
        {"id": "10", "question": "q", "answer": "1", "options": "[broken"},
        {"id": "11", "question": "<image>", "answer": "1"},
        '{"id": "12", "question": "\\ud800", "answer": "1"}',
        '{"id": "13", "question": {"a": 1}, "answer": "1"}',
        "[" * 100_000,
        {"id": "15", "question": "q", "answer": "1", "image": [7]},
    )
    found = load(path)
    assert [problem.id for problem in found.problems] == ["1"]
    assert [(row.place.removeprefix(f"{path}:"), row.detail) for row in found.rejected] == [
        ("2:29", "not valid JSON: Expecting ',' delimiter"),
        ("3", "expected a JSON object, got list"),
        ("5", "column 'question': empty question"),
        ("6", "column 'answer' is missing; this row has id, question"),
        ("7", f"picture 'images/none.png': no such file under {tmp_path}"),
        ("8", "picture 'images': is a directory"),
        ("9", "picture 'https://host/x.png': is an address on the web; download it and give its path"),
        ("10", "column 'options': '[broken' is not a list of options"),
        ("11", "1 placeholder <image> for no picture"),
        ("12", "column 'question': half of a surrogate pair at character 0"),
        ("13", "column 'question': expected a text, got dict"),
        ("14", found.rejected[-2].detail),
        ("15", f"picture '7': no such file under {tmp_path}"),
    ]
    assert "not valid JSON" in found.rejected[-2].reason


def test_invalid_utf8_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b'\n{"question": "\xff", "answer": "1"}\n')
    found = load(path)
    assert len(found.problems) == 1
    assert found.rejected[0].place == f"{path}:2"


def test_a_first_row_without_a_column_does_not_hide_it(tmp_path: Path) -> None:
    found = load(write(tmp_path, {"id": "0", "question": "q"}, ROW))
    assert [problem.id for problem in found.problems] == ["1"]
    assert found.rejected[0].detail == "column 'answer' is missing; this row has id, question"


def test_repeated_ids_are_an_error_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path, ROW, ROW)
    with pytest.raises(ValueError, match=r"data.jsonl:2: id '1' is already used at .*data.jsonl:1"):
        load(path)


def test_choices_in_every_form(tmp_path: Path) -> None:
    forms = (["x", "y"], {"B": "y", "A": "x"}, "['x', 'y']", None, "", [1, 2.5])
    rows = [{"id": str(i), "question": "q", "answer": "A", "choices": form} for i, form in enumerate(forms)]
    found = load(write(tmp_path, *rows)).problems
    assert [problem.choices for problem in found] == [("x", "y")] * 3 + [()] * 2 + [("1", "2.5")]


def test_image_root_and_limit(tmp_path: Path) -> None:
    write(tmp_path / "pictures")
    path = write(tmp_path / "data", *({**ROW, "id": str(i), "image": "a.png"} for i in range(5)))
    source = SourceConfig(path=str(path), image_root=str(tmp_path / "pictures" / "images"))
    found = load_problems(source, limit=3)
    assert [problem.id for problem in found.problems] == ["0", "1", "2"]
    assert all(load_image(problem.images[0]).size == (4, 4) for problem in found.problems)


def test_rows_are_read_lazily(tmp_path: Path) -> None:
    path = write(tmp_path, *({**ROW, "id": str(i)} for i in range(2000)))
    iterator = iter_problems(SourceConfig(path=str(path)))
    assert isinstance(next(iterator), Problem)
    assert len(load_problems(SourceConfig(path=str(path)), limit=1).problems) == 1


def test_parquet_with_embedded_pictures(tmp_path: Path) -> None:
    store = tmp_path / "store"
    picture = {"bytes": png(), "path": None}
    table = pa.table(
        {
            "problem": ["a", "b", None],
            "answer": ["1", "2", "3"],
            "images": [[picture], [picture, {"bytes": png((0, 0, 255)), "path": "b.png"}], []],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    found = load(tmp_path / "x.parquet", image_store=str(store))
    assert [problem.id for problem in found.problems] == ["x:0", "x:1"]
    assert [len(problem.images) for problem in found.problems] == [1, 2]
    assert len({ref for problem in found.problems for ref in problem.images}) == 2
    assert load_image(found.problems[1].images[1]).getpixel((0, 0)) == (0, 0, 255)
    assert found.rejected == (Rejected.row(f"{tmp_path / 'x.parquet'}:2", "column 'problem': empty question"),)
    assert len([entry for entry in store.rglob("*") if entry.is_file()]) == 2


def test_damaged_parquet_and_json(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match="not a readable parquet file"):
        load(tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text('[\n{"a": }]')
    with pytest.raises(ValueError, match=r"x.json:2:7: not valid JSON"):
        load(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="expected a JSON array of objects"):
        load(tmp_path / "x.json")


def test_json_array_and_data_url(tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    rows = [{**ROW, "image": url}, {"question": "q", "answer": "1", "image": "data:image/png;base64,%%%"}]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    found = load(tmp_path / "x.json", image_store=str(tmp_path / "store"))
    assert load_image(found.problems[0].images[0]).size == (4, 4)
    assert found.rejected[0].place == f"{tmp_path / 'x.json'}[1]"
    assert "damaged data URL" in found.rejected[0].reason


def test_folders(tmp_path: Path) -> None:
    write(tmp_path / "named", ROW, name="questions.jsonl")
    write(tmp_path / "named", ROW, ROW, name="other.jsonl")
    assert len(load(tmp_path / "named").problems) == 1
    write(tmp_path / "hub", {**ROW, "file_name": "images/a.png"}, name="metadata.jsonl")
    assert len(load(tmp_path / "hub").problems[0].images) == 1
    write(tmp_path / "single", ROW, name="test.jsonl")
    assert len(load(tmp_path / "single").problems) == 1
    write(tmp_path / "several", ROW, name="a.jsonl")
    write(tmp_path / "several", ROW, name="b.jsonl")
    with pytest.raises(ValueError, match=r"several data files \(a.jsonl, b.jsonl\)"):
        load(tmp_path / "several")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"holds neither questions\.jsonl"):
        load(tmp_path / "none")


def test_folder_of_pictures_with_a_file_beside_each(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "a.json").write_text(json.dumps({"question": "q", "answer": "1"}))
    (tmp_path / "c.json").write_text("{")
    found = load(tmp_path)
    assert [(problem.id, problem.images) for problem in found.problems] == [("a", (str(tmp_path / "a.png"),))]
    assert [(Path(row.place).name, row.reason[:14]) for row in found.rejected] == [
        ("b.png", "no b.json besi"),
        ("c.json", "not valid JSON"),
    ]


def test_shards_of_parquet(tmp_path: Path) -> None:
    for shard in range(2):
        table = pa.table({"question": [f"q{shard}"], "answer": ["1"]})
        pq.write_table(table, tmp_path / f"data-{shard}.parquet")
    assert [problem.question for problem in load(tmp_path).problems] == ["q0", "q1"]


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(ValueError, match=r"ends in .jsonl, .json, .parquet; got '.csv'"):
        load(tmp_path / "x.csv")


def test_empty_file(tmp_path: Path) -> None:
    assert load(write(tmp_path)) == ProblemSet((), ())
    assert load(write(tmp_path, "{")).rejected[0].reason.startswith("not valid JSON")


def test_short_forms() -> None:
    assert SourceConfig.model_validate("x.jsonl") == SourceConfig(path="x.jsonl")
    assert SourceConfig.model_validate("drawn:dev").drawn == DrawnConfig(split="dev")
    assert SourceConfig.model_validate("drawn").label == "drawn:train"
    for wrong in ("drawn:tset", {}, {"path": "x", "drawn": {}}):
        with pytest.raises(ValidationError):
            SourceConfig.model_validate(wrong)


def test_drawn_problems() -> None:
    source = SourceConfig(drawn=DrawnConfig(split="dev", families=("pairs",), levels=(1,), count=4, seed=3))
    found = load_problems(source)
    assert found == load_problems(source)
    assert len({problem.id for problem in found.problems}) == 4
    assert {problem.family for problem in found.problems} == {"pairs"}
