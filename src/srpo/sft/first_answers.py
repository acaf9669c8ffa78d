"""Does the cold start harm what the model could do? First answers before and after, to problems it does not learn from.

    check_first_answer: 200                                  # problems of the traces are held back
    check_first_answer: {data: dev.jsonl, problems: 500}     # or problems of one's own

Fine-tuning on a few thousand traces can unlearn more than it teaches (docs/evidence.md). Before the first step the
start model is asked in the prompt of the traces' first attempts, after the last one the result is asked in its own; the
difference is paired by problem, and a fall by more than its 95% interval is said aloud and kept in the summary.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from srpo.core.prompts import PROMPTS, Prompt, PromptName
from srpo.core.records import Problem, Record, Sampling, Trace
from srpo.core.response import style_of
from srpo.core.statistics import Estimate, mean, paired_difference
from srpo.data.sources import load_problems
from srpo.data.usable import check_usable, split_batches
from srpo.grading import Grader, grade_gold
from srpo.models import asking
from srpo.models.local import LocalGenerator
from srpo.sft.config import FirstAnswerCheck, SftConfig

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

Answers = list[bool | None]
"""Whether the first answer to each problem is right; None where there is no grade. A checkpoint keeps it."""
_BATCH = 32
"""Problems that are asked together."""
HELD_BACK = "held back to check the first answer"
"""Why a trace is not learned from."""


class FamilyAnswers(Record):
    """The problems of one family."""

    n: int
    before: float
    """Share of right first answers of the start model."""
    after: float
    """The same of the result."""


class FirstAnswers(Record):
    """What the cold start made of the first answer."""

    before: float
    """Share of right first answers of the start model."""
    after: float
    """The same of the result."""
    change: Estimate
    """After minus before, paired by problem, with its 95% interval."""
    gained: int
    """Problems that the result alone answers right."""
    lost: int
    """Problems that the start model alone answers right."""
    families: dict[str, FamilyAnswers]
    """By family; empty where the problems name none."""
    prompt_before: PromptName
    """How the start model was asked."""

    @property
    def harmed(self) -> bool:
        """Whether the first answer fell by more than its interval."""
        return self.change.high < 0

    def tell(self) -> str:
        """One sentence for people."""
        moved, low, high = (100 * value for value in (self.change.value, self.change.low, self.change.high))
        said = (
            f"the first answer to {self.change.n:,} problems that it did not learn from was right in {self.before:.1%} "
            f"before and {self.after:.1%} after: {moved:+.1f} points [{low:+.1f}, {high:+.1f}]"
        )
        worst = min(self.families.items(), key=lambda item: item[1].after - item[1].before, default=None)
        if self.harmed and worst is not None:
            said += f", most in {worst[0]!r} ({worst[1].before:.1%} to {worst[1].after:.1%} of {worst[1].n:,})"
        return said


class HeldOut(NamedTuple):
    """What is asked before and after, and what is left to learn from."""

    problems: tuple[Problem, ...]
    prompt_before: PromptName
    traces: tuple[Trace, ...]
    """Those whose problems are not asked."""


def hold_out(traces: Sequence[Trace], check: FirstAnswerCheck, config: SftConfig) -> HeldOut:
    """Choose the problems; ValueError when there are too few to hold any back."""
    problems = _own_problems(check) if check.data is not None else _from_traces(traces, check, config)
    asked = {_content(problem) for problem in problems}
    left = tuple(trace for trace in traces if _content(trace.problem) not in asked)
    return HeldOut(tuple(problems), check.prompt or _prompt_of(traces), left)


def answer_first(
    policy: "Policy", problems: Sequence[Problem], prompt: str | Prompt, check: FirstAnswerCheck, config: SftConfig
) -> Answers:
    """Ask `policy` every problem once, and grade its first answers."""
    generator = LocalGenerator(policy, max_pixels=config.max_pixels)
    sampling = Sampling(temperature=check.temperature, max_tokens=check.max_tokens, seed=config.seed)
    right: Answers = []
    with Grader() as grader:
        for batch in split_batches(problems, _BATCH):
            found = [asking.prepare_request(generator, problem, prompt, 1) for problem in batch]
            taken = [one.request for one in found if isinstance(one, asking.PreparedRequest)]
            texts = iter([group[0].text for group in generator.generate(taken, sampling)] if taken else [])
            for problem, one in zip(batch, found, strict=True):
                asked = isinstance(one, asking.PreparedRequest)
                right.append(_is_right(grader, problem, next(texts)) if asked else None)
    return right


def compare_answers(
    problems: Sequence[Problem],
    before: Sequence[bool | None],
    after: Sequence[bool | None],
    prompt_before: PromptName,
) -> FirstAnswers:
    """What changed, over the problems that have a grade both times; ValueError when there is none."""
    graded = [
        (problem, float(old), float(new))
        for problem, old, new in zip(problems, before, after, strict=True)
        if old is not None and new is not None
    ]
    if not graded:
        raise ValueError(
            f"check_first_answer: none of the {len(problems)} problems could be asked and graded; name others with "
            "check_first_answer.data, or leave it out"
        )
    olds = {str(place): old for place, (_, old, _) in enumerate(graded)}
    news = {str(place): new for place, (_, _, new) in enumerate(graded)}
    change = paired_difference(news, olds)
    families: dict[str, list[tuple[float, float]]] = {}
    for problem, old, new in graded:
        families.setdefault(problem.family, []).append((old, new))
    return FirstAnswers(
        before=mean(olds.values()),
        after=mean(news.values()),
        change=Estimate(value=change.mean, n=change.n, low=change.low, high=change.high),
        gained=sum(old < new for _, old, new in graded),
        lost=sum(old > new for _, old, new in graded),
        families=_by_family(families),
        prompt_before=prompt_before,
    )


def _by_family(families: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, FamilyAnswers]:
    return {
        name: FamilyAnswers(n=len(pairs), before=mean(old for old, _ in pairs), after=mean(new for _, new in pairs))
        for name, pairs in sorted(families.items())
        if name
    }


def _own_problems(check: FirstAnswerCheck) -> list[Problem]:
    assert check.data is not None
    found = load_problems(check.data, limit=check.problems)
    check_usable(found, check.data.label)
    return [problem for problem in found.problems if grade_gold(problem) is None]


def _from_traces(traces: Sequence[Trace], check: FirstAnswerCheck, config: SftConfig) -> list[Problem]:
    distinct = {_content(trace.problem): trace.problem for trace in traces}
    if 2 * check.problems > len(distinct):
        raise ValueError(
            f"check_first_answer: {check.problems} problems would be held back from {len(distinct)} in "
            f"{', '.join(config.traces)}, more than half; ask for fewer, or name others with check_first_answer.data"
        )
    keys = sorted(distinct, key=repr)
    return [distinct[key] for key in random.Random(f"sft/first-answers/{config.seed}").sample(keys, check.problems)]


def _content(problem: Problem) -> tuple[object, ...]:
    # Not the id: two data sets may use the same one.
    return problem.question, problem.choices, problem.images


def _prompt_of(traces: Sequence[Trace]) -> PromptName:
    """The prompt of most first attempts; records of other tools may not say, and then it is the usual one."""
    names = Counter(trace.origin.prompt.partition("/")[0] for trace in traces)
    known = [name for name, _ in names.most_common() if name in PROMPTS]
    return cast("PromptName", known[0]) if known else "single"


def _is_right(grader: Grader, problem: Problem, text: str) -> bool | None:
    grade = grader.grade_response(problem, text, style_of(text)).first_grade
    return grade.is_correct if grade.counts else None
