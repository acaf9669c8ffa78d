"""Files that want memory, time or another program, under the names of pictures."""

import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from srpo.data.images import MAX_FILE_BYTES, ImageError, StoreError, check_image, load_image, read_image, store_image
from srpo.data.rgb import MAX_DECODED_BYTES, excess, padded_size
from srpo.export.pictures import read_picture

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def grey_png(width: int, height: int, bits: int = 1) -> bytes:
    """A white picture of this size in as few bytes as PNG allows."""
    packer = zlib.compressobj(9)
    row = bytes(1) + b"\xff" * ((width * bits + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("width", [100_000, 200_000, 400_000, 89_000_000])
@pytest.mark.parametrize("is_tall", [False, True])
def test_padding_is_within_the_bound_and_known_from_the_header(tmp_path: Path, width: int, is_tall: bool) -> None:
    path = tmp_path / "line.png"
    path.write_bytes(grey_png(1, width) if is_tall and width < 1_000_000 else grey_png(width, 1))
    tracemalloc.start()
    reason = check_image(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "padded to" in (reason or "")
    assert "scale it down" in (reason or "")
    assert peak < 4 << 20


def test_what_is_within_the_bound_after_padding_is_read(tmp_path: Path) -> None:
    (tmp_path / "line.png").write_bytes(grey_png(30_000, 1))
    assert load_image(str(tmp_path / "line.png")).size == (30_000, 300)
    for size in ((89_478_485, 1), (9_459, 9_459), (94_000, 10)):
        width, height = padded_size(size)
        assert (excess(size) is None) == (4 * width * height <= MAX_DECODED_BYTES)


@pytest.mark.parametrize("name", ["x.png", "x.eps", "x.ps"])
def test_no_other_program_is_started_on_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / name
    path.write_bytes(POSTSCRIPT)
    assert "not a picture; read are PNG, JPEG, WEBP, GIF, BMP, TIFF" in (check_image(str(path)) or "")
    with pytest.raises(ImageError, match="not a picture"):
        store_image(POSTSCRIPT, tmp_path / "store")
    with pytest.raises(ImageError, match="not a picture"):
        read_picture(str(path))
    assert not started.exists()


@pytest.mark.parametrize(("suffix", "mode"), [("ppm", "RGB"), ("tga", "RGB"), ("ico", "RGBA"), ("pcx", "RGB")])
def test_only_the_six_formats_are_read(tmp_path: Path, suffix: str, mode: str) -> None:
    Image.new(mode, (16, 16)).save(tmp_path / f"x.{suffix}")
    assert "not a picture" in (check_image(str(tmp_path / f"x.{suffix}")) or "")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_each_of_the_six_formats_is_read(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / f"x.{suffix}")
    assert load_image(str(tmp_path / f"x.{suffix}")).size == (16, 16)
    stored = store_image((tmp_path / f"x.{suffix}").read_bytes(), tmp_path / "store")
    assert load_image(str(stored)).size == (16, 16)


def test_a_hundred_thousand_frames_cost_no_time(tmp_path: Path) -> None:
    """Each frame of this TIFF is an empty directory that points at the next one."""
    values = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 278: 1, 279: 1}
    frame = struct.pack("<H", len(values))
    frame += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    length = len(frame) + 4
    count = 100_000
    path = tmp_path / "many.tif"
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 12) + bytes(4))
        for number in range(count):
            file.write(frame + struct.pack("<I", 12 + (number + 1) * length if number + 1 < count else 0))
    before = time.process_time()
    loaded = read_image(str(path))
    assert time.process_time() - before < 2
    assert loaded.notes == ("first frame used, there are others",)


def test_a_file_of_two_hundred_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(200 << 30)
    assert check_image(str(path)) == f"{path}: {200 << 30:,} bytes, more than {MAX_FILE_BYTES:,}"


@pytest.mark.parametrize("ref", ["x" * 300, "x" * 5000, "a/" * 3000, "\ud800.png", "a\0b", "", " "])
def test_names_that_no_file_can_have(ref: str) -> None:
    assert len(check_image(ref) or "") in range(1, 400)


def test_a_pipe_and_a_device_are_no_pictures(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert check_image(str(tmp_path / "pipe.png")) == f"{tmp_path / 'pipe.png'}: not a plain file"
    assert check_image("/dev/zero") == "/dev/zero: not a plain file"


def test_a_store_without_room_is_not_the_pictures_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(StoreError, match="embedded pictures cannot be kept there"):
        store_image((tmp_path / "x.png").read_bytes(), tmp_path / "file")
