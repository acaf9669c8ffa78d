"""RL data: one row per problem, as each trainer reads it, for the rewards of `srpo.engines`.

GRPOTrainer(..., train_dataset=load_dataset("parquet", data_files="OUT/trl-rl/train.parquet", split="train"))
data.train_files=OUT/easyr1/train.parquet data.prompt_key=prompt data.answer_key=answer data.format_prompt=null
--data.prompt_dataset OUT/openrlhf/train.parquet --data.input_key prompt --data.label_key label
--dataset OUT/ms-swift/train.parquet --reward_funcs srpo

All but TRL hand a reward one text: there the gold and what belongs to it are packed into it (`engines.payer.unpacked`).
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from srpo.core.records import Problem
from srpo.data.seen import Seen
from srpo.export.samples import Sample, without_placeholders
from srpo.export.table import BYTES, IMAGES, TEXT, TURNS, ParquetTable

ProblemRow = Callable[[Sample], Mapping[str, Any]]


class Problems:
    """Writes `train.parquet`: each problem when it comes for the first time."""

    def __init__(self, folder: Path, features: Mapping[str, Any], row: ProblemRow) -> None:
        with ExitStack() as stack:
            self._seen = stack.enter_context(Seen())
            self._table = stack.enter_context(ParquetTable(folder / "train.parquet", features))
            self._stack = stack.pop_all()
        self._row = row

    def add(self, sample: Sample) -> None:
        """Append the sample's problem, unless it is there."""
        if is_new(self._seen, sample.problem):
            self._table.write(self._row(sample))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def is_new(seen: Seen, problem: Problem) -> bool:
    """Whether the problem comes for the first time; two data sets may use the same id."""
    return seen.first("problem", f"{problem.id}\n{problem.question}", problem.id) is None


def trl_rl(folder: Path) -> Problems:
    """For GRPOTrainer, which puts the pictures before the text and hands the other columns to the reward."""
    columns = {"id": TEXT, "question": TEXT, "gold": TEXT, "kind": TEXT, "choices": [TEXT]}
    return Problems(folder, {"prompt": TURNS, "images": IMAGES, **columns}, _trl_row)


def easyr1(folder: Path) -> Problems:
    """For EasyR1's RLHFDataset."""
    return Problems(folder, {"prompt": TEXT, "images": IMAGES, "answer": TEXT}, _easyr1_row)


def openrlhf(folder: Path) -> Problems:
    """For OpenRLHF's PromptDataset, which would decode all pictures at once if they were typed as pictures."""
    return Problems(folder, {"prompt": TEXT, "images": BYTES, "label": TEXT}, _openrlhf_row)


def ms_swift(folder: Path) -> Problems:
    """For ms-swift; `solution` is the column that it logs beside the completions."""
    return Problems(folder, {"messages": TURNS, "images": IMAGES, "solution": TEXT}, _ms_swift_row)


def packed(problem: Problem) -> str:
    """A problem as one text.

    >>> packed(Problem(id="7", question="How many?", answer="B", choices=("3", "4")))
    '{"gold": "B", "id": "7", "question": "How many?", "choices": ["3", "4"]}'
    """
    return json.dumps({name: value for name, value in _fields(problem).items() if value}, ensure_ascii=False)


def _fields(problem: Problem) -> dict[str, Any]:
    return {
        "gold": problem.answer,
        "id": problem.id,
        "question": without_placeholders(problem.question),
        "kind": problem.kind,
        "choices": list(problem.choices),
    }


def _trl_row(sample: Sample) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": sample.prompt}],
        "images": _images(sample),
        **_fields(sample.problem),
    }


def _easyr1_row(sample: Sample) -> dict[str, Any]:
    return {"prompt": sample.placed_prompt, "images": _images(sample), "answer": packed(sample.problem)}


def _openrlhf_row(sample: Sample) -> dict[str, Any]:
    pictures = [picture.data for picture in sample.pictures]
    return {"prompt": sample.placed_prompt, "images": pictures, "label": packed(sample.problem)}


def _ms_swift_row(sample: Sample) -> dict[str, Any]:
    turns = [{"role": "user", "content": sample.placed_prompt}]
    return {"messages": turns, "images": _images(sample), "solution": packed(sample.problem)}


def _images(sample: Sample) -> list[dict[str, bytes]]:
    return [{"bytes": picture.data} for picture in sample.pictures]
