"""Checkpoints of a run: directories that are complete or not there.

`checkpoints/step-000050/` holds what the stage saved plus `checkpoint.json`: the step, the stage's own small state and
how long the run's journals were at that moment, to which they are cut back when the run resumes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srpo.core.records import Record
from srpo.runs.files import make_directory_atomic, remove_atomic

METADATA = "checkpoint.json"
_NAME = re.compile(r"step-(\d{6,})")


class CheckpointMetadata(Record):
    """Contents of `checkpoint.json`."""

    step: int
    extra: dict[str, Any]
    """Whatever the stage wants back: anything that JSON can hold."""
    num_bytes: dict[str, int]
    """Length of each journal, by file name."""
    time_s: float
    """Seconds that the run had worked, over all its processes."""


class Checkpoint(Record):
    """A complete checkpoint on disk."""

    path: Path
    """Directory with the files that the stage saved."""
    step: int
    extra: dict[str, Any]
    num_bytes: dict[str, int]
    time_s: float


def write_checkpoint(directory: Path, metadata: CheckpointMetadata, save: Callable[[Path], object]) -> Checkpoint:
    """Make `directory/step-NNNNNN` from what `save` writes into the empty directory that it is given."""
    path = directory / f"step-{metadata.step:06d}"

    def fill(temporary: Path) -> None:
        save(temporary)
        (temporary / METADATA).write_text(metadata.model_dump_json(indent=1), encoding="utf-8")

    make_directory_atomic(path, fill)
    return _checkpoint(path, metadata)


def list_checkpoints(directory: Path) -> list[Checkpoint]:
    """The complete checkpoints in `directory`, oldest first."""
    if not directory.is_dir():
        return []
    steps = sorted((int(match[1]), entry) for entry in directory.iterdir() if (match := _NAME.fullmatch(entry.name)))
    return [_read(path) for _, path in steps]


def prune(directory: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for checkpoint in list_checkpoints(directory)[:-keep]:
        remove_atomic(checkpoint.path)


def _read(path: Path) -> Checkpoint:
    try:
        return _checkpoint(path, CheckpointMetadata.model_validate_json((path / METADATA).read_bytes()))
    except (OSError, ValidationError) as error:
        raise ValueError(
            f"{str(path)!r} is not a checkpoint that srpo wrote ({METADATA} is missing or damaged); move it away"
        ) from error


def _checkpoint(path: Path, metadata: CheckpointMetadata) -> Checkpoint:
    return Checkpoint(path=path, **dict(metadata))
