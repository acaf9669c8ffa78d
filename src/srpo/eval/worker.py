"""One batch of an evaluation: asked, graded, judged. Nothing here writes: the run commits, in order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from srpo.core.prompts import Prompt
from srpo.core.records import Origin, Problem, Rejected, Style, TokenCounts, Trace
from srpo.core.response import first_attempt_end, style_of
from srpo.eval.aggregate import Judging
from srpo.eval.benchmarks.grade import grade_item
from srpo.eval.config import EvalConfig
from srpo.eval.dataset import Dataset
from srpo.eval.judge import EvalJudge, JudgedTrace, open_judge
from srpo.eval.probe import Prober
from srpo.grading import Grader
from srpo.models import asking
from srpo.models.pool import turn_of
from srpo.models.protocol import Completion, Generator, InspectingGenerator
from srpo.models.relay.work import Opener
from srpo.runs.batched import Passed


class EvaluatedBatch(NamedTuple):
    """What came of a batch."""

    decided: list[JudgedTrace]
    rejected: list[Rejected]
    num_adjusted: int
    judging: Judging
    probed: list[Trace]
    """The same problems with disturbed pictures; empty without a probe."""

    @property
    def passed(self) -> Passed:
        """Of the responses: those that came, right or wrong."""
        reasons = Counter(one.reason for one in self.rejected)
        return Passed(len(self.decided) + len(self.rejected), len(self.decided), reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalWork:
    """The stage's work on batches, wherever it is done (`models.relay`)."""

    config: EvalConfig
    dataset: Dataset
    origin: Origin
    prompt: Prompt
    prober: Prober | None
    """Disturbs pictures; None where no probe is asked for. It knows the pictures of all problems, a worker does not."""
    given_model: InspectingGenerator | None
    """In place of the model that the config names."""
    given_judge: Generator | None

    @contextmanager
    def open(self, models: Opener) -> Iterator[Callable[[Sequence[Problem]], EvaluatedBatch]]:
        """With the models that the config names; raises ValueError where one cannot be had."""
        config = self.config
        model = self.given_model or models.open(config.model)
        judge = open_judge(config.judge, self.dataset.benchmark, models, self.given_judge)
        with Grader(symbolic=config.symbolic, rounded=config.rounded) as grader:
            yield Worker(self, model=model, judge=judge, grader=grader).work


class _Answers(NamedTuple):
    traces: list[Trace]
    rejected: list[Rejected]
    num_adjusted: int


class Worker:
    """Answers, grades and judges one batch; writes nothing, so that batches may be under way together."""

    def __init__(self, work: EvalWork, *, model: InspectingGenerator, judge: EvalJudge | None, grader: Grader) -> None:
        self._config = work.config
        self._dataset = work.dataset
        self._origin = work.origin
        self._prompt = work.prompt
        self._model = model
        self._judge = judge
        self._grader = grader
        self._prober = work.prober

    def work(self, problems: Sequence[Problem]) -> EvaluatedBatch:
        """Everything about these problems.

        Raises:
            ValueError: all requests about them failed.
        """
        found = self._answer(problems)
        decided, judging = self._decide(found.traces)
        probed, lost = self._probe(problems, found.traces)
        return EvaluatedBatch(decided, [*found.rejected, *lost], found.num_adjusted, judging, probed)

    def _probe(self, problems: Sequence[Problem], plain: Sequence[Trace]) -> tuple[list[Trace], list[Rejected]]:
        """Answers with disturbed pictures to what was answered, and those that could not be had."""
        if self._prober is None:
            return [], []
        answered = {(trace.problem.id, trace.sample) for trace in plain}
        ids = {key for key, _ in answered}
        disturbed = [self._prober.disturb(problem) for problem in problems if problem.id in ids]
        found = self._answer([problem for problem in disturbed if problem is not None])
        return (
            [trace for trace in found.traces if (trace.problem.id, trace.sample) in answered],
            [one.model_copy(update={"where": "probe"}) for one in found.rejected],
        )

    def _answer(self, problems: Sequence[Problem]) -> _Answers:
        config, model = self._config, self._model
        with turn_of(model):
            taken, rejected = asking.prepare_requests(
                model,
                problems,
                self._prompt,
                config.num_samples,
                self._dataset.question,
                config.max_prompt_tokens,
            )
            groups = model.generate([one.request for one in taken], config.sampling) if taken else []
        errors = [one.error for group in groups for one in group if one.error is not None]
        num_requests = sum(map(len, groups))
        asking.check_alive(model.name, num_requests, errors, num_problems=len(taken))
        traces = []
        for one, group in zip(taken, groups, strict=True):
            for sample, completion in enumerate(group):
                if completion.error is None:
                    traces.append(self._trace(one, sample, completion))
                else:
                    problem, error = one.request.problem, completion.error
                    rejected.append(Rejected.about(problem, "response", "request failed", error, sample=sample))
        return _Answers(traces, rejected, sum(bool(one.notes) for one in taken))

    def _decide(self, traces: Sequence[Trace]) -> tuple[list[JudgedTrace], Judging]:
        if self._judge is None:
            return [JudgedTrace(trace) for trace in traces], Judging()
        return self._judge.decide([(self._dataset.items[trace.problem.id], trace) for trace in traces])

    def _trace(self, taken: asking.PreparedRequest, sample: int, completion: Completion) -> Trace:
        problem, text = taken.request.problem, completion.text
        style = style_of(text, self._config.style)
        benchmark = self._dataset.benchmark
        if benchmark is None:
            graded = self._grader.grade_response(problem, text, style)
        else:
            graded = grade_item(benchmark, self._dataset.items[problem.id], text, style, self._grader)
        return Trace.of(
            graded,
            origin=self._origin,
            problem=problem,
            sample=sample,
            style=style,
            text=text,
            tokens=TokenCounts(
                prompt=taken.num_prompt_tokens,
                total=completion.num_tokens,
                first=self._first_tokens(completion, style),
                truncated=completion.truncated,
            ),
        )

    def _first_tokens(self, completion: Completion, style: Style) -> int:
        if style == "single":
            return completion.num_tokens
        end = first_attempt_end(completion.text)
        return 0 if end is None else self._model.count_tokens(completion.text[:end])
