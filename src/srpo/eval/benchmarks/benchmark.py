"""What every benchmark is: `Benchmark`, and the values that pass through it.

    bench = benchmark_named("mathvision")
    items = load_items(bench, SourceConfig(path="mathvision/test.jsonl"))
    mark = grade_as_mark(bench, items.items[0], "<think>..</think><answer>B</answer>", style="auto")
    bench.breakdown([mark]).tables["subject"]

An adapter says how a row becomes an item, how the question is put, which rule decides, and what is counted. It never
calls a model; `items.PublishedBenchmark` reads the rows of those that are published.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from srpo.core.prompts import problem_text
from srpo.core.records import Grade, Problem, Record, Rejected
from srpo.core.statistics import wilson
from srpo.data.config import SourceConfig
from srpo.grading import RULES_ONLY, Grader

DecidedBy = Literal["rule", "judge"]


class Item(Record):
    """One question of a benchmark."""

    problem: Problem
    """What is graded; `problem.id` is the id by which recorded responses refer to it. `question` is bare: `prompt` of
    the benchmark puts options and hints around it."""
    groups: dict[str, str] = Field(default_factory=dict)
    """Axis -> value by which the official table breaks results down, e.g. {"subject": "algebra", "level": "3"}."""
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """What the official rule needs beside the gold: precision, tolerance, group keys, the published prompt."""


class Mark(Record):
    """One response to one item, graded."""

    item: Item
    first: Grade | None = None
    """Grade of the first answer; None where the response has one answer only."""
    final: Grade
    decided_by: DecidedBy = "rule"

    @property
    def is_correct(self) -> bool:
        """Whether THE answer is right."""
        return self.final.is_correct


class Cell(Record):
    """One number of an official table."""

    n: int
    """Items that count here; ungradable ones do not."""
    correct: int
    accuracy: float
    """Between 0 and 1; 0 where n is 0."""
    low: float
    """95% Wilson interval."""
    high: float


class Breakdown(Record):
    """What the authors of the benchmark report."""

    metrics: dict[str, float] = Field(default_factory=dict)
    """The official headline numbers beside plain accuracy, between 0 and 1: `strict_score`, `aAcc`, ..."""
    tables: dict[str, dict[str, Cell]] = Field(default_factory=dict)
    """Axis -> value -> accuracy; values in the published order where there is one."""
    counts: dict[str, int] = Field(default_factory=dict)
    """How many of what: groups, incomplete groups, ..."""
    unknown: dict[str, str] = Field(default_factory=dict)
    """Official number that the answers do not suffice for -> why."""


class HubSource(NamedTuple):
    """Where the authors publish the data."""

    repo: str
    """`owner/name` on the hub."""
    subsets: tuple[str, ...]
    """Configurations that belong to it; ("",) where there is one."""
    split: str
    """`a+b` where two splits make up the benchmark."""
    revision: str
    """Commit or tag that is read; `main` where no commit is known to us."""


class Benchmark(ABC):
    """One benchmark. Subclasses are stateless: the class attributes below and the methods are all there is."""

    name: str
    """As the command line calls it: `mathvista`."""
    title: str
    """As papers call it: `MathVista testmini`."""
    size: int
    """Items in the published set."""
    hub: HubSource | None = None
    """None where nobody publishes it."""
    orders: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Axis -> its values in the published order."""
    citation: str = ""
    """Paper and address."""
    by_groups: bool = False
    """Whether official numbers are over groups of items, so that an item that was not answered counts for others."""
    headline: str = "accuracy"
    """The number that papers quote: `accuracy` or a key of `Breakdown.metrics`."""
    official_code: str = ""
    """The authors' own code whose verdict is told beside ours (`official_grade`); empty where we have none."""

    @abstractmethod
    def items(self, source: SourceConfig, *, pictures: bool = True) -> Iterator[Item | Rejected]:
        """The rows one by one, in order.

        `pictures` false leaves pictures out: recorded outputs are graded without them.

        Raises:
            ValueError: the source cannot be read, or is not this benchmark's.
        """

    def prompt(self, item: Item) -> str:
        """The question as the official evaluation puts it, without any instruction on tags."""
        return problem_text(item.problem)

    def grade(self, item: Item, text: str, grader: Grader = RULES_ONLY) -> Grade:
        """Grade an answer, or a whole response without tags."""
        return grader.grade(item.problem, text)

    def official_grade(self, item: Item, text: str) -> Grade:
        """What `official_code` makes of an answer or of a response without tags; our rule where there is none."""
        return self.grade(item, text)

    def breakdown(self, marks: Sequence[Mark], missing: Collection[str] = ()) -> Breakdown:  # noqa: ARG002
        """The official tables and numbers.

        Args:
            marks: Of the items that were answered.
            missing: Ids of those that were not: what is counted by groups needs all members of a group.
        """
        tables = tables_of(marks)
        return Breakdown(
            tables=tables | {axis: in_order(tables[axis], names) for axis, names in self.orders if axis in tables}
        )


def tables_of(marks: Iterable[Mark], axes: Sequence[str] | None = None) -> dict[str, dict[str, Cell]]:
    """Accuracy by every axis of `Item.groups` (or by those named), values in order of appearance.

    Marks may come from a file: none of them is kept.
    """
    counts: dict[str, dict[str, list[int]]] = {}
    for mark in marks:
        for axis, value in mark.item.groups.items():
            if axes is None or axis in axes:
                _count(counts.setdefault(axis, {}).setdefault(value, [0, 0]), mark)
    return {axis: {value: _cell(*count) for value, count in values.items()} for axis, values in counts.items()}


def table_by(marks: Iterable[Mark], values_of: Callable[[Item], Iterable[str]]) -> dict[str, Cell]:
    """Accuracy by something of which an item may have several; it counts for each of them."""
    counts: dict[str, list[int]] = {}
    for mark in marks:
        for value in values_of(mark.item):
            _count(counts.setdefault(value, [0, 0]), mark)
    return {value: _cell(*count) for value, count in counts.items()}


def in_order(table: Mapping[str, Cell], names: Sequence[str]) -> dict[str, Cell]:
    """The same table with these values first, in this order."""
    return {name: table[name] for name in dict.fromkeys((*names, *table)) if name in table}


def macro(table: Mapping[str, Cell]) -> float:
    """Mean of a table's accuracies, each value with the same weight; 0 where nothing was graded."""
    cells = [cell for cell in table.values() if cell.n]
    return sum(cell.accuracy for cell in cells) / len(cells) if cells else 0.0


def cell_of(marks: Iterable[Mark]) -> Cell:
    """Accuracy over the gradable ones of `marks`."""
    count = [0, 0]
    for mark in marks:
        _count(count, mark)
    return _cell(*count)


def _count(count: list[int], mark: Mark) -> None:
    """Add a mark to [right ones, all]."""
    if mark.final.counts:
        count[0] += mark.is_correct
        count[1] += 1


def _cell(correct: int, n: int) -> Cell:
    low, high = wilson(correct, n)
    return Cell(n=n, correct=correct, accuracy=correct / n if n else 0.0, low=low, high=high)
