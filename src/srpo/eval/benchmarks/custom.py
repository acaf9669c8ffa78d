"""A user's own data: whatever `data:` of the other stages reads, with the same mapping of columns."""

from collections.abc import Iterator

from srpo.core.records import Rejected
from srpo.data.config import SourceConfig
from srpo.data.sources import iter_problems
from srpo.eval.benchmarks.benchmark import Benchmark, Item


class Custom(Benchmark):
    """Results are broken down by family and level, where the data has them."""

    name = "custom"
    title = "own data"
    size = 0

    def items(self, source: SourceConfig, *, pictures: bool = True) -> Iterator[Item | Rejected]:
        """The problems of the source as items: its columns are decided by many rows, not by each one."""
        for problem in iter_problems(source, pictures=pictures):
            if isinstance(problem, Rejected):
                yield problem
                continue
            level = "" if problem.level is None else str(problem.level)
            groups = {axis: value for axis, value in (("family", problem.family), ("level", level)) if value}
            yield Item(problem=problem, groups=groups)
