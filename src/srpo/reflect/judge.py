"""A second, cheaper opinion on what the teacher wrote: 0 to 5 points by our own rubric (`core.prompts.JUDGE`)."""

from collections.abc import Sequence

from srpo.core.records import Rejected, Sampling, Trace
from srpo.models.protocol import Completion, Generator
from srpo.models.rubric import read_judgement, request_about
from srpo.reflect.config import JudgeConfig


class ReflectionJudge:
    """A generator that gives points."""

    def __init__(self, generator: Generator, config: JudgeConfig, *, seed: int) -> None:
        self._generator = generator
        self._min_score = config.min_score
        self._sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens, seed=seed)

    def objections(self, traces: Sequence[Trace]) -> list[Rejected | None]:
        """Why each trace is not good enough, None if it is."""
        requests = [request_about(trace) for trace in traces]
        replies = self._generator.generate(requests, self._sampling) if requests else []
        return [self._objection(trace, reply) for trace, (reply,) in zip(traces, replies, strict=True)]

    def _objection(self, trace: Trace, reply: Completion) -> Rejected | None:
        if reply.error is not None:
            return _low(trace, "judge failed", reply.error)
        verdict = read_judgement(reply.text)
        if verdict is None:
            return _low(trace, "judge unreadable", "no score from 0 to 5 in its reply")
        if verdict.score < self._min_score:
            points = f"{verdict.score} of 5 points, {self._min_score} are wanted: {verdict.why}"
            return _low(trace, "judged low", points)
        return None


def _low(trace: Trace, reason: str, detail: str) -> Rejected:
    return Rejected.about(trace.problem, "teacher", reason, detail, sample=trace.sample)
