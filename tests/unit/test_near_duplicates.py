"""Near-duplicates: which differences count and which do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from srpo.core.records import Problem
from srpo.reflect.near_duplicates import NearDuplicates

LONG = "In the figure, what is the length of the side of the square?"
SHORT = "Find x."


@pytest.fixture
def known(tmp_path: Path) -> Iterator[NearDuplicates]:
    with NearDuplicates(tmp_path / "known.sqlite") as found:
        yield found


def problem(question: str, *images: Path, number: int = 0) -> Problem:
    return Problem(id=str(number), question=question, answer="1", images=tuple(map(str, images)), source=f"f:{number}")


def figure(path: Path, *, label: str = "", size: int = 96, **options: int) -> Path:
    image = Image.new("RGB", (96, 96), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 20, 60, 80), fill="black")
    draw.text((70, 5), label, fill="black")
    image.resize((size, size)).save(path, None, **options)
    return path


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("What is 2+3?", "what is  2 + 3", True),
        ("What is 2+3?", "What is 2-3?", False),
        ("What is 2.5?", "What is 25?", False),
        ("<image>How many bars?", "How many bars? <image 1>", True),
        ("Ｈow many？", "How many?", True),
        ("有几个三角形？", "有几个三角形", True),
        ("How many red bars?", "How many blue bars?", False),
    ],
)
def test_what_counts_as_the_same_question(known: NearDuplicates, first: str, second: str, same: bool) -> None:
    assert known.first_like(problem(first, number=1)) is None
    assert known.first_like(problem(second, number=2)) == ("f:1" if same else None)


def test_equal_pixels_are_the_same_picture_whatever_the_file(known: NearDuplicates, tmp_path: Path) -> None:
    png, bmp = figure(tmp_path / "a.png"), figure(tmp_path / "b.bmp")
    assert known.first_like(problem(SHORT, png, number=1)) is None
    assert known.first_like(problem(SHORT, bmp, number=2)) == "f:1"


def test_look_alikes_are_the_same_under_a_long_question_only(known: NearDuplicates, tmp_path: Path) -> None:
    original, small = figure(tmp_path / "a.png"), figure(tmp_path / "b.jpg", size=64, quality=60)
    for number, question in ((1, LONG), (2, SHORT)):
        assert known.first_like(problem(question, original, number=number)) is None
    assert known.first_like(problem(LONG, small, number=3)) == "f:1"
    assert known.first_like(problem(SHORT, small, number=4)) is None


def test_the_same_question_about_other_pictures_is_another_problem(known: NearDuplicates, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.radial_gradient("L").save(other)
    assert known.first_like(problem(LONG, figure(tmp_path / "a.png"), number=1)) is None
    assert known.first_like(problem(LONG, other, number=2)) is None
    assert known.first_like(problem(LONG, number=3)) is None
    assert known.first_like(problem(LONG, other, figure(tmp_path / "c.png"), number=4)) is None
    assert known.first_like(problem(LONG, other, number=5)) == "f:2"
