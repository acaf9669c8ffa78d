"""verl: `sft.parquet` for its multi-turn SFT dataset, `rl.parquet` for its RL dataset.

data.train_files=OUT/verl/sft.parquet data.messages_key=messages data.image_key=images
data.train_files=OUT/verl/rl.parquet data.prompt_key=prompt data.image_key=images
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from srpo.core.records import Problem
from srpo.data.seen import Seen
from srpo.export.problems import is_new
from srpo.export.samples import Sample, without_placeholders
from srpo.export.table import IMAGES, TEXT, TURNS, ParquetTable

_INTEGER: Any = {"dtype": "int64", "_type": "Value"}
_NUMBER: Any = {"dtype": "float64", "_type": "Value"}
_SFT = {"messages": TURNS, "images": IMAGES}
_RL: dict[str, Any] = {
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


_RUN = {**_RL, "extra_info": {**_RL["extra_info"], "problem": TEXT}}
_TARGETS = {**_SFT, "skipped_tokens": _INTEGER}


class AskedProblem(NamedTuple):
    """A problem as a run asks it."""

    problem: Problem
    turns: Sequence[tuple[str, str]]
    """Role and text; the pictures stand before the text of the user."""
    pictures: Sequence[bytes]
    target: str = ""
    """What SFT learns to answer."""
    skipped_tokens: int = 0
    """Leading tokens of it that carry no loss."""


def write_asked(path: Path, split: str, asked: Iterable[AskedProblem]) -> int:
    """Write the problems of an RL run, each whole beside what verl's data set knows of it; returns their number."""
    count = 0
    with ParquetTable(path, _RUN) as table:
        for one in asked:
            row = _problem_row(one.problem, split, count, None)
            row["extra_info"]["problem"] = one.problem.model_dump_json()
            table.write({**row, "prompt": _turns(one), "images": _images(one.pictures)})
            count += 1
    return count


def write_targets(path: Path, asked: Iterable[AskedProblem]) -> int:
    """Write what an SFT run learns; returns the number of rows."""
    count = 0
    with ParquetTable(path, _TARGETS) as table:
        for one in asked:
            turns = [*_turns(one), {"role": "assistant", "content": without_placeholders(one.target)}]
            table.write({"messages": turns, "images": _images(one.pictures), "skipped_tokens": one.skipped_tokens})
            count += 1
    return count


def _turns(one: AskedProblem) -> list[dict[str, str]]:
    """Turns with a placeholder for each picture in the user's, and none that a text may hold itself."""
    placed = "<image>" * len(one.pictures)
    return [
        {"role": role, "content": (placed if role == "user" else "") + without_placeholders(text)}
        for role, text in one.turns
    ]


def _images(pictures: Iterable[bytes]) -> list[dict[str, bytes]]:
    return [{"bytes": picture} for picture in pictures]


def _problem_row(problem: Problem, split: str, index: int, share_right: float | None) -> dict[str, Any]:
    return {
        "data_source": "srpo",
        "ability": problem.family or "reasoning",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "split": split,
            "index": index,
            "id": problem.id,
            "question": without_placeholders(problem.question),
            "answer": problem.answer,
            "kind": problem.kind,
            "choices": list(problem.choices),
            "share_right": share_right,
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
        images = _images(picture.data for picture in sample.pictures)
        prompt = {"role": "user", "content": sample.placed_prompt}
        self._sft.write({"messages": [prompt, {"role": "assistant", "content": sample.target}], "images": images})
        if not is_new(self._seen, sample.problem):
            return
        row = _problem_row(sample.problem, "train", self._num_problems, sample.trace.share_right)
        self._rl.write({**row, "prompt": [prompt], "images": images})
        self._num_problems += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
