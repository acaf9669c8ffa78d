"""Problems of benchmarks are recognised by picture and by question, and look-alikes are left alone."""

import json
import random
from pathlib import Path

import pytest
from PIL import Image

from srpo.cli.main import run_command
from srpo.core.records import Problem
from srpo.data.images import ImageError
from srpo.data.leakage import Benchmarks, look, question_key

LONG = "In the figure, the tangent touches the circle at P; how long is the chord AB in centimetres?"


def drawing(path: Path, seed: int, *, scale: int = 1, quality: int = 90) -> str:
    """A picture with structure: blocks of grey from a seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = random.Random(seed).randbytes(120)
    Image.frombytes("L", (12, 10), cells).resize((240 * scale, 200 * scale)).convert("RGB").save(path, quality=quality)
    return str(path)


def problem(question: str, *images: str) -> Problem:
    return Problem(id="p", question=question, answer="1", images=images, source="train.jsonl:1")


@pytest.fixture
def benchmarks(tmp_path: Path) -> Benchmarks:
    drawing(tmp_path / "a.png", 1)
    drawing(tmp_path / "b.png", 2)
    rows = [{"question": LONG, "image": "a.png"}, {"question": "Find x.", "image": "b.png"}, {"question": "Why?"}]
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Benchmarks.load([str(path)])


def test_a_picture_with_the_same_pixels(tmp_path: Path, benchmarks: Benchmarks) -> None:
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "copy.webp", lossless=True)
    found = benchmarks.found_in(problem("Something else entirely?", str(tmp_path / "copy.webp")))
    assert found == f"picture {str(tmp_path / 'copy.webp')!r} is that of {tmp_path / 'test.jsonl'}:1"


@pytest.mark.parametrize(
    "disguised",
    [
        LONG,
        LONG.upper().replace(",", ""),
        f"<image>\nHint: Please answer with a number, e.g., 1.\nQuestion: {LONG}\nChoices:\n(A) 3\n(B) 4",
        f"{LONG}\nA. 3\nB. 4",
        f"{LONG} Answer the question using a single word or phrase.",
    ],
)
def test_a_long_question_in_any_frame(benchmarks: Benchmarks, disguised: str) -> None:
    assert str(benchmarks.found_in(problem(disguised))).startswith("same question as")


def test_a_short_question_needs_a_picture_that_looks_the_same(tmp_path: Path, benchmarks: Benchmarks) -> None:
    scaled = drawing(tmp_path / "scaled.jpg", 2, scale=2, quality=60)
    other = drawing(tmp_path / "other.png", 9)
    assert str(benchmarks.found_in(problem("find X", scaled))).startswith("same question and picture as")
    assert benchmarks.found_in(problem("find X", other)) is None
    assert benchmarks.found_in(problem("find y", scaled)) is None
    assert benchmarks.found_in(problem("find X")) is None


def test_a_short_question_without_pictures(tmp_path: Path, benchmarks: Benchmarks) -> None:
    assert benchmarks.found_in(problem("Why?")) is not None
    assert benchmarks.found_in(problem("Why?", drawing(tmp_path / "other.png", 9))) is None


def test_words_are_counted_in_every_script() -> None:
    assert question_key("如图，在三角形中，求阴影部分的面积是多少平方厘米？")[1] >= 8
    assert question_key("Find x.")[1] == 2
    assert question_key("<image>")[1] == 0


def test_looks_survive_scaling(tmp_path: Path) -> None:
    with Image.open(drawing(tmp_path / "x.png", 3)) as one, Image.open(drawing(tmp_path / "y.jpg", 3, scale=3)) as two:
        assert (look(one) ^ look(two)).bit_count() <= 4
    assert look(Image.new("RGB", (1, 1))) == 0


def test_benchmarks_without_pictures_or_answers_still_protect(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps([{"question": LONG, "image": "not/here.png"}, 7]))
    benchmarks = Benchmarks.load([str(path)])
    assert (benchmarks.num_problems, benchmarks.num_rejected) == (1, 1)
    assert benchmarks.found_in(problem(LONG)) == f"same question as {path}[0]"


def test_a_benchmark_that_protects_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds no usable problem"):
        Benchmarks.load([str(tmp_path / "b.json")])


def test_a_missing_picture_is_an_error(benchmarks: Benchmarks) -> None:
    with pytest.raises(ImageError, match="no such file"):
        benchmarks.found_in(problem("q", "/none.png"))


def test_data_check_lists_test_problems(
    tmp_path: Path, benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmarks.num_problems == 3
    (tmp_path / "train.jsonl").write_text(json.dumps({"id": "t", "question": LONG, "answer": "5"}) + "\n")
    train, test = str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl")
    assert run_command(["data", "check", train, "--benchmarks", test]) == 1
    assert f"train.jsonl:1: in a benchmark: same question as {tmp_path / 'test.jsonl'}:1" in capsys.readouterr().out
