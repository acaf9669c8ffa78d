"""`srpo reflect` (stage 1a; paper section 3.2): first attempts, a teacher's reflections, and which of them are kept.

    with RunDir.open("runs/reflect", config, "reflect") as run_dir:
        result = run(config, run_dir)

Differs from the paper: the teacher also writes a real second think, every reply is verified, and nothing gets lost.

    problems.jsonl     the usable problems (`reflect.survey`)        difficulty.jsonl   how the attempts at each went
    verified.jsonl     all traces that passed                        traces.jsonl       the selected ones
    rejected.jsonl     everything else, with its reason              responses.sqlite   answers of servers, paid once

The counts in `summary.json` add up. Batches are committed in order, whatever order they finish in: a run that was
killed goes on after its last batch and ends the same, and what servers had answered by then is not asked again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from srpo.core.records import DRAWN, Problem, Record, Trace
from srpo.core.selection import select
from srpo.grading import Grader
from srpo.models.config import LOCAL, ServerConfig
from srpo.models.meter import BudgetSpent, Spend
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.spending import Projection, confirm, pilot
from srpo.reflect.batches import Reflector, Worked
from srpo.reflect.config import ReflectConfig
from srpo.reflect.models import StandIns, Writers, open_writers
from srpo.reflect.prepare import Batch, Survey, read_batches, sample_problems, survey
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stop, Stopped, stop_signal
from srpo.runs.ordered import in_order
from srpo.runs.origin import make_origin
from srpo.runs.progress import progress
from srpo.runs.reader import read_traces
from srpo.runs.rejects import REJECTED, Dropped, Ledger, count_dropped, read_dropped

VERIFIED, DIFFICULTY = "verified.jsonl", "difficulty.jsonl"
_LEDGERS = (REJECTED, VERIFIED, DIFFICULTY)
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
    found = survey(config, run_dir.path, again=run_dir.latest_checkpoint() is None)
    if teacher is None:
        _check_teacher(config, run_dir.path)
    given = StandIns(policy=policy, teacher=teacher, judge=judge)
    with open_writers(config, run_dir.path, given) as writers, Grader(symbolic=config.symbolic) as grader:
        model = config.model.model if isinstance(config.model, ServerConfig) else config.model
        origin = make_origin(run_dir, "reflect", model, config.prompt, config.sampling)
        reflector = Reflector(config, writers, origin=origin, grader=grader)
        _Reflection(config, run_dir, found, writers=writers, reflector=reflector).work()
        spend = writers.spend()
    result = _result(config, run_dir, found, spend)
    run_dir.finish(result.model_dump(mode="json"))
    return result


class _Reflection:
    """Takes batches in order, and commits them."""

    def __init__(
        self,
        config: ReflectConfig,
        run_dir: RunDir,
        found: Survey,
        *,
        writers: Writers,
        reflector: Reflector,
    ) -> None:
        self._config = config
        self._run = run_dir
        self._found = found
        self._writers = writers
        self._reflector = reflector
        self._counts: Counter[str] = Counter()
        self._num_batches = 0
        self._num_done = 0

    def work(self) -> None:
        """Work through the batches that are not done yet, then select."""
        checkpoint = self._run.latest_checkpoint()
        done, extra = (checkpoint.step, checkpoint.extra) if checkpoint else (0, {})
        self._counts.update(extra.get("counts", {}))
        self._num_batches, self._num_done = done, extra.get("problems", 0)
        self._run.total_steps = -(-self._found.num_problems // self._config.batch_size)
        lengths = {REJECTED: self._found.rejected_bytes, **{name: extra[name] for name in _LEDGERS if name in extra}}
        with ExitStack() as stack:
            ledgers = {
                name: stack.enter_context(Ledger(self._run.path / name, num_bytes=lengths.get(name, 0)))
                for name in _LEDGERS
            }
            batches = read_batches(self._run.path, self._config.batch_size, start=extra.get("offset", 0), number=done)
            try:
                with stop_signal() as stop:
                    self._work_batches(batches, ledgers, stop, begun=bool(done))
            except BudgetSpent as error:
                raise Stopped(
                    f"{self._where()} at budget.max_usd ({error}); give more with --budget.max_usd"
                ) from error
            self._select(ledgers)

    def _where(self) -> str:
        return f"after batch {self._num_batches} of {self._run.total_steps}"

    def _work_batches(self, batches: Iterator[Batch], ledgers: dict[str, Ledger], stop: Stop, *, begun: bool) -> None:
        writers, total = self._writers, self._found.num_problems
        budget, folder = self._config.budget, self._run.path
        estimate = pilot(
            budget,
            folder,
            total,
            lambda count: sample_problems(folder, total, count),
            lambda problem: self._reflector.work([problem]),
            writers,
            stop,
            begun=begun,
        )
        confirm(budget, estimate, begun=begun)
        projection = Projection(estimate, writers, total)
        worked = in_order(self._work, batches, window=writers.window, stop=stop, cancel=writers.cancel)
        with progress(total, "reflect", done=self._num_done) as bar:
            for batch, result in worked:
                self._commit(batch, result, ledgers)
                shown = projection.fields(self._num_done)
                bar.advance(len(batch.problems), verified=str(self._counts["verified"]), **shown)
        if stop.requested:
            raise Stopped(self._where())

    def _work(self, batch: Batch) -> tuple[Batch, Worked]:
        return batch, self._reflector.work(batch.problems)

    def _commit(self, batch: Batch, worked: Worked, ledgers: dict[str, Ledger]) -> None:
        self._counts.update(worked.counts)
        self._num_batches = batch.number
        self._num_done += len(batch.problems)
        ledgers[REJECTED].append(worked.dropped)
        ledgers[VERIFIED].append(worked.traces)
        ledgers[DIFFICULTY].append(worked.difficulties)
        self._run.log(batch.number, _metrics(worked.counts))
        state = {"offset": batch.end, "problems": self._num_done, "counts": dict(self._counts)}
        lengths = {name: ledger.sync() for name, ledger in ledgers.items()}
        self._run.checkpoint(batch.number, _save_nothing, {**state, **lengths})

    def _select(self, ledgers: dict[str, Ledger]) -> None:
        """Written once, after the last checkpoint: a run killed in here is cut back and does it again."""
        ledgers[VERIFIED].sync()
        path = self._run.path / VERIFIED
        selection = select(
            read_traces(path),
            wrong_share=self._config.wrong_share,
            max_count=self._config.max_count,
            caps=self._config.caps,
            seed=self._config.seed,
        )
        kept: list[Trace] = []
        for position, trace in enumerate(read_traces(path)):
            refusal = selection.refusal(position)
            if refusal is None:
                kept.append(trace)
            else:
                ledgers[REJECTED].append([_not_selected(trace, refusal.reason, refusal.detail)])
            if len(kept) == _SELECTED_AT_ONCE:
                self._run.append_traces(kept)
                kept = []
        self._run.append_traces(kept)


def _result(config: ReflectConfig, run_dir: RunDir, found: Survey, spend: tuple[Spend, ...]) -> ReflectResult:
    """The counts, checked to add up."""
    checkpoint = run_dir.latest_checkpoint()
    assert checkpoint is not None
    counts: Counter[str] = Counter(checkpoint.extra["counts"])
    dropped = count_dropped(read_dropped(run_dir.path))
    lost = {where: sum(reasons.values()) for where, reasons in dropped.items()}
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
        rejected=dropped,
        spend=spend,
    )
    answered = found.num_problems - result.refused
    unused = sum(lost.get(where, 0) for where in ("attempt", "gold", "teacher"))
    assert result.rows == found.num_problems + lost.get("source", 0), result
    assert result.attempts == answered * config.num_samples == unused + result.verified, result
    assert result.verified == result.selected + lost.get("selection", 0), result
    return result


def _not_selected(trace: Trace, reason: str, detail: str) -> Dropped:
    return Dropped(
        where="selection",
        id=trace.problem.id,
        place=trace.problem.source,
        sample=trace.sample,
        reason=reason,
        detail=detail,
    )


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


def _save_nothing(_: Path) -> None:
    """Counts and lengths fit into the checkpoint's own file."""
