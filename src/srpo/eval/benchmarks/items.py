"""A benchmark's rows in, from a file, a folder in the published layout or the hub; every row an item or a `Rejected`."""

from collections.abc import Iterator
from typing import NamedTuple

from srpo.config.data import SourceConfig
from srpo.data.rows import Rejected
from srpo.eval.benchmarks.benchmark import Benchmark, Item


class ItemSet(NamedTuple):
    """All rows of a benchmark's data, accounted for."""

    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]


def iter_items(benchmark: Benchmark, source: SourceConfig, *, pictures: bool = True) -> Iterator[Item | Rejected]:
    """The rows one by one, in order.

    Raises:
        ValueError: the source cannot be read, or is not this benchmark's.
    """
    raise NotImplementedError


def load_items(benchmark: Benchmark, source: SourceConfig, *, pictures: bool = True) -> ItemSet:
    """All rows; ValueError also when two items have the same id."""
    raise NotImplementedError
