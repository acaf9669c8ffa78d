"""Ask the teacher about first attempts until a reply can be trusted, or the patience is used up.

A reply is `<reflection>..</reflection> <think>..</think> <answer>..</answer>`. Attempt and reply together must pass
`core.selection.verify_trace`; a reply that does not is asked for again with the reason, a bounded number of times.
"""

from collections.abc import Sequence
from typing import NamedTuple

from srpo.config.reflect import TeacherConfig
from srpo.core.grading import SymbolicVerifier
from srpo.core.prompts import problem_text, teacher_prompt, teacher_text
from srpo.core.records import Attempt, Grade, Origin, Problem, Response, Sampling, TokenCounts, Trace
from srpo.core.response import render, render_attempt
from srpo.core.selection import verify_trace
from srpo.eval.accounts import Dropped
from srpo.eval.scoring import score_text
from srpo.models.local import InspectingGenerator
from srpo.models.protocol import Completion, Generator, Message, Request


class Asked(NamedTuple):
    """One first attempt that the teacher is to reflect upon."""

    problem: Problem
    sample: int
    attempt: Attempt
    grade: Grade
    num_prompt_tokens: int


class Lessons(NamedTuple):
    """What came back; each `Asked` is in exactly one of the two."""

    accepted: tuple[Trace, ...]
    dropped: tuple[Dropped, ...]
    num_requests: int
    """Replies that were asked for, retries included."""


class Teacher:
    """A generator with the rules by which its replies are taken."""

    def __init__(
        self,
        generator: Generator,
        config: TeacherConfig,
        *,
        origin: Origin,
        policy: InspectingGenerator,
        symbolic: SymbolicVerifier | None,
        seed: int,
    ) -> None:
        """`origin` is that of the first attempts; `policy` counts tokens."""
        self._generator = generator
        self._scripted = config.model == "scripted"
        # The scripted teacher says the same again.
        self._rounds = 1 if self._scripted else 1 + config.retries
        self._sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens, seed=seed)
        self._origin = origin
        self._policy = policy
        self._symbolic = symbolic

    def teach(self, asked: Sequence[Asked]) -> Lessons:
        """Reflect upon each attempt; the order of the attempts is kept."""
        accepted: dict[int, Trace] = {}
        dropped: dict[int, Dropped] = {}
        reasons: dict[int, str] = {}
        num_requests = 0
        waiting = list(range(len(asked)))
        for number in range(self._rounds):
            requests = [self._request(asked[i], reasons.get(i)) for i in waiting]
            takes = {i: self._refusal(request) for i, request in zip(waiting, requests, strict=True)}
            dropped.update({i: _dropped(asked[i], why) for i, why in takes.items() if why is not None})
            ready = [(i, request) for i, request in zip(waiting, requests, strict=True) if takes[i] is None]
            sampling = self._sampling.model_copy(update={"seed": self._sampling.seed + number})
            replies = self._generator.generate([request for _, request in ready], sampling) if ready else []
            num_requests += len(ready)
            waiting = []
            for (i, _), (reply,) in zip(ready, replies, strict=True):
                trace, reason = self._examine(asked[i], reply)
                if trace is not None and reason is None:
                    accepted[i] = trace
                    continue
                reasons[i] = reason or ""
                dropped[i] = _dropped(asked[i], reasons[i], reply.text)
                waiting.append(i)
        kept = [accepted[i] for i in sorted(accepted)]
        return Lessons(tuple(kept), tuple(dropped[i] for i in sorted(dropped.keys() - accepted.keys())), num_requests)

    def _request(self, asked: Asked, reason: str | None) -> Request:
        text = teacher_text(asked.problem, asked.attempt, first_is_correct=asked.grade.is_correct)
        if reason is not None:
            text += f"\n\nAn earlier reply was rejected: {reason}. Write a better one."
        messages = (
            Message(role="user", text=problem_text(asked.problem)),
            Message(role="assistant", text=render_attempt(asked.attempt)),
            Message(role="user", text=text),
        )
        return Request(problem=asked.problem, messages=messages)

    def _refusal(self, request: Request) -> str | None:
        inspect = getattr(self._generator, "inspect", None)
        reason = inspect(request).reason if inspect is not None else None
        return None if reason is None else f"the teacher cannot take it: {reason}"

    def _examine(self, asked: Asked, reply: Completion) -> tuple[Trace | None, str | None]:
        if reply.truncated:
            return None, f"truncated: the reply ran into max_tokens {self._sampling.max_tokens}"
        text = f"{render_attempt(asked.attempt)}\n{reply.text.strip()}"
        scored = score_text(asked.problem, text, "reflective", self._symbolic)
        if isinstance(scored.response, Response):
            text = render(scored.response)
        trace = Trace(
            origin=self._origin.model_copy(update={"teacher": self._name(asked.grade.is_correct)}),
            problem=asked.problem,
            sample=asked.sample,
            text=text,
            response=scored.response,
            format_error=scored.format_error,
            first_grade=asked.grade,
            final_grade=scored.final_grade,
            tokens=TokenCounts(
                prompt=asked.num_prompt_tokens,
                total=self._policy.count_tokens(text) + 1,
                first=self._policy.count_tokens(render_attempt(asked.attempt)),
            ),
        )
        return trace, verify_trace(trace)

    def _name(self, first_is_correct: bool) -> str:
        if self._scripted:
            return self._generator.name
        return f"{self._generator.name} {teacher_prompt(first_is_correct).label}"


def _dropped(asked: Asked, reason: str, text: str = "") -> Dropped:
    """`verify_trace` puts the kind of reason before a colon."""
    kind, _, detail = reason.partition(":")
    return Dropped(
        where="teacher",
        id=asked.problem.id,
        place=asked.problem.source,
        sample=asked.sample,
        reason=kind,
        detail=detail.strip(),
        text=text,
    )
