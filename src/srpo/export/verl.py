"""verl: `sft.parquet` for its multi-turn SFT dataset, `rl.parquet` for its RL dataset.

data.train_files=OUT/verl/sft.parquet data.messages_key=messages data.image_key=images
data.train_files=OUT/verl/rl.parquet data.prompt_key=prompt data.image_key=images
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from srpo.data.seen import Seen
from srpo.export.problems import is_new
from srpo.export.samples import Sample, without_placeholders
from srpo.export.table import IMAGES, TEXT, TURNS, ParquetTable

_INTEGER: Any = {"dtype": "int64", "_type": "Value"}
_NUMBER: Any = {"dtype": "float64", "_type": "Value"}
_SFT = {"messages": TURNS, "images": IMAGES}
_RL = {
    "data_source": TEXT,
    "prompt": TURNS,
    "images": IMAGES,
    "ability": TEXT,
    "reward_model": {"style": TEXT, "ground_truth": TEXT},
    "extra_info": {
        "split": TEXT,
        "index": _INTEGER,
        "id": TEXT,
        "question": TEXT,
        "answer": TEXT,
        "kind": TEXT,
        "choices": [TEXT],
        "share_right": _NUMBER,
    },
}


class Verl:
    """Writes both files: one row per sample for SFT, one row per problem for RL."""

    def __init__(self, folder: Path) -> None:
        with ExitStack() as stack:
            self._seen = stack.enter_context(Seen())
            self._sft = stack.enter_context(ParquetTable(folder / "sft.parquet", _SFT))
            self._rl = stack.enter_context(ParquetTable(folder / "rl.parquet", _RL))
            self._stack = stack.pop_all()
        self._num_problems = 0

    def add(self, sample: Sample) -> None:
        """Append one sample, and its problem when it comes for the first time."""
        images = [{"bytes": picture.data} for picture in sample.pictures]
        prompt = {"role": "user", "content": sample.placed_prompt}
        self._sft.write({"messages": [prompt, {"role": "assistant", "content": sample.target}], "images": images})
        problem = sample.problem
        if not is_new(self._seen, problem):
            return
        extra = {
            "split": "train",
            "index": self._num_problems,
            "id": problem.id,
            "question": without_placeholders(problem.question),
            "answer": problem.answer,
            "kind": problem.kind,
            "choices": list(problem.choices),
            "share_right": sample.trace.share_right,
        }
        self._rl.write(
            {
                "data_source": "srpo",
                "prompt": [prompt],
                "images": images,
                "ability": problem.family or "reasoning",
                "reward_model": {"style": "rule", "ground_truth": problem.answer},
                "extra_info": extra,
            }
        )
        self._num_problems += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
