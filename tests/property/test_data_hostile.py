"""Whatever a file or a row holds, it becomes a problem or is told by place; nothing else is raised."""

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from srpo.core.records import Problem, Rejected
from srpo.data.check import Checker
from srpo.data.config import SourceConfig
from srpo.data.images import MAX_ASPECT, ImageError, check_image, read_image, store_image
from srpo.data.placeholders import PLACEHOLDER, bare, mismatch
from srpo.data.sources import iter_problems, iter_questions

SAVED = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


def encoded(name: str, mode: str, size: tuple[int, int], frames: int) -> bytes:
    images = [Image.new(mode, size, number) for number in range(frames)]
    data = io.BytesIO()
    others = {"save_all": True, "append_images": images[1:]} if frames > 1 and name not in {"JPEG", "BMP"} else {}
    images[0].save(data, name, **others)
    return data.getvalue()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture of one of the formats with bytes changed, cut out or put in."""
    mode = draw(st.sampled_from(["L", "RGB"]))
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    data = bytearray(encoded(draw(st.sampled_from(SAVED)), mode, size, draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@SETTINGS
@given(data=damaged() | st.binary(max_size=200))
def test_damaged_files_are_pictures_or_named(folder: Path, data: bytes) -> None:
    path = folder / "x.png"
    path.write_bytes(data)
    reason = check_image(str(path))
    assert reason is None or reason.startswith(f"{path}: ")
    if reason is None:
        image = read_image(str(path), max_pixels=10_000).image
        assert image.mode == "RGB"
        assert image.width * image.height <= 10_000
        assert max(image.size) <= MAX_ASPECT * min(image.size)
    with contextlib.suppress(ImageError):
        store_image(data, folder / "store")


@SETTINGS
@given(ref=st.text(max_size=600) | st.text("./~a\ud800\0", max_size=5000))
def test_any_text_is_a_reference_or_named(ref: str) -> None:
    reason = check_image(ref)
    assert reason is None or len(reason) < 600


@SETTINGS
@given(mode=st.sampled_from(["1", "L", "P", "RGB"]), width=st.integers(1, 3000), height=st.integers(1, 60))
def test_every_size_and_mode_is_bounded(folder: Path, mode: str, width: int, height: int) -> None:
    path = folder / "whole.png"
    Image.new(mode, (width, height)).save(path)
    image = read_image(str(path)).image
    assert max(image.size) <= MAX_ASPECT * min(image.size)
    assert image.width * image.height <= max(width * height, (width + MAX_ASPECT) ** 2 // MAX_ASPECT, height * height)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    | st.text("<image 1>|_pd[]{}:'\"\\/", max_size=60)
    | st.sampled_from(["a.png", "file://a.png", "data:image/png;base64,AAAA", "[1", "{[]: 1}", "{1: 'a', 'b': 'c'}"])
    | st.sampled_from(["\ud800", "drawn:x", "<image>", "[" * 5000, "9" * 5000])
)  # fmt: skip
KEYS = ("role", "from", "content", "value", "type", "text", "image", "url", "bytes", "path")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
COLUMNS = (
    *("id", "question", "problem", "query", "prompt", "answer", "solution", "choices", "options", "level", "kind"),
    *("family", "caption", "images", "image", "image_1", "image_urls", "decoded_image", "other"),
    *("messages", "conversations", "message", "reward_model", "extra_info", "content"),
)
SOUND = {"question": "How many?", "answer": "3"}


@SETTINGS
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=8), min_size=1, max_size=4),
    adapter=st.sampled_from(["auto", "columns", "chat", "verl", "llava-cot", "mulberry", "mathv360k"]),
    is_lenient=st.booleans(),
    is_nearly_sound=st.booleans(),
)
def test_any_row_is_a_problem_or_told_by_its_place(
    folder: Path, rows: list[dict[str, object]], adapter: str, is_lenient: bool, is_nearly_sound: bool
) -> None:
    path = folder / "rows.jsonl"
    if is_nearly_sound:
        rows = [{**row, **SOUND} for row in rows]
    # One row that is sound, so that the columns of a problem are there.
    path.write_text("".join(json.dumps(row) + "\n" for row in [SOUND, *rows]))
    source = SourceConfig.model_validate({"path": str(path), "adapter": adapter, "image_store": str(folder / "store")})
    items = list(iter_questions(source) if is_lenient else iter_problems(source))
    assert [_line(item) for item in items] == list(range(1, len(rows) + 2))
    with Checker() as checker:
        for item in items:
            item.model_dump_json()
            checker.look_at(item)
        report = checker.report()
    assert report.num_usable + report.num_bad == report.num_rows == len(items)


def _line(item: Problem | Rejected) -> int:
    place = item.source if isinstance(item, Problem) else item.place
    return int(place.split(".jsonl:")[1])


@SETTINGS
@given(
    text=st.text("<image 1>_|pad\n ", max_size=200)
    | st.lists(st.sampled_from(["<image>", " ", "a", "<|image_pad|>"])).map("".join)
)
def test_bare_texts_have_no_placeholder_at_their_ends_and_lose_nothing_else(text: str) -> None:
    found = bare(text)
    assert bare(found) == found
    kept = "".join(PLACEHOLDER.sub("", text).split())
    assert "".join(PLACEHOLDER.sub("", found).split()) == kept


@pytest.mark.parametrize(
    "text", ["<image>" * 200_000, "a" + "<image>\n" * 200_000, " " * 200_000 + "<image", "<|image_pad|>" * 100_000]
)
def test_placeholders_without_end_cost_little(text: str) -> None:
    before = time.process_time()
    bare(text)
    mismatch([text], 1)
    assert time.process_time() - before < 3
