"""A benchmark's rows in, from a file, a folder in the published layout or the hub; every row an item or a `Rejected`.

load_items(bench, SourceConfig(path="MathVista/data"))     # folder in the published layout
load_items(bench, published(bench))                        # the hub, at the revision that the adapter names
"""

import itertools
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.records import Rejected
from srpo.data.arrow import is_saved_dataset
from srpo.data.config import SourceConfig
from srpo.data.fields import read_row
from srpo.data.ids import check_new
from srpo.data.rows import Row, read_hub, read_rows
from srpo.eval.benchmarks.benchmark import Benchmark, Item

_SAMPLE = 32
"""Rows looked at before a file is said not to be the benchmark's."""


class PublishedBenchmark(Benchmark):
    """A benchmark of which each row of a published layout is an item by itself."""

    files: tuple[str, ...]
    """Glob patterns, relative to the folder that is given, at which the published layout keeps its rows; the first
    pattern that matches wins, and all its matches are read in order."""
    columns: tuple[str, ...]
    """Columns that every row has; `a|b` is a column with two names. A file in which no row has them is another's."""

    @abstractmethod
    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """Read one row.

        Raises:
            RowError: the row is not an item.
        """

    def items(self, source: SourceConfig, *, pictures: bool = True) -> Iterator[Item | Rejected]:
        """Each row as an item, or why it is none."""
        rows = _rows(self, source)
        sample = list(itertools.islice(rows, _SAMPLE))
        _check(self, source, sample)
        for row in itertools.chain(sample, rows):
            yield row if isinstance(row, Rejected) else _item(self, row, source, pictures=pictures)


class ItemSet(NamedTuple):
    """All rows of a benchmark's data, accounted for."""

    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]


def published(benchmark: Benchmark) -> SourceConfig:
    """The hub as the source; ValueError where the benchmark is not on it."""
    if benchmark.hub is None:
        raise ValueError(f"{benchmark.name}: is not on the hub; give `path` (a file or folder)")
    return SourceConfig(hub=benchmark.hub.repo)


def load_items(benchmark: Benchmark, source: SourceConfig, *, pictures: bool = True) -> ItemSet:
    """All rows; ValueError also when two items have the same id."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    seen: dict[str, str] = {}
    for item in benchmark.items(source, pictures=pictures):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        problem = item.problem
        check_new(problem.id, problem.source, seen.get(problem.id), f" in {benchmark.title}")
        seen[problem.id] = problem.source
        items.append(item)
    return ItemSet(tuple(items), tuple(rejected))


def _item(benchmark: PublishedBenchmark, row: Row, source: SourceConfig, *, pictures: bool) -> Item | Rejected:
    if missing := missing_columns(benchmark, row.values):
        return Rejected.row(row.place, f"no column {', '.join(map(repr, missing))}")
    return read_row(row.place, lambda: benchmark.item(row, source, pictures=pictures))


def missing_columns(benchmark: PublishedBenchmark, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the benchmark that a row lacks."""
    return tuple(names for names in benchmark.columns if not any(name in values for name in names.split("|")))


def _check(benchmark: PublishedBenchmark, source: SourceConfig, sample: list[Row | Rejected]) -> None:
    """A file of something else is one error, not a thousand rejected rows."""
    rows = [row for row in sample if isinstance(row, Row)]
    if not sample:
        raise ValueError(f"{source.label}: holds no rows")
    if rows and all(missing_columns(benchmark, row.values) for row in rows):
        found = dict.fromkeys(name for row in rows for name in row.values)
        wanted = ", ".join(names.replace("|", " or ") for names in benchmark.columns)
        raise ValueError(
            f"{rows[0].place}: not data of {benchmark.title}: its rows have the columns {wanted}; "
            f"found {', '.join(found) or 'none'}"
        )


def _rows(benchmark: PublishedBenchmark, source: SourceConfig) -> Iterator[Row | Rejected]:
    if source.drawn is not None:
        raise ValueError(f"{benchmark.name}: drawn problems are not {benchmark.title}; give path or hub")
    if source.hub:
        return _hub_rows(benchmark, source)
    path = Path(source.path)
    if is_saved_dataset(path):
        return _saved_rows(benchmark, path, source.split)
    if path.is_dir():
        return _folder_rows(benchmark, path, source.split)
    return _file_rows(path)


def _hub_rows(benchmark: PublishedBenchmark, source: SourceConfig) -> Iterator[Row]:
    """All subsets and splits of the benchmark; the authors' own repository at the revision that we name."""
    hub = benchmark.hub
    subsets = (source.subset,) if source.subset or hub is None else hub.subsets
    splits = (source.split or (hub.split if hub else "test")).split("+")
    revision = hub.revision if hub is not None and hub.repo == source.hub else ""
    for subset, split in itertools.product(subsets, splits):
        for row in read_hub(source.hub, subset=subset, split=split, revision=revision):
            yield row._replace(place=row.place.replace(f"hub:{source.hub}", _hub_label(source.hub, subset, split), 1))


def _hub_label(repo: str, subset: str, split: str) -> str:
    return "/".join(part for part in (f"hub:{repo}", subset, split) if part)


def _saved_rows(benchmark: PublishedBenchmark, path: Path, split: str) -> Iterator[Row | Rejected]:
    """A folder of `save_to_disk`; of several splits the benchmark's own."""
    published_splits = benchmark.hub.split.split("+") if benchmark.hub else []
    splits = split.split("+") if split else [name for name in published_splits if (path / name).is_dir()]
    return itertools.chain.from_iterable(read_rows(str(path), split=name) for name in splits or [""])


def _folder_rows(benchmark: PublishedBenchmark, path: Path, split: str) -> Iterator[Row | Rejected]:
    """The files of the published layout, the subsets as `save_to_disk` wrote them, or whatever data there is."""
    for pattern in benchmark.files:
        if found := sorted(file for file in path.glob(pattern) if file.is_file()):
            return itertools.chain.from_iterable(map(_file_rows, found))
    subsets = [path / name for name in (benchmark.hub.subsets if benchmark.hub else ()) if name]
    if saved := [folder for folder in subsets if is_saved_dataset(folder)]:
        return itertools.chain.from_iterable(_saved_rows(benchmark, folder, split) for folder in saved)
    tables = sorted(path.glob("*.json"))
    if len(tables) == 1 and not any(path.glob("*.jsonl")):
        return _file_rows(tables[0])
    try:
        return read_rows(str(path))
    except ValueError as error:
        raise ValueError(f"{error}; {benchmark.title} is published as {', '.join(benchmark.files)}") from error


def _file_rows(path: Path) -> Iterator[Row | Rejected]:
    return _keyed_rows(path) if path.suffix.lower() == ".json" and _is_object(path) else read_rows(str(path))


def _is_object(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(4096).lstrip()[:1] == "{"


def _keyed_rows(path: Path) -> Iterator[Row | Rejected]:
    """`{"0": {...}, "1": {...}}`, as CharXiv and MathVista publish; numbers stay as they are written."""
    try:
        rows = json.loads(
            path.read_bytes().decode("utf-8-sig"), parse_float=str, parse_int=str, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    for key, values in rows.items():
        place = f"{path}[{key!r}]"
        if isinstance(values, dict):
            yield Row(place, f"{path.stem}:{key}", values, path.parent)
        else:
            yield Rejected.row(place, f"expected a JSON object, got {type(values).__name__}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a key come twice, and Python would keep the last one in silence."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found
