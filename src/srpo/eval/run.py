"""`srpo eval`: sample responses to problems or a benchmark, grade both answers, and say what that adds up to.

    with RunDir.open("runs/eval", config, "eval") as run_dir:
        result = run(config, run_dir)
    result.summary.final_accuracy, result.benchmark.headline

Problems are worked through in batches, and the run is saved after each: a run that was killed goes on where it was and
ends with the same traces. With servers several batches are under way, and they are committed in order; what servers had
answered is in `responses.sqlite` and is not asked again. Every problem ends up in the traces or, with id and reason, in
`rejected.jsonl`; for benchmarks `rows.jsonl` says how each response was graded and by whom. The answers of a probe,
with disturbed pictures, are in `probe.jsonl`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.prompts import Prompt
from srpo.core.records import Problem, Trace
from srpo.core.statistics import majority_vote, mean, wilson
from srpo.core.summary import results_of, summarise
from srpo.data.sources import ProblemSet
from srpo.data.usable import check_usable, split_batches, spread
from srpo.eval.aggregate import ROWS, Aggregator, Facts, ItemRow, Judging, mark_of, read_item_rows, row_of
from srpo.eval.benchmarks.benchmark import Mark
from srpo.eval.benchmarks.grade import official_verdict
from srpo.eval.config import EvalConfig
from srpo.eval.dataset import Dataset, load_dataset
from srpo.eval.judge import JudgedTrace
from srpo.eval.metrics.voting import RIGHT
from srpo.eval.probe import PROBED, Prober, read_probe
from srpo.eval.result import BenchmarkResult, EvalResult
from srpo.eval.worker import EvaluatedBatch, EvalWork
from srpo.models.meter import Spend
from srpo.models.pool import ModelPool, open_pool
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.relay.engine import open_work
from srpo.models.spending import PoolSpending
from srpo.policy.prompts import identity_of, read_prompt
from srpo.runs.batched import Batch, BatchedRun, BatchRecord
from srpo.runs.directory import RunDir
from srpo.runs.origin import check_same_data, make_origin
from srpo.runs.rejects import REJECTED, count_rejected, fingerprint, read_rejected


def run(
    config: EvalConfig,
    run_dir: RunDir,
    *,
    generator: InspectingGenerator | None = None,
    judge: Generator | None = None,
) -> EvalResult:
    """Evaluate, or go on with an evaluation; `generator` and `judge` stand in for the models that the config names.

    Raises:
        ValueError: there is no usable problem, the model can take none, a server answers nothing, or the data changed
            since the run began.
        Stopped: the user asked to stop, or the money is spent; the run is saved.
    """
    if run_dir.finished:
        return EvalResult.model_validate(run_dir.summary())
    dataset = load_dataset(config)
    check_usable(dataset.problems, dataset.label)
    prompt = read_prompt(config.prompt, config.system, config.checkpoint)
    evaluation = EvalWork(
        config=config,
        # A batch brings its problems.
        dataset=dataset._replace(problems=ProblemSet((), ())),
        origin=make_origin(run_dir, "eval", config.model_name, prompt, config.sampling),
        prompt=prompt,
        prober=Prober(config.probe, config.seed, dataset.problems.problems) if config.probe else None,
        given_model=generator,
        given_judge=judge,
    )
    with open_pool(config, run_dir.path) as pool, open_work(evaluation, pool, config.engine, config.ray) as work:
        state = _work(config, run_dir, dataset, prompt, work, pool)
        spend = pool.spend()
    result = _result(config, run_dir, dataset, state, spend)
    run_dir.finish(result.model_dump(mode="json"))
    return result


class _State(NamedTuple):
    """What a checkpoint knows beside the lengths of the files."""

    num_adjusted: int = 0
    judging: Judging = Judging()


def _work(
    config: EvalConfig,
    run_dir: RunDir,
    dataset: Dataset,
    prompt: Prompt,
    work: Callable[[Sequence[Problem]], EvaluatedBatch],
    pool: ModelPool,
) -> _State:
    """Answer what is not answered yet, batch by batch."""
    problems = dataset.problems.problems
    spending = PoolSpending(pool, config.budget, run_dir.path, len(problems))
    wanted = {REJECTED: True, ROWS: dataset.benchmark is not None, PROBED: config.probe is not None}
    ledgers = {name: 0 for name, is_wanted in wanted.items() if is_wanted}
    batched = BatchedRun(run_dir, len(problems), config.batch_size, ledgers=ledgers, spending=spending)
    digest = identity_of(fingerprint(problems), prompt)
    check_same_data(batched.state, digest, dataset.label)
    with batched:
        if not batched.num_batches:
            batched.ledgers[REJECTED].append(dataset.problems.rejected)
        batches = [Batch(*one) for one in enumerate(split_batches(problems, config.batch_size), start=1)]
        recorder = _Recorder(run_dir, dataset, batched, digest)
        left = batches[batched.num_batches :]
        batched.work(left, work, recorder.record, sample=lambda count: spread(problems, count))
    return recorder.state


class _Recorder:
    """Writes down what came of each batch, and keeps count."""

    def __init__(self, run_dir: RunDir, dataset: Dataset, batched: BatchedRun, digest: str) -> None:
        self._run = run_dir
        self._dataset = dataset
        self._ledgers = batched.ledgers
        self._digest = digest
        self.state = _state_of(batched.state)

    def record(self, _: Batch, found: EvaluatedBatch) -> BatchRecord:
        self.state = _State(self.state.num_adjusted + found.num_adjusted, self.state.judging.plus(found.judging))
        traces = [one.trace for one in found.decided]
        self._ledgers[REJECTED].append(found.rejected)
        if ROWS in self._ledgers:
            self._ledgers[ROWS].append_lines(self._row(one).line() for one in found.decided)
        if PROBED in self._ledgers:
            self._ledgers[PROBED].append(found.probed)
        self._run.append_traces(traces)
        final = mean([trace.final_grade.is_correct for trace in traces])
        return BatchRecord(metrics(traces, "eval"), {"data": self._digest, **_extra_of(self.state)}, {"final": final})

    def _row(self, one: JudgedTrace) -> ItemRow:
        benchmark, trace = self._dataset.benchmark, one.trace
        assert benchmark is not None, "rows are of a benchmark"
        item = self._dataset.items[trace.problem.id]
        official = official_verdict(benchmark, item, trace.text, trace.style)
        return row_of(mark_of(item, trace, one.decided_by), sample=trace.sample, score=one.score, official=official)


def metrics(traces: Sequence[Trace], stage: str) -> dict[str, float]:
    """The numbers of one batch, as `metrics.jsonl` has them."""
    return {
        f"{stage}/samples/count": len(traces),
        f"{stage}/first/accuracy": mean([trace.first_grade.is_correct for trace in traces]),
        f"{stage}/final/accuracy": mean([trace.final_grade.is_correct for trace in traces]),
        f"{stage}/format/rate": mean([trace.has_format for trace in traces]),
        f"{stage}/tokens/mean": mean([trace.tokens.total for trace in traces if trace.tokens]),
    }


def vote(traces: Iterable[Trace]) -> dict[str, bool]:
    """Whether the most frequent final answer of each problem is right; ungradable golds are left out."""
    groups: dict[str, list[str | None]] = {}
    for trace in traces:
        if trace.outcome is not None:
            # Right answers are one answer, however they are written: "0.5" and "1/2" must not split the vote.
            grade = trace.final_grade
            groups.setdefault(trace.problem.id, []).append(RIGHT if grade.is_correct else grade.extracted)
    return {key: majority_vote(answers) == RIGHT for key, answers in groups.items()}


def _result(
    config: EvalConfig, run_dir: RunDir, dataset: Dataset, state: _State, spend: tuple[Spend, ...]
) -> EvalResult:
    problems = dataset.problems
    results = results_of(run_dir.traces())
    rejected = list(read_rejected(run_dir.path))
    refused = [row for row in rejected if row.where == "prompt"]
    failed = {row.id: row for row in rejected if row.where == "response"}
    if not results:
        first = (refused or list(failed.values()))[0]
        raise ValueError(
            f"the model can take none of the {len(problems.problems)} problems of {dataset.label}, "
            f"e.g. {first.id!r}: {first.detail}"
        )
    # Some samples of a problem may have failed, and others not.
    lost = failed.keys() - {one.problem for one in results}
    name = config.name or Path(config.model_name).name
    facts = Facts(
        model=name,
        data=dataset.label,
        style=config.style,
        missing=0,
        unusable=len(problems.rejected) + len(refused),
        judging=state.judging,
    )
    votes = list(vote(run_dir.traces()).values()) if config.majority else []
    return EvalResult(
        stages=(
            summarise(
                results,
                name,
                tokens=sum(one.num_tokens or 0 for one in results),
                seconds=_seconds(list(run_dir.metrics())),
            ),
        ),
        rows=len(problems.problems) + len(problems.rejected),
        answered=len(problems.problems) - len(refused) - len(lost),
        refused=len(refused),
        failed=len(lost),
        rejected=count_rejected(rejected),
        adjusted_pictures=state.num_adjusted,
        truncation_rate=mean(one.truncated for one in results if one.num_tokens is not None),
        majority_accuracy=mean(votes) if votes else None,
        majority_interval=wilson(sum(votes), len(votes)) if votes else None,
        benchmark=_benchmark_result(config, run_dir, dataset, lost, facts),
        probe=read_probe(run_dir.path, run_dir.traces(), config) if config.probe else None,
        spend=spend,
    )


def _benchmark_result(
    config: EvalConfig, run_dir: RunDir, dataset: Dataset, lost: Collection[str], facts: Facts
) -> BenchmarkResult | None:
    """What the benchmark says of the traces and rows that the run has written."""
    benchmark, items = dataset.benchmark, dataset.items
    if benchmark is None:
        return None
    aggregator = Aggregator(config.num_samples)
    marks: dict[str, Mark] = {}
    for trace, row in zip(run_dir.traces(), read_item_rows(run_dir.path), strict=True):
        aggregator.add(row, trace)
        if row.id not in marks:
            marks[row.id] = mark_of(items[row.id], trace, row.decided_by)
    ungradable = sum(benchmark.grade(items[key], "").verdict == "ungradable" for key in lost)
    missing = len(lost) - ungradable
    facts = facts._replace(missing=missing, failed=missing, ungradable_missing=ungradable)
    return aggregator.result(benchmark, list(marks.values()), facts, [*lost, *dataset.rest])


def _state_of(extra: Mapping[str, Any]) -> _State:
    judged = extra.get("judging")
    return _State(extra.get("adjusted", 0), Judging(**judged) if judged else Judging())


def _extra_of(state: _State) -> dict[str, Any]:
    judging = state.judging
    return {"adjusted": state.num_adjusted, "judging": judging._asdict() | {"failures": dict(judging.failures)}}


def _seconds(rows: Sequence[Mapping[str, float]]) -> float | None:
    return rows[-1]["time_s"] if rows else None
