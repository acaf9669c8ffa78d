"""What is evaluated: plain problems, or the items of a benchmark with its prompt and its rule."""

from collections.abc import Mapping
from typing import NamedTuple

from srpo.core.prompts import problem_text
from srpo.core.records import Problem, Rejected
from srpo.data.ids import check_new
from srpo.data.sources import ProblemSet, load_problems
from srpo.eval.benchmarks.benchmark import Benchmark, Item
from srpo.eval.benchmarks.items import published
from srpo.eval.benchmarks.named import benchmark_named
from srpo.eval.config import EvalConfig


class Dataset(NamedTuple):
    """All rows of the source, accounted for."""

    label: str
    """What to call the source."""
    problems: ProblemSet
    benchmark: Benchmark | None = None
    items: Mapping[str, Item] = {}
    """By id; empty without a benchmark."""
    rest: tuple[str, ...] = ()
    """Ids of the benchmark's items that `limit` leaves out: numbers over groups need to know of them."""

    def question(self, problem: Problem) -> str:
        """How a problem is put: as the official evaluation puts it, where it is of a benchmark."""
        return problem_text(problem) if self.benchmark is None else self.benchmark.prompt(self.items[problem.id])


def load_dataset(config: EvalConfig) -> Dataset:
    """Read the problems, or rows until there are `config.limit` usable ones (of a benchmark the ids of the others too).

    Raises:
        ValueError: the source cannot be read, is not the benchmark's, or two rows have the same id.
    """
    if config.benchmark is None:
        assert config.data is not None, "the config is checked"
        return Dataset(config.data.label, load_problems(config.data, limit=config.limit))
    benchmark = benchmark_named(config.benchmark)
    source = config.data or published(benchmark)
    items: dict[str, Item] = {}
    rejected: list[Rejected] = []
    for item in benchmark.items(source):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        key, place = item.problem.id, item.problem.source
        check_new(key, place, items[key].problem.source if key in items else None)
        items[key] = item
        if len(items) == config.limit:
            break
    problems = ProblemSet(tuple(item.problem for item in items.values()), tuple(rejected))
    rest: tuple[str, ...] = ()
    if benchmark.by_groups and len(items) == config.limit:
        everything = benchmark.items(source, pictures=False)
        rest = tuple(
            one.problem.id for one in everything if not isinstance(one, Rejected) and one.problem.id not in items
        )
    return Dataset(source.label, problems, benchmark, items, rest)
