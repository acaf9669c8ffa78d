"""Files in, rows out: JSONL, JSON, parquet, folders, data sets of `datasets`, one row at a time, each with its place.

A row that cannot be read is a `Rejected` with its place; a file that cannot be read is a ValueError.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.records import Rejected
from srpo.data.arrow import Undecodable, find_split, is_saved_dataset, iter_hub, iter_saved
from srpo.data.json_array import iter_json_array
from srpo.data.jsonl import LONGEST_LINE, json_lines, parse_json
from srpo.data.parquet import iter_parquet

SUFFIXES = (".jsonl", ".json", ".parquet")
PREFERRED = ("questions.jsonl", "metadata.jsonl")
"""Names that decide in a folder with several data files; `metadata.jsonl` is Hugging Face's convention."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class Row(NamedTuple):
    """One readable row."""

    place: str
    """`file:line` for JSONL, `file[index]` for JSON, `file:row` for parquet and Arrow, `hub:name:row`, the file itself
    beside a picture."""
    stem: str
    """Name of the row for problems without an id: `<file stem>:<line>`."""
    values: Mapping[str, Any]
    folder: Path
    """Folder that relative paths start from."""


def read_rows(path: str, *, split: str = "") -> Iterator[Row | Rejected]:
    """Every row of a file or folder, lazily; `split` names one of a data set with several.

    Raises:
        ValueError: `path` is nothing that we can read, or has no splits.
    """
    place = Path(path)
    if is_saved_dataset(place):
        return _read_saved(find_split(place, split))
    if split:
        raise ValueError(f"{path}: split {split!r}: only data sets of `datasets` have splits; leave it out")
    return _read_any(place)


def stamp(path: str) -> str:
    """Size and time of a data file, or of the files in a folder; empty where nothing of that name is on disk.

    Cheap enough for files of any size; a copy with the same bytes has another stamp.
    """
    place = Path(path)
    if not path or not place.exists():
        return ""
    files = sorted(entry for entry in place.iterdir() if entry.is_file()) if place.is_dir() else [place]
    found = [entry.stat() for entry in files]
    size, changed_ns = sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)
    return f"{len(found)} files, {size} bytes, {changed_ns}"


def read_hub(name: str, *, subset: str = "", split: str = "train", revision: str = "") -> Iterator[Row]:
    """Every row of a data set on the hub, streamed. Raises ValueError when it is out of reach."""
    stem = name.rpartition("/")[2]
    for number, values in enumerate(iter_hub(name, subset, split, revision)):
        yield Row(f"hub:{name}:{number}", f"{stem}:{number}", values, Path.cwd())


def _read_saved(folder: Path) -> Iterator[Row | Rejected]:
    for number, values in enumerate(iter_saved(folder)):
        yield _from_arrow(values, f"{folder}:{number}", f"{folder.name}:{number}", folder)


def _read_any(path: Path) -> Iterator[Row | Rejected]:
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder")
    match path.suffix.lower():
        case ".jsonl":
            return _read_jsonl(path)
        case ".json":
            return _read_json(path)
        case ".parquet":
            return _read_parquet(path)
    raise ValueError(f"{path}: expected a folder or a file that ends in {', '.join(SUFFIXES)}; got {path.suffix!r}")


def _read_folder(path: Path) -> Iterator[Row | Rejected]:
    """The folder's data file, its parquet shards, or its pictures with a JSON file beside each."""
    for name in PREFERRED:
        if (path / name).is_file():
            return _read_jsonl(path / name)
    names = sorted(entry for entry in path.iterdir() if entry.is_file())
    pictures = [entry for entry in names if entry.suffix.lower() in PICTURES]
    if pictures:
        return _read_pictures(pictures)
    if shards := [entry for entry in names if entry.suffix.lower() == ".parquet"]:
        return (row for shard in shards for row in _read_parquet(shard))
    tables = [entry for entry in names if entry.suffix.lower() in {".jsonl", ".json"}]
    if len(tables) == 1:
        return _read_any(tables[0])
    if tables:
        listed = ", ".join(entry.name for entry in tables)
        raise ValueError(f"{path}: several data files ({listed}); name one of them, or call it {PREFERRED[0]}")
    raise ValueError(
        f"{path}: holds neither {' nor '.join(PREFERRED)}, nor a parquet file, nor pictures with JSON files"
    )


def _read_jsonl(path: Path) -> Iterator[Row | Rejected]:
    for line in json_lines(str(path), number=str):
        if line.problem:
            yield Rejected.row(line.place, line.problem)
        else:
            yield _as_row(line.value, line.place, f"{path.stem}:{line.number}", path.parent)


def _read_json(path: Path) -> Iterator[Row | Rejected]:
    for index, entry in enumerate(iter_json_array(path)):
        yield _as_row(entry, f"{path}[{index}]", f"{path.stem}:{index}", path.parent)


def _read_pictures(pictures: list[Path]) -> Iterator[Row | Rejected]:
    for picture in pictures:
        sidecar = picture.with_suffix(".json")
        if not sidecar.is_file():
            yield Rejected.row(str(picture), f"no {sidecar.name} beside it with question and answer")
            continue
        try:
            with sidecar.open("rb") as file:
                text = file.read(LONGEST_LINE + 1)
            if len(text) > LONGEST_LINE:
                raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
            value = parse_json(text)
        except (ValueError, RecursionError, OSError) as error:
            yield Rejected.row(str(sidecar), f"not valid JSON: {error}")
            continue
        row = _as_row(value, str(sidecar), picture.stem, picture.parent)
        yield row._replace(values={"image": picture.name, **row.values}) if isinstance(row, Row) else row


def _read_parquet(path: Path) -> Iterator[Row | Rejected]:
    for row in iter_parquet(path):
        if isinstance(row, Rejected):
            yield row
        else:
            number, values = row
            yield _from_arrow(values, f"{path}:{number}", f"{path.stem}:{number}", path.parent)


def _from_arrow(values: dict[str, Any] | Undecodable, place: str, stem: str, folder: Path) -> Row | Rejected:
    if isinstance(values, Undecodable):
        return Rejected.row(place, "cannot be decoded", f"cannot be decoded: {values.why}")
    return Row(place, stem, values, folder)


def _as_row(value: Any, place: str, stem: str, folder: Path) -> Row | Rejected:
    if not isinstance(value, dict):
        return Rejected.row(place, f"expected a JSON object, got {type(value).__name__}")
    return Row(place, stem, value, folder)
