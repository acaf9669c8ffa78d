"""Ask the teacher about first attempts until a reply can be trusted, or the patience is used up.

A reply is `<reflection>..</reflection> <think>..</think> <answer>..</answer>`; in the paper's form it is the reflection
alone, and the bare gold becomes the second answer. Attempt and reply together must pass `core.selection.verify_trace`
and the judge, if there is one; a reply that does not is asked for again with the reason, a bounded number of times.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from srpo.core.prompts import Form, problem_text, teacher_prompt, teacher_text
from srpo.core.records import Attempt, Grade, Origin, Problem, Response, Sampling, TokenCounts, Trace
from srpo.core.response import render, render_attempt
from srpo.core.selection import verify_trace
from srpo.grading import Grader
from srpo.models.protocol import Completion, Generator, InspectingGenerator, Message, Request
from srpo.models.structured import TEACHER_BLOCKS, blocks_in_tags
from srpo.reflect.config import ReflectConfig
from srpo.reflect.judge import Judge
from srpo.runs.rejects import Dropped


class Asked(NamedTuple):
    """One first attempt that the teacher is to reflect upon."""

    problem: Problem
    sample: int
    attempt: Attempt
    grade: Grade
    num_prompt_tokens: int
    share_right: float
    """Of the attempts at this problem."""


class Lessons(NamedTuple):
    """What came back; each `Asked` is in exactly one of the two."""

    accepted: tuple[Trace, ...]
    dropped: tuple[Dropped, ...]
    num_requests: int
    """Replies that were asked for, retries included."""
    errors: tuple[str, ...]
    """Why some of them were not answered at all."""


class _Replied(NamedTuple):
    """One reply, with what is wrong with it."""

    trace: Trace | None
    reason: str | None
    text: str


class Teacher:
    """A generator with the rules by which its replies are taken."""

    def __init__(
        self,
        generator: Generator,
        config: ReflectConfig,
        *,
        origin: Origin,
        policy: InspectingGenerator,
        grader: Grader,
        judge: Judge | None = None,
    ) -> None:
        """`origin` is that of the first attempts; `policy` counts tokens."""
        self._generator = generator
        self._scripted = config.teacher.model == "scripted"
        # The scripted teacher says the same again.
        self._rounds = 1 if self._scripted else 1 + config.teacher.retries
        self._sampling = Sampling(
            temperature=config.teacher.temperature, max_tokens=config.teacher.max_tokens, seed=config.seed
        )
        self._form = config.form
        self._origin = origin
        self._policy = policy
        self._grader = grader
        self._judge = judge

    def teach(self, asked: Sequence[Asked]) -> Lessons:
        """Reflect upon each attempt; the order of the attempts is kept."""
        accepted: dict[int, Trace] = {}
        dropped: dict[int, Dropped] = {}
        reasons: dict[int, str] = {}
        num_requests = 0
        errors: list[str] = []
        waiting = list(range(len(asked)))
        for number in range(self._rounds):
            requests = {i: self.request(asked[i], reasons.get(i)) for i in waiting}
            takes = {i: self._refusal(request) for i, request in requests.items()}
            dropped.update({i: _dropped(asked[i], why) for i, why in takes.items() if why is not None})
            ready = [i for i in waiting if takes[i] is None]
            replies = self._ask([requests[i] for i in ready], number)
            num_requests += len(ready)
            errors += [reply.error for reply in replies if reply.error is not None]
            waiting = []
            examined = self._examine({i: (asked[i], reply) for i, reply in zip(ready, replies, strict=True)})
            for i, reply in zip(ready, replies, strict=True):
                found = examined[i]
                if found.trace is not None and found.reason is None:
                    accepted[i] = found.trace
                    continue
                reasons[i] = found.reason or ""
                dropped[i] = _dropped(asked[i], reasons[i], found.text)
                # The generator has tried as often as it may: another round would only change the seed.
                if reply.error is None:
                    waiting.append(i)
        lost = tuple(dropped[i] for i in sorted(dropped.keys() - accepted.keys()))
        return Lessons(tuple(accepted[i] for i in sorted(accepted)), lost, num_requests, tuple(errors))

    def request(self, asked: Asked, reason: str | None = None) -> Request:
        """What the teacher is asked; `reason` is why its earlier reply was not taken."""
        text = teacher_text(asked.problem, first_is_correct=asked.grade.is_correct, form=self._form)
        if reason is not None:
            text += f"\n\nAn earlier reply was rejected: {reason}. Write a better one."
        messages = (
            Message(role="user", text=problem_text(asked.problem)),
            Message(role="assistant", text=render_attempt(asked.attempt)),
            Message(role="user", text=text),
        )
        return Request(problem=asked.problem, messages=messages)

    def _ask(self, requests: Sequence[Request], number: int) -> list[Completion]:
        if not requests:
            return []
        sampling = self._sampling.model_copy(update={"seed": self._sampling.seed + number})
        return [reply for (reply,) in self._generator.generate(requests, sampling)]

    def _refusal(self, request: Request) -> str | None:
        inspect = getattr(self._generator, "inspect", None)
        reason = inspect(request).reason if inspect is not None else None
        return None if reason is None else f"the teacher cannot take it: {reason}"

    def _examine(self, replies: Mapping[int, tuple[Asked, Completion]]) -> dict[int, _Replied]:
        """The rules first, then the judge about what they let pass."""
        found = {i: self._verify(asked, reply) for i, (asked, reply) in replies.items()}
        if self._judge is None:
            return found
        good = {i: one.trace for i, one in found.items() if one.trace is not None and one.reason is None}
        objections = self._judge.objections(list(good.values()))
        for i, why in zip(good, objections, strict=True):
            found[i] = found[i]._replace(reason=why)
        return found

    def _verify(self, asked: Asked, reply: Completion) -> _Replied:
        if reply.error is not None:
            return _Replied(None, f"request failed: {reply.error}", "")
        if reply.truncated:
            return _Replied(None, f"truncated: the reply ran into max_tokens {self._sampling.max_tokens}", reply.text)
        blocks = blocks_in_tags(reply.text, teacher_blocks(self._form)).strip()
        text = f"{render_attempt(asked.attempt)}\n{blocks}"
        if self._form == "paper":
            text += f"\n{render_attempt(Attempt(think='', answer=asked.problem.answer))}"
        graded = self._grader.grade_response(asked.problem, text, "reflective")
        if isinstance(graded.parsed, Response):
            text = render(graded.parsed)
        trace = Trace(
            origin=self._origin.model_copy(update={"teacher": self._name(asked.grade.is_correct)}),
            problem=asked.problem,
            sample=asked.sample,
            text=text,
            parsed=graded.parsed,
            first_grade=asked.grade,
            final_grade=graded.final_grade,
            share_right=asked.share_right,
            tokens=TokenCounts(
                prompt=asked.num_prompt_tokens,
                total=self._policy.count_tokens(text) + 1,
                first=self._policy.count_tokens(render_attempt(asked.attempt)),
            ),
        )
        return _Replied(trace, verify_trace(trace), reply.text)

    def _name(self, first_is_correct: bool) -> str:
        if self._scripted:
            return self._generator.name
        return f"{self._generator.name} {teacher_prompt(first_is_correct, self._form).label}"


def teacher_blocks(form: Form) -> tuple[str, ...]:
    """What a reply is made of."""
    return TEACHER_BLOCKS if form == "full" else TEACHER_BLOCKS[:1]


def _dropped(asked: Asked, reason: str, text: str = "") -> Dropped:
    """`verify_trace` and the judge put the kind of reason before a colon."""
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
