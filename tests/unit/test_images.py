"""Pictures of every mode and size, and files that are none."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srpo.data.images import MAX_ASPECT, ImageError, check_image, image_hash, load_image, read_image, store_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def save(image: Image.Image, path: Path, **options: object) -> str:
    image.save(path, None, **options)
    return str(path)


def pixel(ref: str, x: int = 0, y: int = 0) -> tuple[int, ...]:
    image = load_image(ref)
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 90, (90, 90, 90)),
        ("LA", (90, 255), (90, 90, 90)),
        ("LA", (0, 0), WHITE),
        ("RGB", RED, RED),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (0, 0, 0, 0), WHITE),
        ("RGBA", (0, 0, 0, 127), (128, 128, 128)),
    ],
)
def test_modes_become_rgb_on_white(
    tmp_path: Path, mode: str, color: int | tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert pixel(save(Image.new(mode, (4, 4), color), tmp_path / "x.png")) == expected


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    assert pixel(save(image, tmp_path / "opaque.png")) == RED
    assert pixel(save(image, tmp_path / "clear.png", transparency=1)) == WHITE


def test_rgb_and_grey_with_a_transparent_colour(tmp_path: Path) -> None:
    assert pixel(save(Image.new("RGB", (2, 2), RED), tmp_path / "rgb.png", transparency=RED)) == WHITE
    assert pixel(save(Image.new("L", (2, 2), 7), tmp_path / "l.png", transparency=7)) == WHITE


def test_cmyk_jpeg(tmp_path: Path) -> None:
    ref = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "x.jpg", quality=100)
    assert all(abs(got - want) < 12 for got, want in zip(pixel(ref), RED, strict=True))


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257 * 100, 100), (65535, 255), (300, 1)])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, value: int, expected: int) -> None:
    image = Image.fromarray(np.full((4, 4), value, dtype=np.uint16))
    assert pixel(save(image, tmp_path / "x.png")) == (expected,) * 3


def test_thirty_two_bit_and_float_grey(tmp_path: Path) -> None:
    wide = Image.fromarray(np.array([[0, 2_000_000]], dtype=np.int32))
    assert pixel(save(wide, tmp_path / "i.tif"), 1) == WHITE
    unit = Image.fromarray(np.array([[0.0, 0.5, float("nan")]], dtype=np.float32))
    assert pixel(save(unit, tmp_path / "f.tif"), 1) == (128, 128, 128)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), WHITE)
    image.paste(RED, (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    ref = save(image, tmp_path / "x.png", exif=exif)
    assert load_image(ref).size == (10, 20)
    assert pixel(ref, 5, 2) == RED
    assert pixel(ref, 5, 17) == WHITE


def test_animation_uses_the_first_frame_and_says_so(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, WHITE)]
    ref = save(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    loaded = read_image(ref)
    assert loaded.notes == ("first frame used, there are others",)
    assert loaded.image.getpixel((0, 0)) == RED


def test_one_pixel_works(tmp_path: Path) -> None:
    loaded = read_image(save(Image.new("RGB", (1, 1), RED), tmp_path / "x.png"))
    assert (loaded.image.size, loaded.notes) == ((1, 1), ())


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (3, 5000)])
def test_long_pictures_are_padded_and_it_is_reported(tmp_path: Path, size: tuple[int, int]) -> None:
    loaded = read_image(save(Image.new("RGB", size, RED), tmp_path / "x.png"))
    assert max(loaded.image.size) == max(size)
    assert max(loaded.image.size) / min(loaded.image.size) <= MAX_ASPECT
    assert f"{size[0]}x{size[1]} padded with white" in loaded.notes[0]
    width, height = loaded.image.size
    assert loaded.image.getpixel(((width - 1) // 2, (height - 1) // 2)) == RED
    assert loaded.image.getpixel((width - 1, height - 1)) == WHITE


@pytest.mark.parametrize("size", [(640, 480), (1, 1000), (5000, 50), (50, 50)])
def test_max_pixels_bounds_the_area_and_never_enlarges(tmp_path: Path, size: tuple[int, int]) -> None:
    loaded = read_image(save(Image.new("RGB", size, RED), tmp_path / "x.png"), max_pixels=10_000)
    width, height = loaded.image.size
    assert width * height <= 10_000
    assert max(width, height) / min(width, height) <= MAX_ASPECT
    assert (width, height) == (50, 50) or "scaled" in loaded.notes[-1] or "padded" in loaded.notes[-1]


def png_bytes(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def broken_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.png"
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(picture, "PNG")
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(picture.getvalue()[:700])
        case "text":
            path.write_text("<html>404</html>")
        case "corrupt":
            data = bytearray(picture.getvalue())
            data[60:90] = bytes(30)
            path.write_bytes(bytes(data))
        case "bomb":
            path.write_bytes(png_bytes(60_000, 60_000))
        case "large":
            path.write_bytes(png_bytes(10_000, 10_000))
        case "directory":
            path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "empty file"),
        ("truncated", "truncated picture"),
        ("text", "not a picture"),
        ("corrupt", "damaged picture"),
        ("bomb", "pixels"),
        ("large", "10000x10000 pixels"),
        ("directory", "is a directory"),
        ("missing", "no such file"),
    ],
)
def test_unusable_files_name_file_and_reason(tmp_path: Path, kind: str, reason: str) -> None:
    path = broken_file(kind, tmp_path)
    with pytest.raises(ImageError) as error:
        load_image(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert check_image(str(path)) == str(error.value)


def test_truncated_jpeg(tmp_path: Path) -> None:
    whole = Path(save(Image.effect_noise((200, 200), 60), tmp_path / "whole.jpg"))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-800])
    assert check_image(str(whole)) is None
    assert "truncated" in (check_image(str(cut)) or "")


def test_a_name_that_is_none() -> None:
    assert "not a file name" in (check_image("a\0b") or "")


def test_drawn_references() -> None:
    assert load_image("drawn:pairs/1/7").mode == "RGB"
    assert image_hash("drawn:pairs/1/7") == image_hash("drawn:pairs/1/7")
    assert image_hash("drawn:pairs/1/7") != image_hash("drawn:pairs/1/8")
    with pytest.raises(ImageError, match="drawn:nothing"):
        load_image("drawn:nothing")


def test_store_writes_once_under_the_hash(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (3, 3), RED).save(data, "PNG")
    path = store_image(data.getvalue(), tmp_path / "store")
    before = path.stat().st_mtime_ns
    assert store_image(data.getvalue(), tmp_path / "store") == path
    assert path.stat().st_mtime_ns == before
    assert path.stem == image_hash(str(path))
    assert pixel(str(path)) == RED
    with pytest.raises(ImageError, match="embedded picture: not a picture"):
        store_image(b"nonsense", tmp_path / "store")
    assert [entry.name for entry in (tmp_path / "store").rglob("*") if entry.is_file()] == [path.name]
