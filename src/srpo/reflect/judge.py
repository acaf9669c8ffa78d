"""A second, cheaper opinion on what the teacher wrote: 0 to 5 points by our own rubric (`core.prompts.JUDGE`)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from srpo.config.reflect import JudgeConfig
from srpo.core.prompts import JUDGE, problem_text
from srpo.core.records import Sampling, Trace
from srpo.models.protocol import Completion, Generator, Message, Request

_SCORE = re.compile(r"<score>\s*([0-5])\s*(?:/\s*5\s*)?</score>")
_WHY_LENGTH = 200


class Judge:
    """A generator that gives points."""

    def __init__(self, generator: Generator, config: JudgeConfig, *, seed: int) -> None:
        self._generator = generator
        self._min_score = config.min_score
        self._sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens, seed=seed)

    def objections(self, traces: Sequence[Trace]) -> list[str | None]:
        """Why each trace is not good enough, None if it is; the words before the colon are the kind of reason."""
        requests = [request_about(trace) for trace in traces]
        replies = self._generator.generate(requests, self._sampling) if requests else []
        return [self._objection(reply) for (reply,) in replies]

    def _objection(self, reply: Completion) -> str | None:
        if reply.error is not None:
            return f"judge failed: {reply.error}"
        verdict = read_verdict(reply.text)
        if verdict is None:
            return "judge unreadable: no score from 0 to 5 in its reply"
        if verdict.score < self._min_score:
            return f"judged low: {verdict.score} of 5 points, {self._min_score} are wanted: {verdict.why}"
        return None


class Verdict(NamedTuple):
    """What a judge said."""

    score: int
    why: str
    """Its reason, cut to a sentence's length."""


def read_verdict(text: str) -> Verdict | None:
    """The last score in a reply and the words before it; None where there is no score.

    >>> read_verdict("It names the wrong bar. <score>2</score>")
    Verdict(score=2, why='It names the wrong bar.')
    """
    scores = list(_SCORE.finditer(text))
    if not scores:
        return None
    found = scores[-1]
    return Verdict(int(found[1]), " ".join(text[: found.start()].split())[:_WHY_LENGTH])


def request_about(trace: Trace) -> Request:
    """Problem, response and rubric as a conversation."""
    messages = (
        Message(role="user", text=problem_text(trace.problem)),
        Message(role="assistant", text=trace.text),
        Message(role="user", text=JUDGE.template),
    )
    return Request(problem=trace.problem, messages=messages)
