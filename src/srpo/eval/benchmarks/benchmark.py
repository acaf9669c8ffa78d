"""What every benchmark is: `Benchmark`, and the values that pass through it.

    bench = benchmark_named("mathvision")
    items = load_items(bench, SourceConfig(path="mathvision/test.jsonl"))
    mark = mark_text(bench, items.items[0], "<think>..</think><answer>B</answer>", style="auto")
    bench.breakdown([mark]).tables["subject"]

An adapter says how a row becomes an item, how the question is put, which rule decides, and what is counted. It never
reads files and never calls a model.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import JsonValue

from srpo.config.data import SourceConfig
from srpo.core.grading import SymbolicVerifier, grade
from srpo.core.records import Grade, Problem, Record
from srpo.core.statistics import wilson
from srpo.data.rows import Row

DecidedBy = Literal["rule", "judge"]
MarkStyle = Literal["auto", "reflective", "single"]
"""`auto`: reflective when the text opens a reflection block, else single."""


class Item(Record):
    """One question of a benchmark."""

    problem: Problem
    """What is graded; `problem.id` is the id by which recorded responses refer to it. `question` is bare: `prompt` of
    the benchmark puts options and hints around it."""
    groups: dict[str, str] = {}
    """Axis -> value by which the official table breaks results down, e.g. {"subject": "algebra", "level": "3"}."""
    facts: dict[str, JsonValue] = {}
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

    metrics: dict[str, float] = {}
    """The official headline numbers beside plain accuracy, between 0 and 1: `strict_score`, `aAcc`, ..."""
    tables: dict[str, dict[str, Cell]] = {}
    """Axis -> value -> accuracy; values in the published order where there is one."""
    counts: dict[str, int] = {}
    """How many of what: groups, incomplete groups, ..."""


class HubSource(NamedTuple):
    """Where the authors publish the data."""

    repo: str
    """`owner/name` on the hub."""
    subsets: tuple[str, ...]
    """Configurations that belong to it; ("",) where there is one."""
    split: str
    revision: str
    """Commit or tag that this adapter was written against."""


class Benchmark(ABC):
    """One benchmark. Subclasses are stateless: the class attributes below and the methods are all there is."""

    name: str
    """As the command line calls it: `mathvista`."""
    title: str
    """As papers call it: `MathVista testmini`."""
    size: int
    """Items in the published set."""
    hub: HubSource | None = None
    files: tuple[str, ...] = ()
    """Glob patterns, relative to the folder that is given, at which the published layout keeps its rows; the first
    pattern that matches wins, and all its matches are read in order."""
    citation: str = ""
    """Paper and address."""
    headline: str = "accuracy"
    """The number that papers quote: `accuracy` or a key of `Breakdown.metrics`."""

    @abstractmethod
    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """Read one row. `pictures` false leaves pictures out: recorded outputs are graded without them.

        Raises:
            RowError: the row is not an item.
        """

    def prompt(self, item: Item) -> str:
        """The question as the official evaluation puts it, without any instruction on tags."""
        return item.problem.question

    def grade(self, item: Item, text: str, symbolic: SymbolicVerifier | None = None) -> Grade:
        """Grade an answer, or a whole response without tags."""
        return grade(item.problem, text, symbolic=symbolic)

    def breakdown(self, marks: Sequence[Mark]) -> Breakdown:
        """The official tables and numbers."""
        return Breakdown(tables=tables_of(marks))


def tables_of(marks: Sequence[Mark], axes: Sequence[str] | None = None) -> dict[str, dict[str, Cell]]:
    """Accuracy by every axis of `Item.groups` (or by those named), values in order of appearance."""
    found: dict[str, dict[str, list[Mark]]] = {}
    for mark in marks:
        for axis, value in mark.item.groups.items():
            if axes is None or axis in axes:
                found.setdefault(axis, {}).setdefault(value, []).append(mark)
    return {axis: {value: cell_of(group) for value, group in values.items()} for axis, values in found.items()}


def cell_of(marks: Sequence[Mark]) -> Cell:
    """Accuracy over the gradable ones of `marks`."""
    counted = [mark for mark in marks if mark.final.verdict != "ungradable"]
    correct = sum(mark.is_correct for mark in counted)
    n = len(counted)
    low, high = wilson(correct, n)
    return Cell(n=n, correct=correct, accuracy=correct / n if n else 0.0, low=low, high=high)
