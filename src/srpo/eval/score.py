"""`srpo score`: grade recorded responses of any model to a benchmark, reflective or plain.

    result = score(ScoreConfig(benchmark="mathvision", data=SourceConfig(path="MATH-V"), responses="gpt.jsonl"))
    result.accuracy, result.breakdown.tables["subject"]

The responses are read and graded first, into a file of their own: nothing is written, and no judge is asked, before
the last row of the file is known to be right. Only ids and a few numbers of each response are held in memory.
"""

import hashlib
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from srpo import __version__
from srpo.config.hints import suggest
from srpo.core.records import Origin, Rejected, Trace
from srpo.core.response import style_of
from srpo.core.summary import SampleResult, results_of, summarise
from srpo.data.ids import check_new
from srpo.data.jsonl import STDIN, IdText, JsonRow, PlainText, read_jsonl
from srpo.data.sources import ProblemSet
from srpo.data.usable import check_usable
from srpo.eval.aggregate import ROWS, Aggregator, Facts, ItemRow, Judging, mark_of, row_of
from srpo.eval.benchmarks.benchmark import Benchmark, Item, Mark
from srpo.eval.benchmarks.grade import grade_item, official_verdict
from srpo.eval.benchmarks.named import benchmark_named
from srpo.eval.config import ScoreConfig
from srpo.eval.judge import Case, EvalJudge, JudgedTrace, open_judge, shared_cache
from srpo.eval.result import BenchmarkResult, EvalResult
from srpo.grading import Grader
from srpo.models.cache import ResponseCache
from srpo.models.meter import BudgetSpent, Spend
from srpo.models.pool import RESPONSES, ModelPool, batches_under_way
from srpo.models.protocol import Generator
from srpo.runs.directory import RunDir
from srpo.runs.files import atomic_file
from srpo.runs.interrupt import Stopped
from srpo.runs.progress import progress
from srpo.runs.record_file import RecordFile
from srpo.runs.rejects import REJECTED, Ledger, count_rejected

_AT_ONCE = 128
"""Responses that are judged and written together."""
_NONE = -1
Sink = Callable[[Sequence[ItemRow]], object]
_SHOWN_IDS, _LONGEST_ID = 3, 200


class Given(NamedTuple):
    """The benchmark's items, and which response each of them has; everything is in files."""

    items: RecordFile[Item]
    rejected: tuple[Rejected, ...]
    traces: RecordFile[Trace]
    trace_of: "array[int]"
    """Index of the trace of each item, -1 where there is none."""


def score(
    config: ScoreConfig, *, rows: Path | None = None, run_dir: RunDir | None = None, judge: Generator | None = None
) -> BenchmarkResult:
    """Grade all responses.

    Args:
        config: What to grade.
        rows: Where to write one `ItemRow` for each response.
        run_dir: Where to leave the result as an evaluation leaves it: traces, rows, summary.
        judge: Stands in for the judge that the config names.

    Raises:
        ValueError: data or responses cannot be read; names file and line.
        Stopped: the money for the judge is spent.
    """
    benchmark = benchmark_named(config.benchmark)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="srpo-score-")))
        grader = stack.enter_context(Grader(symbolic=config.symbolic, rounded=config.rounded))
        items = stack.enter_context(RecordFile(folder / "items", Item))
        traces = stack.enter_context(RecordFile(folder / "traces", Trace))
        index, rejected = _read_items(benchmark, config, items)
        origin = Origin(
            stage="eval",
            model=config.name,
            srpo_version=__version__,
            commit=run_dir.config.provenance.commit if run_dir else "",
        )
        trace_of = _grade(benchmark, config, items, index, traces, origin, grader)
        given = Given(items, rejected, traces, trace_of)
        marks = stack.enter_context(RecordFile(folder / "marks", Mark))
        return _Output(config, benchmark, given, rows=rows, run_dir=run_dir, judge=judge).work(marks)


class ResponseRow(JsonRow):
    """A recorded response."""

    id: IdText
    """Of the item."""
    response: PlainText
    """Empty where the file has null: a model that gave no answer."""


def sha256_of(path: str) -> str:
    """Hash of a file's content; empty for standard input, which can be read once only."""
    if path == STDIN:
        return ""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_items(
    benchmark: Benchmark, config: ScoreConfig, items: RecordFile[Item]
) -> tuple[dict[str, int], tuple[Rejected, ...]]:
    index: dict[str, int] = {}
    rejected: list[Rejected] = []
    for item in benchmark.items(config.data, pictures=False):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        key, place = item.problem.id, item.problem.source
        check_new(key, place, items[index[key]].problem.source if key in index else None)
        index[sys.intern(key)] = items.append(item)
    # Says how many rows are left out, and that there are none at all.
    first = (items[0].problem,) if index else ()
    check_usable(ProblemSet(first, tuple(rejected)), config.data.label)
    return index, tuple(rejected)


def _grade(
    benchmark: Benchmark,
    config: ScoreConfig,
    items: RecordFile[Item],
    index: dict[str, int],
    traces: RecordFile[Trace],
    origin: Origin,
    grader: Grader,
) -> "array[int]":
    """Grade each response by the rule, into `traces`; returns the index of each item's trace."""
    trace_of = array("q", [_NONE]) * len(items)
    line_of = array("q", [0]) * len(items)
    with progress(len(items), "score") as bar:
        for one in read_jsonl(config.responses, ResponseRow):
            key = one.row.id
            if key not in index:
                raise ValueError(f"{one.place}: unknown id {key!r:.80}; {_hint(benchmark, key, index)}")
            number = index[key]
            first = one._replace(number=line_of[number]).place if trace_of[number] != _NONE else None
            check_new(key, one.place, first, ": one response per item")
            line_of[number] = one.number
            item = items[number]
            trace_of[number] = traces.append(_trace(benchmark, item, one.row.response, config, origin, grader))
            bar.advance(1)
    if not len(traces):
        raise ValueError(f"{config.responses}: holds no responses; a row is {{id, response}}")
    return trace_of


def _trace(
    benchmark: Benchmark,
    item: Item,
    text: str,
    config: ScoreConfig,
    origin: Origin,
    grader: Grader,
) -> Trace:
    graded = grade_item(benchmark, item, text, config.style, grader)
    return Trace.of(graded, origin=origin, problem=item.problem, style=style_of(text, config.style), text=text)


def _hint(benchmark: Benchmark, key: str, index: dict[str, int]) -> str:
    meant = suggest(key, index, cutoff=0.8) if len(key) < _LONGEST_ID else ""
    shown = ", ".join(map(repr, list(index)[:_SHOWN_IDS]))
    return f"{meant}{' ' if meant else ''}ids of {benchmark.name} are {shown}, ... in this data"


class _Output:
    """Judges what is graded, writes it, and adds it up, in the order of the benchmark's items."""

    def __init__(
        self,
        config: ScoreConfig,
        benchmark: Benchmark,
        given: Given,
        *,
        rows: Path | None,
        run_dir: RunDir | None,
        judge: Generator | None,
    ) -> None:
        self._config = config
        self._benchmark = benchmark
        self._given = given
        self._rows = rows
        self._run = run_dir
        self._stand_in = judge
        self._aggregator = Aggregator()
        self._judging = Judging()
        self._rejected = list(given.rejected)
        self._results: list[SampleResult] = []
        """What the stage table needs of the traces, for a run directory."""
        self._spend: tuple[Spend, ...] = ()

    def work(self, marks: RecordFile[Mark]) -> BenchmarkResult:
        """Everything; `marks` is an empty file for the marks."""
        with ExitStack() as stack:
            sinks = list[Sink]()
            if self._rows is not None:
                sinks.append(stack.enter_context(_rows_file(self._rows)))
            if self._run is not None:
                rows = stack.enter_context(Ledger(self._run.path / ROWS, num_bytes=0))
                sinks.append(lambda found: rows.append_lines(row.line() for row in found))
            pool, judge = self._open_judge(stack)
            try:
                for cases in self._batches(_AT_ONCE * pool.window):
                    self._write(cases, judge, marks, sinks)
            except BudgetSpent as error:
                raise Stopped(f"at --max_usd ({error}); what was judged is kept, give more with --max_usd") from error
            self._spend = pool.spend()
        result = self._aggregator.result(self._benchmark, marks, self._facts(), self._missing())
        if self._run is not None:
            self._finish(self._run, result)
        return result

    def _missing(self) -> list[str]:
        """Ids of the items without a response, where other items' numbers depend on them."""
        given = self._given
        if not self._benchmark.by_groups:
            return []
        return [item.problem.id for item, at in zip(given.items, given.trace_of, strict=True) if at == _NONE]

    def _open_judge(self, stack: ExitStack) -> tuple[ModelPool, EvalJudge | None]:
        config = self._config
        path = self._run.path / RESPONSES if self._run else shared_cache()
        # One job: what earlier tries paid for the same responses counts against the limit.
        job = f"{config.benchmark}:{config.responses_sha256}"
        pool = ModelPool(
            stack,
            cache=stack.enter_context(ResponseCache(path, job=job)) if config.servers else None,
            window=batches_under_way(config.servers, _AT_ONCE),
            max_usd=config.max_usd,
        )
        return pool, open_judge(config.judge, self._benchmark, pool, self._stand_in)

    def _batches(self, size: int) -> Iterator[list[Case]]:
        """The items that have a response, with it, in order; the others are counted."""
        cases: list[Case] = []
        for item, number in zip(self._given.items, self._given.trace_of, strict=True):
            if number == _NONE:
                self._rejected.append(self._without_response(item))
                continue
            cases.append((item, self._given.traces[number]))
            if len(cases) == size:
                yield cases
                cases = []
        yield cases

    def _without_response(self, item: Item) -> Rejected:
        # What cannot be graded is no answer that is missing.
        found = self._benchmark.grade(item, "")
        if found.verdict == "ungradable":
            return Rejected.about(item.problem, "gold", "gold is ungradable")
        return Rejected.about(item.problem, "response", "no recorded response")

    def _write(self, cases: list[Case], judge: EvalJudge | None, marks: RecordFile[Mark], sinks: list["Sink"]) -> None:
        decided = [JudgedTrace(trace) for _, trace in cases]
        if judge is not None:
            decided, judging = judge.decide(cases)
            self._judging = self._judging.plus(judging)
        rows = []
        for (item, _), one in zip(cases, decided, strict=True):
            mark = mark_of(item, one.trace, one.decided_by)
            marks.append(mark)
            official = official_verdict(self._benchmark, item, one.trace.text, one.trace.style)
            rows.append(row_of(mark, score=one.score, official=official))
            self._aggregator.add(rows[-1], one.trace)
        for sink in sinks:
            sink(rows)
        if self._run is not None:
            self._run.append_traces(one.trace for one in decided)
            self._results += results_of(one.trace for one in decided)

    def _facts(self) -> Facts:
        lost = count_rejected(self._rejected)
        return Facts(
            model=self._config.name,
            data=self._config.data.label,
            style=self._config.style,
            missing=sum(lost.get("response", {}).values()),
            unusable=len(self._given.rejected),
            ungradable_missing=sum(lost.get("gold", {}).values()),
            judging=self._judging,
        )

    def _finish(self, run_dir: RunDir, result: BenchmarkResult) -> None:
        with Ledger(run_dir.path / REJECTED, num_bytes=0) as ledger:
            ledger.append(self._rejected)
        missing = sum(row.where != "source" for row in self._rejected)
        found = EvalResult(
            stages=(summarise(self._results, self._config.name),),
            rows=len(self._given.items) + len(self._given.rejected),
            answered=len(self._given.items) - missing,
            refused=0,
            missing=missing,
            rejected=count_rejected(self._rejected),
            adjusted_pictures=0,
            truncation_rate=None,
            benchmark=result,
            spend=self._spend,
        )
        run_dir.finish(found.model_dump(mode="json"))


@contextmanager
def _rows_file(path: Path) -> Iterator["Sink"]:
    """Rows appear under their name when all of them are there."""
    with atomic_file(path, durable=False) as file:
        yield lambda rows: file.writelines(f"{row.line()}\n" for row in rows)
