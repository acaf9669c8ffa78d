"""One batch of problems, from first attempts to verified traces. Nothing here writes: the run commits, in order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from srpo.core.records import Attempt, FormatError, Grade, Origin, Problem, Record, Rejected, Trace, Where
from srpo.core.response import parse_attempt, render_attempt
from srpo.grading import Grader
from srpo.models import asking
from srpo.models.pool import turn_of
from srpo.models.protocol import Completion
from srpo.models.relay.work import Opener
from srpo.models.structured import ATTEMPT_BLOCKS, blocks_in_tags
from srpo.reflect.captions import Captions
from srpo.reflect.config import ReflectConfig
from srpo.reflect.judge import ReflectionJudge
from srpo.reflect.models import Overrides, ReflectModels, open_models
from srpo.reflect.teacher import Question, Teacher
from srpo.runs.batched import Passed


class Difficulty(Record):
    """How the first attempts at one problem went: a line of `difficulty.jsonl`, for trainers to filter on."""

    id: str
    place: str
    """`file:line` of the problem."""
    attempts: int
    """Attempts that the policy wrote."""
    graded: int
    """Those with a format and a gradable gold."""
    right: int
    """Right ones among these."""

    @property
    def share_right(self) -> float:
        """Right ones among all attempts: one that cannot be read does not solve the problem."""
        return self.right / max(1, self.attempts)


class ReflectedBatch(NamedTuple):
    """What came of a batch."""

    traces: tuple[Trace, ...]
    rejected: tuple[Rejected, ...]
    difficulties: tuple[Difficulty, ...]
    counts: Counter[str]
    """attempts, graded, right, asked, requests, verified"""

    @property
    def passed(self) -> Passed:
        """Of the attempts."""
        return Passed(self.counts["attempts"], len(self.traces), Counter(one.reason for one in self.rejected))


class ReflectWork(NamedTuple):
    """The stage's work on batches, wherever it is done (`models.relay`)."""

    config: ReflectConfig
    origin: Origin
    """Of the first attempts."""
    given: Overrides

    @contextmanager
    def open(self, models: Opener) -> Iterator[Callable[[Sequence[Problem]], ReflectedBatch]]:
        """With the models that the config names; raises ValueError where one cannot be had."""
        opened = open_models(self.config, models, self.given)
        with Grader(symbolic=self.config.symbolic, rounded=self.config.rounded) as grader:
            yield Reflector(self.config, opened, origin=self.origin, grader=grader).work


class Reflector:
    """Works batches, several at a time where the pool says so."""

    def __init__(self, config: ReflectConfig, models: ReflectModels, *, origin: Origin, grader: Grader) -> None:
        """`origin` is that of the first attempts."""
        self._config = config
        self._models = models
        self._grader = grader
        self._captions = Captions(config, models.captioner)
        judge = ReflectionJudge(models.judge, config.judge, seed=config.seed) if config.judge and models.judge else None
        self._teacher = Teacher(models.teacher, config, origin=origin, policy=models.policy, grader=grader, judge=judge)

    def work(self, problems: Sequence[Problem]) -> ReflectedBatch:
        """Attempts, reflections, checks.

        Raises:
            ValueError: no model answered any of the requests, which is then not the problems' fault.
        """
        questions: list[Question] = []
        rejected: list[Rejected] = []
        difficulties: list[Difficulty] = []
        counts: Counter[str] = Counter()
        errors: list[str] = []
        for taken, group in self._sample(problems, rejected):
            errors += [one.error for one in group if one.error is not None]
            found = self._attempts(taken, group)
            questions += found.questions
            rejected += found.rejected
            difficulties.append(found.difficulty)
            counts.update(attempts=len(group), graded=found.difficulty.graded, right=found.difficulty.right)
        asking.check_alive(self._models.policy.name, counts["attempts"], errors, num_problems=len(difficulties))
        questions, blind = self._with_captions(questions)
        replies = self._teacher.teach(questions)
        num_problems = len({one.problem.id for one in questions})
        asking.check_alive(self._models.teacher.name, replies.num_requests, replies.errors, num_problems=num_problems)
        counts.update(asked=len(questions), requests=replies.num_requests, verified=len(replies.accepted))
        return ReflectedBatch(replies.accepted, (*rejected, *blind, *replies.rejected), tuple(difficulties), counts)

    def _sample(
        self, problems: Sequence[Problem], rejected: list[Rejected]
    ) -> list[tuple[asking.PreparedRequest, list[Completion]]]:
        """First attempts at the problems that the policy can take; the others go to `rejected`."""
        config, policy = self._config, self._models.policy
        with turn_of(policy):
            taken, refused = asking.prepare_requests(policy, problems, config.prompt, config.num_samples)
            rejected += refused
            groups = policy.generate([one.request for one in taken], config.sampling) if taken else []
        return list(zip(taken, groups, strict=True))

    def _attempts(self, taken: asking.PreparedRequest, group: Sequence[Completion]) -> "_Attempts":
        """Those that can be read, graded and are new go to the teacher."""
        problem = taken.request.problem
        read = [self._read(problem, sample, completion) for sample, completion in enumerate(group)]
        graded = [one for one in read if isinstance(one, _Graded)]
        right = sum(one.grade.is_correct for one in graded)
        written = sum(one.error is None for one in group)
        difficulty = Difficulty(id=problem.id, place=problem.source, attempts=written, graded=len(graded), right=right)
        questions: list[Question] = []
        rejected: list[Rejected] = []
        seen: set[str] = set()
        for sample, one in enumerate(read):
            if isinstance(one, Rejected):
                rejected.append(one)
            elif one.text in seen:
                reason, text = "same first attempt as an earlier sample", group[sample].text
                rejected.append(Rejected.about(problem, "attempt", reason, sample=sample, text=text))
            else:
                seen.add(one.text)
                questions.append(
                    Question(problem, sample, one.attempt, one.grade, taken.num_prompt_tokens, difficulty.share_right)
                )
        return _Attempts(questions, rejected, difficulty)

    def _read(self, problem: Problem, sample: int, completion: Completion) -> "_Graded | Rejected":
        def rejected(where: Where, reason: str, detail: str) -> Rejected:
            return Rejected.about(problem, where, reason, detail, sample=sample, text=completion.text)

        if completion.error is not None:
            return rejected("attempt", "request failed", completion.error)
        text = blocks_in_tags(completion.text, ATTEMPT_BLOCKS)
        attempt = parse_attempt(text)
        if isinstance(attempt, FormatError):
            reason = "first attempt truncated" if completion.truncated else "first attempt has no think and answer"
            return rejected("attempt", reason, f"at character {attempt.where}: {attempt.what}")
        grade = self._grader.grade_response(problem, text, "single").final_grade
        if grade.verdict == "ungradable":
            return rejected("gold", "gold is ungradable", grade.reason)
        if grade.verdict == "undecided":
            return rejected("attempt", "grade is undecided", grade.reason)
        return _Graded(attempt, grade, render_attempt(attempt))

    def _with_captions(self, questions: Sequence[Question]) -> tuple[list[Question], list[Rejected]]:
        """Each problem with a description of its pictures where the teacher needs one."""
        problems = {one.problem.id: one.problem for one in questions}
        with turn_of(self._models.policy):
            found = dict(zip(problems, self._captions.describe(list(problems.values())), strict=True))
        seen: list[Question] = []
        blind: list[Rejected] = []
        for one in questions:
            problem = found[one.problem.id]
            if isinstance(problem, Problem):
                seen.append(one._replace(problem=problem))
            else:
                text = render_attempt(one.attempt)
                blind.append(problem.model_copy(update={"sample": one.sample, "text": text}))
        return seen, blind


class _Graded(NamedTuple):
    """A first attempt that can be used."""

    attempt: Attempt
    grade: Grade
    text: str


class _Attempts(NamedTuple):
    """The first attempts at one problem."""

    questions: list[Question]
    rejected: list[Rejected]
    difficulty: Difficulty
