"""Whatever a file or a row holds, it becomes a problem or is told by place; nothing else is raised."""

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from srpo.data.images import MAX_ASPECT, ImageError, check_image, read_image, store_image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
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
    data = bytearray(encoded(draw(st.sampled_from(FORMATS)), mode, size, draw(st.integers(1, 3))))
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
