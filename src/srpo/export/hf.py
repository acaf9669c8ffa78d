"""A plain data set for the `datasets` library: one row per trace, every part in a column of its own.

load_dataset("OUT", split="train")      # the card names the file
"""

from pathlib import Path
from typing import Any

from srpo.core.records import Attempt, FormatError, Response
from srpo.export.samples import Sample
from srpo.export.table import IMAGES, TEXT, ParquetTable

DATA_FILE = "train-00000-of-00001.parquet"

_TEXTS = (
    "id",
    "question",
    "answer",
    "kind",
    "family",
    "source",
    "first_think",
    "first_answer",
    "reflection",
    "second_think",
    "second_answer",
    "outcome",
    "prompt",
    "response",
    "model",
    "teacher",
    "prompt_version",
)
_FEATURES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, TEXT),
    "choices": [TEXT],
    "images": IMAGES,
    "level": {"dtype": "int64", "_type": "Value"},
    "share_right": {"dtype": "float64", "_type": "Value"},
}


class HuggingFace(ParquetTable):
    """Writes one parquet file, pictures embedded."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / DATA_FILE, _FEATURES)

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        trace, problem = sample.trace, sample.problem
        assert not isinstance(trace.parsed, FormatError), "samples keep the format"
        row = {name: getattr(problem, name) for name in ("id", "question", "answer", "kind", "family", "level")}
        self.write(
            row
            | _blocks(trace.parsed)
            | {
                "source": Path(problem.source).name,
                "outcome": trace.outcome,
                "prompt": sample.prompt,
                "response": sample.target,
                "model": trace.origin.model,
                "teacher": trace.origin.teacher,
                "prompt_version": trace.origin.prompt,
                "choices": list(problem.choices),
                "images": [{"bytes": picture.data} for picture in sample.pictures],
                "share_right": trace.share_right,
            }
        )


def _blocks(response: Response | Attempt) -> dict[str, str]:
    if isinstance(response, Attempt):
        return {"first_think": response.think, "first_answer": response.answer}
    return {
        "first_think": response.first.think,
        "first_answer": response.first.answer,
        "reflection": response.reflection,
        "second_think": response.second.think,
        "second_answer": response.second.answer,
    }
