"""`srpo reflect` (stage 1a; paper section 3.2): first attempts, a teacher's reflections, and which of them are kept.

    with RunDir.open("runs/reflect", config, "reflect") as run_dir:
        result = run(config, run_dir)

Differs from the paper: the teacher also writes a real second think, every reply is verified, and nothing gets lost.

    problems.jsonl     the usable problems (`reflect.prepare`)        difficulty.jsonl   how the attempts at each went
    verified.jsonl     all traces that passed                        traces.jsonl       the selected ones
    rejected.jsonl     everything else, with its reason              responses.sqlite   answers of servers, paid once

The counts in `summary.json` add up. Batches are committed in order, whatever order they finish in: a run that was
killed goes on after its last batch and ends the same, and what servers had answered by then is not asked again.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from srpo.core.records import DRAWN, Problem, Record, Trace
from srpo.core.selection import select
from srpo.models.config import LOCAL, ServerConfig
from srpo.models.meter import Spend
from srpo.models.pool import ModelPool, open_pool
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.relay.engine import open_work
from srpo.models.spending import PoolSpending
from srpo.reflect.batches import ReflectedBatch, ReflectWork
from srpo.reflect.config import ReflectConfig
from srpo.reflect.models import Overrides
from srpo.reflect.prepare import PreparedProblems, prepare, read_batches, sample_problems
from srpo.runs.batched import Batch, BatchedRun, BatchRecord
from srpo.runs.directory import RunDir
from srpo.runs.origin import make_origin
from srpo.runs.reader import read_traces
from srpo.runs.rejects import REJECTED, Ledger, count_rejected, read_rejected

VERIFIED, DIFFICULTY = "verified.jsonl", "difficulty.jsonl"
_SELECTED_AT_ONCE = 1000


class ReflectResult(Record):
    """Contents of `summary.json`.

    `rows` = rejected rows of the source + `refused` + answered problems; `attempts` = answered problems x samples =
    rejected attempts, golds and replies + `verified`; `verified` = `selected` + rejected by the selection.
    """

    rows: int
    """Rows of the source that were looked at."""
    refused: int
    """Problems that the policy cannot take."""
    attempts: int
    """First attempts sampled."""
    first_accuracy: float
    """Share of right ones among the first attempts with a format and a gradable gold."""
    asked: int
    """Different first attempts that the teacher was asked about."""
    requests: int
    """Replies of the teacher, retries included."""
    verified: int
    """Attempts with a reply that passed all checks."""
    selected: int
    """Traces kept for training."""
    selected_wrong: int
    """Among these, revised wrong first attempts; the others are refined right ones."""
    rejected: dict[str, dict[str, int]]
    """How much was left out, by place and reason; one by one in `rejected.jsonl`."""
    spend: tuple[Spend, ...] = ()
    """What servers were asked and paid, by model."""


def run(
    config: ReflectConfig,
    run_dir: RunDir,
    *,
    policy: InspectingGenerator | None = None,
    teacher: Generator | None = None,
    judge: Generator | None = None,
) -> ReflectResult:
    """Make reflection data, or go on making it; `policy`, `teacher` and `judge` stand in for what the config names.

    Raises:
        ValueError: no usable problem, a teacher that cannot know these problems, or a server that answers nothing.
        Stopped: the user asked to stop, or the money is spent; the run is saved.
    """
    if run_dir.finished:
        return ReflectResult.model_validate(run_dir.summary())
    # Until something was recorded, the data may have been mended since.
    found = prepare(config, run_dir.path, again=run_dir.latest_checkpoint() is None)
    if teacher is None:
        _check_teacher(config, run_dir.path)
    model = config.model.model if isinstance(config.model, ServerConfig) else config.model
    origin = make_origin(run_dir, "reflect", model, config.prompt, config.sampling)
    reflection = ReflectWork(config, origin, Overrides(policy=policy, teacher=teacher, judge=judge))
    with open_pool(config, run_dir.path) as pool, open_work(reflection, pool, config.engine, config.ray) as work:
        _work(config, run_dir, found, work, pool)
        spend = pool.spend()
    result = _result(config, run_dir, found, spend)
    run_dir.finish(result.model_dump(mode="json"))
    return result


def _work(
    config: ReflectConfig,
    run_dir: RunDir,
    found: PreparedProblems,
    work: Callable[[Sequence[Problem]], ReflectedBatch],
    pool: ModelPool,
) -> None:
    """Work through the batches that are not done yet, then select."""
    folder, total, size = run_dir.path, found.num_problems, config.batch_size
    ledgers = {REJECTED: found.rejected_bytes, VERIFIED: 0, DIFFICULTY: 0}
    spending = PoolSpending(pool, config.budget, folder, total)
    with BatchedRun(run_dir, total, size, ledgers=ledgers, spending=spending) as batched:
        left = read_batches(folder, size, start=batched.state.get("offset", 0), number=batched.num_batches)
        recorder = _Recorder(batched)
        batched.work(left, work, recorder.record, sample=lambda count: sample_problems(folder, total, count))
        _select(config, run_dir, batched.ledgers)


class _Recorder:
    """Writes down what came of each batch, and keeps count."""

    def __init__(self, batched: BatchedRun) -> None:
        self._ledgers = batched.ledgers
        self._counts: Counter[str] = Counter(batched.state.get("counts", {}))

    def record(self, batch: Batch, result: ReflectedBatch) -> BatchRecord:
        self._counts.update(result.counts)
        self._ledgers[REJECTED].append(result.rejected)
        self._ledgers[VERIFIED].append(result.traces)
        self._ledgers[DIFFICULTY].append(result.difficulties)
        state = {"offset": batch.end, "counts": dict(self._counts)}
        return BatchRecord(_metrics(result.counts), state, {"verified": str(self._counts["verified"])})


def _select(config: ReflectConfig, run_dir: RunDir, ledgers: Mapping[str, Ledger]) -> None:
    """Written once, after the last checkpoint: a run killed in here is cut back and does it again."""
    ledgers[VERIFIED].sync()
    path = run_dir.path / VERIFIED
    selection = select(
        read_traces(path),
        wrong_share=config.wrong_share,
        max_count=config.max_count,
        caps=config.caps,
        balance=config.balance,
        seed=config.seed,
    )
    kept: list[Trace] = []
    for position, trace in enumerate(read_traces(path)):
        rejected = selection.rejected(position, trace)
        if rejected is None:
            kept.append(trace)
        else:
            ledgers[REJECTED].append([rejected])
        if len(kept) == _SELECTED_AT_ONCE:
            run_dir.append_traces(kept)
            kept = []
    run_dir.append_traces(kept)


def _result(config: ReflectConfig, run_dir: RunDir, found: PreparedProblems, spend: tuple[Spend, ...]) -> ReflectResult:
    """The counts, checked to add up."""
    checkpoint = run_dir.latest_checkpoint()
    assert checkpoint is not None
    counts: Counter[str] = Counter(checkpoint.extra["counts"])
    rejected = count_rejected(read_rejected(run_dir.path))
    lost = {where: sum(reasons.values()) for where, reasons in rejected.items()}
    selected = Counter(trace.first_grade.is_correct for trace in run_dir.traces())
    result = ReflectResult(
        rows=found.num_rows,
        refused=lost.get("prompt", 0),
        attempts=counts["attempts"],
        first_accuracy=counts["right"] / max(1, counts["graded"]),
        asked=counts["asked"],
        requests=counts["requests"],
        verified=counts["verified"],
        selected=selected.total(),
        selected_wrong=selected[False],
        rejected=rejected,
        spend=spend,
    )
    answered = found.num_problems - result.refused
    unused = sum(lost.get(where, 0) for where in ("attempt", "gold", "teacher"))
    assert result.rows == found.num_problems + lost.get("source", 0), result
    assert result.attempts == answered * config.num_samples == unused + result.verified, result
    assert result.verified == result.selected + lost.get("selection", 0), result
    return result


def _metrics(counts: Counter[str]) -> dict[str, float]:
    """The numbers of one batch."""
    return {
        "reflect/attempts/count": counts["attempts"],
        "reflect/first/accuracy": counts["right"] / max(1, counts["graded"]),
        "reflect/format/rate": counts["graded"] / max(1, counts["attempts"]),
        "reflect/teacher/requests": counts["requests"],
        "reflect/teacher/acceptance": counts["verified"] / max(1, counts["asked"]),
    }


def _check_teacher(config: ReflectConfig, folder: Path) -> None:
    if config.teacher.model != "scripted":
        return
    problems = (problem for batch in read_batches(folder, config.batch_size) for problem in batch.problems)
    other = next((one for one in problems if not _is_drawn(one)), None)
    if other is not None:
        raise ValueError(
            f"teacher 'scripted' knows the solution steps of drawn problems only, and {other.id!r} ({other.source}) is "
            f"none; use teacher policy, teacher {LOCAL}<checkpoint directory>, or a server"
        )


def _is_drawn(problem: Problem) -> bool:
    return bool(problem.images) and problem.images[0].startswith(DRAWN)
