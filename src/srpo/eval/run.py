"""`srpo eval`: sample responses to a set of problems, grade both answers, and say what that adds up to.

    with RunDir.open("runs/eval", config, "eval") as run_dir:
        result = run(config, run_dir)
    result.summary.final_accuracy

Problems are worked through in batches, and the run is saved after each: a run that was killed goes on where it was and
ends with the same traces. Every problem ends up in the traces or, with id and reason, in `rejected.jsonl`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from srpo.config.eval import EvalConfig
from srpo.core.grading import SymbolicVerifier
from srpo.core.records import Record, TokenCounts, Trace
from srpo.core.response import first_attempt_end
from srpo.core.statistics import StageSummary, majority_vote, summarise, wilson
from srpo.data.sources import ProblemSet, load_problems
from srpo.eval import intake
from srpo.eval.accounts import REJECTED, Ledger, count_dropped, fingerprint, read_dropped
from srpo.eval.scoring import score_text
from srpo.models.local import InspectingGenerator
from srpo.models.protocol import Completion
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal
from srpo.runs.progress import progress


class EvalResult(Record):
    """Contents of `summary.json`. `rows` is the sum of `answered`, `refused` and the rejected rows of the source."""

    stages: tuple[StageSummary, ...]
    """One row, in the form that reports and comparisons read."""
    rows: int
    """Rows of the source that were looked at."""
    answered: int
    """Problems with responses in `traces.jsonl`."""
    refused: int
    """Problems that the model cannot take: broken pictures, too many tokens."""
    rejected: dict[str, dict[str, int]]
    """How many rows and problems were left out, by place and reason; one by one in `rejected.jsonl`."""
    adjusted_pictures: int
    """Problems with a picture that was padded, or of which only the first frame was used."""
    truncation_rate: float
    """Share of responses that ran into `max_tokens`."""
    majority_accuracy: float | None = None
    """Accuracy of the most frequent final answer of each problem, when asked for."""
    majority_interval: tuple[float, float] | None = None
    """95% Wilson interval of that accuracy."""

    @property
    def summary(self) -> StageSummary:
        """The row of the stage table."""
        return self.stages[0]


def run(config: EvalConfig, run_dir: RunDir, *, generator: InspectingGenerator | None = None) -> EvalResult:
    """Evaluate, or go on with an evaluation; `generator` stands in for the checkpoint that the config names.

    Raises:
        ValueError: there is no usable problem, the model can take none, or the data changed since the run began.
        Stopped: the user asked to stop; the run is saved.
    """
    if run_dir.finished:
        return EvalResult.model_validate(run_dir.summary())
    problems = load_problems(config.data, limit=config.limit)
    intake.check_usable(problems, config.data.label)
    if generator is None:
        generator = intake.load_generator(
            config.model, device=config.device, dtype=config.dtype, max_pixels=config.max_pixels
        )
    with intake.open_verifier(config.symbolic) as symbolic:
        num_adjusted = _Evaluation(config, run_dir, problems, generator=generator, symbolic=symbolic).work()
    result = _result(config, run_dir, problems, num_adjusted)
    run_dir.finish(result.model_dump(mode="json"))
    return result


class _Evaluation:
    """The batches of one evaluation."""

    def __init__(
        self,
        config: EvalConfig,
        run_dir: RunDir,
        problems: ProblemSet,
        *,
        generator: InspectingGenerator,
        symbolic: SymbolicVerifier | None,
    ) -> None:
        self._config = config
        self._run = run_dir
        self._set = problems
        self._generator = generator
        self._symbolic = symbolic
        self._origin = intake.make_origin(run_dir, "eval", config.model, config.prompt, config.sampling)

    def work(self) -> int:
        """Answer what is not answered yet, batch by batch; returns the number of problems with adjusted pictures."""
        label, digest = self._config.data.label, fingerprint(self._set.problems)
        batches = intake.split_batches(self._set.problems, self._config.batch_size)
        self._run.total_steps = len(batches)
        checkpoint = self._run.latest_checkpoint()
        done, extra = (checkpoint.step, checkpoint.extra) if checkpoint else (0, {})
        intake.check_same_data(extra, digest, label)
        num_adjusted: int = extra.get("adjusted", 0)
        num_done = sum(map(len, batches[:done]))
        with (
            Ledger(self._run.path / REJECTED, num_bytes=extra.get(REJECTED, 0)) as ledger,
            stop_signal() as stop,
            progress(len(self._set.problems), "eval", done=num_done) as bar,
        ):
            if not done:
                ledger.append(intake.rejected_rows(self._set))
            for step, batch in enumerate(batches[done:], start=done + 1):
                taken, refused = intake.take_all(self._generator, batch, self._config.prompt, self._config.num_samples)
                ledger.append(refused)
                traces = self._answer(taken)
                num_adjusted += sum(bool(one.notes) for one in taken)
                self._run.append_traces(traces)
                self._run.log(step, metrics(traces, "eval"))
                state = {"data": digest, "adjusted": num_adjusted, REJECTED: ledger.sync()}
                self._run.checkpoint(step, _save_nothing, state)
                bar.advance(len(batch), final=_mean([trace.final_grade.is_correct for trace in traces]))
                if stop.requested:
                    raise Stopped(f"after batch {step} of {len(batches)}")
        return num_adjusted

    def _answer(self, taken: Sequence[intake.Taken]) -> list[Trace]:
        if not taken:
            return []
        groups = self._generator.generate([one.request for one in taken], self._config.sampling)
        return [
            self._judge(one, sample, completion)
            for one, group in zip(taken, groups, strict=True)
            for sample, completion in enumerate(group)
        ]

    def _judge(self, taken: intake.Taken, sample: int, completion: Completion) -> Trace:
        problem, text = taken.request.problem, completion.text
        scored = score_text(problem, text, self._config.style, self._symbolic)
        return Trace(
            origin=self._origin,
            problem=problem,
            sample=sample,
            style=self._config.style,
            text=text,
            response=scored.response,
            format_error=scored.format_error,
            first_grade=scored.first_grade,
            final_grade=scored.final_grade,
            tokens=TokenCounts(
                prompt=taken.num_prompt_tokens,
                total=completion.num_tokens,
                first=self._first_tokens(completion),
                truncated=completion.truncated,
            ),
        )

    def _first_tokens(self, completion: Completion) -> int:
        if self._config.style == "single":
            return completion.num_tokens
        end = first_attempt_end(completion.text)
        return 0 if end is None else self._generator.count_tokens(completion.text[:end])


def metrics(traces: Sequence[Trace], stage: str) -> dict[str, float]:
    """The numbers of one batch, as `metrics.jsonl` has them."""
    return {
        f"{stage}/samples/count": len(traces),
        f"{stage}/first/accuracy": _mean([trace.first_grade.is_correct for trace in traces]),
        f"{stage}/final/accuracy": _mean([trace.final_grade.is_correct for trace in traces]),
        f"{stage}/format/rate": _mean([trace.response is not None for trace in traces]),
        f"{stage}/tokens/mean": _mean([trace.tokens.total for trace in traces if trace.tokens]),
    }


def vote(traces: Sequence[Trace]) -> dict[str, bool]:
    """Whether the most frequent final answer of each problem is right; ungradable golds are left out."""
    groups: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.outcome is not None:
            groups.setdefault(trace.problem.id, []).append(trace)
    return {key: _vote_is_right(group) for key, group in groups.items()}


def _vote_is_right(group: Sequence[Trace]) -> bool:
    # Right answers are one answer, however they are written: "0.5" and "1/2" must not split the vote.
    right = "\0right"
    answers = [right if trace.final_grade.is_correct else trace.final_grade.extracted for trace in group]
    return majority_vote(answers) == right


def _result(config: EvalConfig, run_dir: RunDir, problems: ProblemSet, num_adjusted: int) -> EvalResult:
    traces = list(run_dir.traces())
    dropped = list(read_dropped(run_dir.path))
    refused = [row for row in dropped if row.where == "prompt"]
    if not traces:
        raise ValueError(
            f"the model can take none of the {len(problems.problems)} problems of {config.data.label}, "
            f"e.g. {refused[0].id!r}: {refused[0].detail}"
        )
    votes = list(vote(traces).values()) if config.majority else []
    return EvalResult(
        stages=(
            summarise(
                traces,
                config.name or Path(config.model).name,
                tokens=sum(trace.tokens.total for trace in traces if trace.tokens),
                seconds=_seconds(list(run_dir.metrics())),
            ),
        ),
        rows=len(problems.problems) + len(problems.rejected),
        answered=len(problems.problems) - len(refused),
        refused=len(refused),
        rejected=count_dropped(dropped),
        adjusted_pictures=num_adjusted,
        truncation_rate=_mean([trace.tokens.truncated for trace in traces if trace.tokens]),
        majority_accuracy=_mean(votes) if votes else None,
        majority_interval=wilson(sum(votes), len(votes)) if votes else None,
    )


def _seconds(rows: Sequence[Mapping[str, float]]) -> float | None:
    return rows[-1]["time_s"] if rows else None


def _save_nothing(_: Path) -> None:
    """The state of an evaluation is small enough for the checkpoint's own file."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
