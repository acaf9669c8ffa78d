"""Ask the teacher about first attempts until a reply can be trusted, or the patience is used up.

A reply is `<reflection>..</reflection> <think>..</think> <answer>..</answer>`; in the paper's form it is the reflection
alone, and the bare gold becomes the second answer. Attempt and reply together must pass `verification.verify_trace` and
the judge, if there is one; a reply that does not is asked for again with the reason, a bounded number of times.
"""

from collections.abc import Sequence
from typing import NamedTuple

from srpo.core.prompts import Form, problem_text, teacher_prompt, teacher_text
from srpo.core.records import Attempt, Grade, Origin, Problem, Rejected, Response, Sampling, TokenCounts, Trace
from srpo.core.response import render, render_attempt
from srpo.core.verification import verify_trace
from srpo.grading import Grader
from srpo.models.protocol import Completion, Generator, InspectingGenerator, Message, Request
from srpo.models.structured import TEACHER_BLOCKS, blocks_in_tags
from srpo.reflect.config import ReflectConfig
from srpo.reflect.judge import ReflectionJudge


class Question(NamedTuple):
    """One first attempt that the teacher is to reflect upon."""

    problem: Problem
    sample: int
    attempt: Attempt
    grade: Grade
    num_prompt_tokens: int
    share_right: float
    """Of the attempts at this problem."""


class TeacherReplies(NamedTuple):
    """What came back; each `Question` is in exactly one of the two."""

    accepted: tuple[Trace, ...]
    rejected: tuple[Rejected, ...]
    num_requests: int
    """Replies that were asked for, retries included."""
    errors: tuple[str, ...]
    """Why some of them were not answered at all."""


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
        judge: ReflectionJudge | None = None,
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

    def teach(self, questions: Sequence[Question]) -> TeacherReplies:
        """Reflect upon each attempt; the order of the attempts is kept."""
        accepted: dict[int, Trace] = {}
        rejected: dict[int, Rejected] = {}
        num_requests = 0
        errors: list[str] = []
        waiting = list(range(len(questions)))
        for number in range(self._rounds):
            requests = {i: self.request(questions[i], rejected.get(i)) for i in waiting}
            refused = {i: why for i in waiting if (why := self._refusal(questions[i], requests[i])) is not None}
            rejected.update(refused)
            ready = [i for i in waiting if i not in refused]
            replies = self._ask([requests[i] for i in ready], number)
            num_requests += len(ready)
            errors += [reply.error for reply in replies if reply.error is not None]
            waiting = []
            examined = self._examine([questions[i] for i in ready], replies)
            for i, reply, found in zip(ready, replies, examined, strict=True):
                if isinstance(found, Trace):
                    accepted[i] = found
                    continue
                rejected[i] = found.model_copy(update={"text": reply.text})
                # The generator has tried as often as it may: another round would only change the seed.
                if reply.error is None:
                    waiting.append(i)
        lost = tuple(rejected[i] for i in sorted(rejected.keys() - accepted.keys()))
        return TeacherReplies(tuple(accepted[i] for i in sorted(accepted)), lost, num_requests, tuple(errors))

    def request(self, question: Question, rejected: Rejected | None = None) -> Request:
        """What the teacher is asked; `rejected` is why its earlier reply was not taken."""
        text = teacher_text(question.problem, first_is_correct=question.grade.is_correct, form=self._form)
        if rejected is not None:
            text += f"\n\nAn earlier reply was rejected: {rejected.why}. Write a better one."
        messages = (
            Message(role="user", text=problem_text(question.problem)),
            Message(role="assistant", text=render_attempt(question.attempt)),
            Message(role="user", text=text),
        )
        return Request(problem=question.problem, messages=messages)

    def _ask(self, requests: Sequence[Request], number: int) -> list[Completion]:
        if not requests:
            return []
        sampling = self._sampling.model_copy(update={"seed": self._sampling.seed + number})
        return [reply for (reply,) in self._generator.generate(requests, sampling)]

    def _refusal(self, question: Question, request: Request) -> Rejected | None:
        inspect = getattr(self._generator, "inspect", None)
        reason = inspect(request).reason if inspect is not None else None
        return None if reason is None else _rejected(question, "the teacher cannot take it", reason)

    def _examine(self, questions: Sequence[Question], replies: Sequence[Completion]) -> list[Trace | Rejected]:
        """The rules first, then the judge about what they let pass."""
        found = [self._verify(one, reply) for one, reply in zip(questions, replies, strict=True)]
        if self._judge is None:
            return found
        objections = iter(self._judge.objections([one for one in found if isinstance(one, Trace)]))
        return [(next(objections) or one) if isinstance(one, Trace) else one for one in found]

    def _verify(self, question: Question, reply: Completion) -> Trace | Rejected:
        if reply.error is not None:
            return _rejected(question, "request failed", reply.error)
        if reply.truncated:
            return _rejected(question, "truncated", f"the reply ran into max_tokens {self._sampling.max_tokens}")
        blocks = blocks_in_tags(reply.text, teacher_blocks(self._form)).strip()
        text = f"{render_attempt(question.attempt)}\n{blocks}"
        if self._form == "paper":
            text += f"\n{render_attempt(Attempt(think='', answer=question.problem.answer))}"
        graded = self._grader.grade_response(question.problem, text, "reflective")
        if isinstance(graded.parsed, Response):
            text = render(graded.parsed)
        trace = Trace(
            origin=self._origin.model_copy(update={"teacher": self._name(question.grade.is_correct)}),
            problem=question.problem,
            sample=question.sample,
            text=text,
            parsed=graded.parsed,
            first_grade=question.grade,
            final_grade=graded.final_grade,
            share_right=question.share_right,
            tokens=TokenCounts(
                prompt=question.num_prompt_tokens,
                total=self._policy.count_tokens(text) + 1,
                first=self._policy.count_tokens(render_attempt(question.attempt)),
            ),
        )
        return verify_trace(trace) or trace

    def _name(self, first_is_correct: bool) -> str:
        if self._scripted:
            return self._generator.name
        return f"{self._generator.name} {teacher_prompt(first_is_correct, self._form).label}"


def teacher_blocks(form: Form) -> tuple[str, ...]:
    """What a reply is made of."""
    return TEACHER_BLOCKS if form == "full" else TEACHER_BLOCKS[:1]


def _rejected(question: Question, reason: str, detail: str) -> Rejected:
    return Rejected.about(question.problem, "teacher", reason, detail, sample=question.sample)
