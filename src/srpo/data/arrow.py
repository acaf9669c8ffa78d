"""Data sets of the `datasets` library: folders that it wrote with `save_to_disk`, and names on the hub.

The folders are Arrow streams beside two JSON files, so that reading them needs no `datasets`.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROWS_AT_ONCE = 64
"""Rows decoded at a time: embedded pictures are large."""
STATE, SPLITS = "state.json", "dataset_dict.json"
"""Files by which a folder is known: one data set, and several splits."""


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def find_split(folder: Path, split: str) -> Path:
    """The folder of one split; ValueError when it does not exist, or there are several and none is named."""
    if (folder / STATE).is_file():
        if split:
            raise ValueError(f"{folder}: is one split by itself; leave out split {split!r}")
        return folder
    known = _read_json(folder / SPLITS)
    names = [str(name) for name in known.get("splits") or ()] if isinstance(known, dict) else []
    if not names:
        raise ValueError(f"{folder / SPLITS}: names no splits; was it written by `save_to_disk`?")
    if not split and len(names) > 1:
        raise ValueError(f"{folder}: has the splits {', '.join(names)}; name one with split")
    chosen = split or names[0]
    if chosen not in names:
        raise ValueError(f"{folder}: has no split {chosen!r}; it has {', '.join(names)}")
    return folder / chosen


class Undecodable(NamedTuple):
    """Stands for a row that Arrow holds and Python cannot take."""

    why: str


def iter_saved(folder: Path) -> Iterator[dict[str, Any] | Undecodable]:
    """The rows of one split, in order. Raises ValueError when a file is missing or damaged."""
    import pyarrow as pa  # slow to import, needed for Arrow alone

    for name in _files_of(folder):
        path = folder / name
        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                        yield from decode(batch.slice(start, ROWS_AT_ONCE))
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: not a readable Arrow file: {error}") from error


def decode(batch: Any) -> Iterator[dict[str, Any] | Undecodable]:
    """The rows of a few rows of Arrow: a text that is not UTF-8 costs its own row, not all of them."""
    try:
        yield from batch.to_pylist()
    except Exception:  # Arrow's own, Python's decoders', numbers and times that Python has no room for
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except Exception as error:  # the same, for one
                yield Undecodable(f"{type(error).__name__}: {error}"[:200])


def _files_of(folder: Path) -> list[str]:
    state = _read_json(folder / STATE)
    try:
        return [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / STATE}: names no data files; was it written by `save_to_disk`?") from error


def iter_hub(name: str, subset: str, split: str, revision: str = "") -> Iterator[dict[str, Any]]:
    """The rows of a data set on the hub, streamed; pictures come as bytes. `revision` is a commit or tag.

    Raises:
        ValueError: `datasets` is not installed, or the data set cannot be had; says what to do without a network.
    """
    offline = (
        f"where there is a network, run `datasets.load_dataset({name!r}, split={split!r}).save_to_disk(FOLDER)`, "
        "copy the folder here, and give `path: FOLDER`"
    )
    try:
        datasets = import_module("datasets")  # no dependency of ours
    except ModuleNotFoundError as error:
        raise ValueError(f"hub: {name!r} needs the package datasets (pip install datasets); or {offline}") from error
    try:
        rows = datasets.load_dataset(name, subset or None, split=split, revision=revision or None, streaming=True)
        yield from rows.decode(False)
    # The hub's client raises its own, requests', httpx's and OS errors; none of them tells the user what to do.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"hub: {name!r} cannot be read ({reason}); {offline}") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable: {error}") from error
