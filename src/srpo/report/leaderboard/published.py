"""Results that others have published, as data with their source: `assets/published.yaml`, and files of the user's own.

A file is laid out as the tables are that it quotes, so that it can be checked against them by eye:

    tables:
      - source: "Wan et al., SRPO"
        place: "arXiv 2506.01713v3, PublishedTable 1"
        columns: [{benchmark: mathvista}, {benchmark: wemath, metric: strict_score}]
        models:
          SRPO-7B: [75.8, 71.6]
          Qwen2.5-VL-7B: [68.2, {value: 62.1, note: "re-run by the authors"}]

    for row in read_published(): print(row.model, row.benchmark, row.value)
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from srpo.config.hints import suggest
from srpo.config.load import load_config
from srpo.core.records import Record
from srpo.report.leaderboard.datasets import DATASETS

SHIPPED = Path(__file__).parents[2] / "assets" / "published.yaml"
Text = Annotated[str, Field(min_length=1)]


class Published(Record):
    """One published number."""

    model: str
    benchmark: str
    """As the command line calls it."""
    metric: str
    """`accuracy`, or the name of the number that the source gives."""
    value: float
    """Between 0 and 1."""
    split: str
    """Empty for the items that the benchmark of that name has; anything else is compared among its like alone."""
    note: str
    """What is special about this number."""
    harness: str
    """Who measured, and with what."""
    source: str
    place: str
    """Where in the source: paper id and number of the table."""
    url: str
    date: str


class Column(Record):
    """What one column of a published table measures."""

    benchmark: str
    """A benchmark as the command line calls it, or `mmmu-pro` for the mean of its two settings."""
    metric: Text = "accuracy"
    """`accuracy`, or another number of the benchmark, e.g. `strict_score`."""
    split: str = ""
    """Empty for the items that the benchmark of that name has, else which ones."""
    note: str = ""
    """What the source leaves open about this column."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.benchmark not in DATASETS:
            hint = suggest(self.benchmark, DATASETS, otherwise=f"it is one of {', '.join(DATASETS)}")
            raise ValueError(f"no benchmark {self.benchmark!r}; {hint}")
        return self


class PublishedValue(Record):
    """A number with a remark."""

    value: float
    note: Text


class PublishedTable(Record):
    """One table of a source."""

    source: Text
    """Authors and title."""
    place: Text
    """Paper id and number of the table, or page."""
    url: str = ""
    """Address of the source."""
    date: str = ""
    """When it was published."""
    unit: Literal["percent", "share"] = "percent"
    """Whether values run from 0 to 100 or from 0 to 1."""
    harness: str = ""
    """Who measured, and with what."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    """What is measured, from left to right."""
    models: Annotated[dict[Text, tuple[float | PublishedValue | None, ...]], Field(min_length=1)]
    """Model -> a value for each column; null where the source has none."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        top = 100 if self.unit == "percent" else 1
        for model, cells in self.models.items():
            if len(cells) != len(self.columns):
                raise ValueError(f"model {model!r} has {len(cells)} values for {len(self.columns)} columns")
            for column, cell in zip(self.columns, cells, strict=True):
                value = cell.value if isinstance(cell, PublishedValue) else cell
                if value is not None and not 0 <= value <= top:
                    raise ValueError(
                        f"model {model!r}, {column.benchmark}: {value!r} is not between 0 and {top}, as unit "
                        f"{self.unit!r} has it"
                    )
        return self


class PublishedFile(Record):
    """Contents of a file of published results."""

    tables: tuple[PublishedTable, ...]
    """One for each table of a source."""


def read_published(files: Iterable[Path] = (), *, shipped: bool = True) -> tuple[Published, ...]:
    """The shipped numbers, then those of `files`, in the order in which they stand there.

    Raises:
        ConfigError: a file is not of this form; names file, line and column.
    """
    return (*(_shipped() if shipped else ()), *(row for path in files for row in _read(path)))


@lru_cache(maxsize=1)
def _shipped() -> tuple[Published, ...]:
    return _read(SHIPPED)


def _read(path: Path) -> tuple[Published, ...]:
    return tuple(row for table in load_config(PublishedFile, path).tables for row in _rows(table))


def _rows(table: PublishedTable) -> Iterable[Published]:
    scale = 100 if table.unit == "percent" else 1
    for model, cells in table.models.items():
        for column, cell in zip(table.columns, cells, strict=True):
            if cell is None:
                continue
            value, note = (cell.value, cell.note) if isinstance(cell, PublishedValue) else (cell, "")
            yield Published(
                model=model,
                benchmark=column.benchmark,
                metric=column.metric,
                value=round(value / scale, 9),  # 66.8 / 100 is not 0.668
                split=column.split,
                note="; ".join(part for part in (column.note, note) if part),
                **table.model_dump(include={"harness", "source", "place", "url", "date"}),
            )
