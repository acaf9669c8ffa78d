"""`manifest.jsonl`: which pictures are in an export, by hash, so that anyone can check them and find them again."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from srpo.data.seen import Seen
from srpo.export.samples import Sample

_FILE = "manifest.jsonl"


class Manifest:
    """Writes one line for each different picture, in the order in which they first come."""

    def __init__(self, folder: Path) -> None:
        self._seen = Seen()
        self._file = (folder / _FILE).open("w", encoding="utf-8")

    @property
    def num_pictures(self) -> int:
        """Different pictures so far."""
        return self._seen.count("picture")

    def add(self, sample: Sample) -> None:
        """Take in the pictures of one sample."""
        for picture in sample.pictures:
            if self._seen.first("picture", picture.sha256, sample.problem.id) is not None:
                continue
            row = {
                "sha256": picture.sha256,
                "original_sha256": picture.original_sha256,
                "format": picture.suffix,
                "width": picture.width,
                "height": picture.height,
                "num_bytes": len(picture.data),
                "problem": sample.problem.id,
            }
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._seen.__exit__(kind, error, trace)
