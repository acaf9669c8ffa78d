"""LLaMA-Factory: ShareGPT messages with picture paths, and the entry in `dataset_info.json`.

llamafactory-cli train ... --dataset_dir OUT/llamafactory --dataset srpo --template qwen2_vl
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from srpo.export.samples import Sample

NAME = "srpo"
"""What to give as `--dataset`."""
_IMAGES = "images"

_ENTRY = {
    "file_name": f"{NAME}.jsonl",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


class LlamaFactory:
    """Writes a folder that serves as `dataset_dir`; picture paths are relative to it, so that it can be moved."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._images = folder / _IMAGES
        (folder / "dataset_info.json").write_text(json.dumps({NAME: _ENTRY}, indent=1), encoding="utf-8")
        self._file = (folder / f"{NAME}.jsonl").open("w", encoding="utf-8")

    def add(self, sample: Sample) -> None:
        """Append one sample, and its pictures where they are not there yet."""
        for picture in sample.pictures:
            path = self._images / picture.name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture.data)
        row = {
            "messages": [
                {"role": "user", "content": sample.placed_prompt},
                {"role": "assistant", "content": sample.target},
            ],
            "images": [f"{_IMAGES}/{picture.name}" for picture in sample.pictures],
        }
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
