"""A judge where a rule cannot be sure: is this answer right? And, if wanted, how good is the reflection, 0 to 5?

    judge = EvalJudge(config, benchmark, answers=generator, points=None)
    judge.decide([(item, trace)])[0].decided_by

Rule first: the judge is asked about answers that the rule found wrong and that are not plainly wrong (another option,
another number, yes for no). It sees question, known answer and the answer to be judged, no picture and nothing of the
reasoning: of a response in tags the answer block, else the box, else the last words. First and final answer are judged
alike. No answer is wrong, whatever a judge would say of it.

Differs from the official judges: our words for the facts of their rubrics; one call decides, where MathVerse uses one
to extract and one to match; a reply without a verdict is counted and leaves the rule's, it is no silent 0.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from srpo.core.prompts import problem_text
from srpo.core.records import Attempt, Grade, Response, Sampling, Trace
from srpo.core.response import pieces
from srpo.eval.aggregate import Judging
from srpo.eval.benchmarks.benchmark import Benchmark, DecidedBy, Item
from srpo.eval.config import EvalJudgeConfig
from srpo.eval.rubrics import BLOCKS, check_judged, prompt_text, read_ruling
from srpo.grading import extract_answer
from srpo.models.protocol import Completion, Generator, Message, Request
from srpo.models.relay.work import Opener
from srpo.models.rubric import read_judgement, request_about

_LAST_WORDS = 60
_LONGEST = 2000
"""Characters of an answer that a judge is shown: what is longer is no answer, but may be an attack on the judge."""
_BARE = 60
"""Longest answer that can be plainly wrong."""
_LETTER = re.compile(r"\(?([A-Za-z])\)?\.?")
_NUMBER = re.compile(r"[-+]?\d{1,20}(?:\.\d{1,20})?")
_YES_NO = frozenset({"yes", "no"})

Case = tuple[Item, Trace]


class JudgedTrace(NamedTuple):
    """A trace after everybody was heard."""

    trace: Trace
    decided_by: DecidedBy = "rule"
    score: int | None = None
    """Points for the reflection."""


class EvalJudge:
    """Decides batches of cases; may be called by many threads at once."""

    def __init__(
        self,
        config: EvalJudgeConfig,
        benchmark: Benchmark | None,
        *,
        answers: Generator | None,
        points: Generator | None,
    ) -> None:
        """`answers` judges answers, `points` gives points to reflections; None leaves that out.

        Raises:
            ValueError: the benchmark's official metric is a rule.
        """
        if answers is not None:
            assert benchmark is not None, "answers are judged by the rubric of a benchmark"
            check_judged(benchmark.name)
        self._benchmark = benchmark
        self._answers = answers
        self._points = points
        self._sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens)

    @property
    def name(self) -> str:
        """Of the model."""
        generator = self._answers or self._points
        assert generator is not None, "a judge of nothing"
        return generator.name

    def decide(self, cases: Sequence[Case]) -> "tuple[list[JudgedTrace], Judging]":
        """The cases with what the judge says of them, and how that went."""
        failures: Counter[str] = Counter()
        rulings = self._rulings(cases, failures)
        decided = [_apply(item, trace, rulings) for item, trace in cases]
        scores, num_failed = self._scores([one.trace for one in decided])
        judging = Judging(self.name, failures, self._points is not None, num_failed)
        return [one._replace(score=score) for one, score in zip(decided, scores, strict=True)], judging

    def _rulings(self, cases: Sequence[Case], failures: Counter[str]) -> dict[tuple[str, str], Grade]:
        """What the judge says of each doubtful answer to each item."""
        if self._answers is None or self._benchmark is None:
            return {}
        doubtful = {
            (item.problem.id, answer): item for item, trace in cases for answer in doubtful_answers(item, trace)
        }
        requests = [self._request(self._benchmark, item, answer) for (_, answer), item in doubtful.items()]
        replies = self._answers.generate(requests, self._sampling) if requests else []
        rulings: dict[tuple[str, str], Grade] = {}
        for (key, item), (reply,) in zip(doubtful.items(), replies, strict=True):
            found = _ruling(item, key[1], reply)
            if isinstance(found, Grade):
                rulings[key] = found
            else:
                failures[found] += 1
        return rulings

    def _request(self, benchmark: Benchmark, item: Item, answer: str) -> Request:
        # Some versions of MathVerse have their question in the picture, which the judge does not see.
        question = item.facts.get("question_for_eval") or problem_text(item.problem)
        text = prompt_text(benchmark.name, item, str(question), answer)
        problem = item.problem.model_copy(update={"images": ()})
        return Request(problem=problem, messages=(Message(role="user", text=text),))

    def _scores(self, traces: Sequence[Trace]) -> tuple[list[int | None], int]:
        scores: list[int | None] = [None] * len(traces)
        if self._points is None:
            return scores, 0
        asked = [number for number, trace in enumerate(traces) if (pieces(trace.text).reflection or "").strip()]
        replies = self._points.generate([request_about(traces[number]) for number in asked], self._sampling)
        for number, (reply,) in zip(asked, replies, strict=True):
            verdict = None if reply.error is not None else read_judgement(reply.text)
            scores[number] = None if verdict is None else verdict.score
        return scores, sum(scores[number] is None for number in asked)


def doubtful_answers(item: Item, trace: Trace) -> list[str]:
    """The answers of a response, first and final, that the rule found wrong without being certain."""
    found = zip(answers_of(trace), (trace.first_grade, trace.final_grade), strict=True)
    return [answer for answer, grade in found if answer is not None and _is_doubtful(item, grade, answer)]


def answers_of(trace: Trace) -> tuple[str | None, str | None]:
    """First and final answer as a judge may see them; None where there is none."""
    match trace.parsed:
        case Response(first=first, second=second):
            return _shown(first.answer), _shown(second.answer)
        case Attempt(answer=answer):
            return _shown(answer), _shown(answer)
    if trace.style == "reflective":
        found = pieces(trace.text)
        return _shown(found.first_answer), _shown(found.second_answer)
    plain = _answer_in(trace.text)
    return plain, plain


def _answer_in(text: str) -> str | None:
    """The block or the box of a plain response, or its last words."""
    found = extract_answer(text)
    if found.how in {"answer block", "box"}:
        return _shown(found.text)
    if found.text is None and "<" in text and any(tag in text for tag in ("<think>", "<answer>", "<reflection>")):
        return None  # it broke off before its answer
    return _shown(" ".join(text[-_LONGEST:].split()[-_LAST_WORDS:]))


def _shown(answer: str | None) -> str | None:
    return None if answer is None or not answer.strip() else answer.strip()[-_LONGEST:]


def _is_doubtful(item: Item, grade: Grade, answer: str) -> bool:
    """Wrong by the rule, but not plainly so: what the rule took out of prose may not be what was meant."""
    if grade.verdict == "undecided":
        return True
    if grade.verdict != "incorrect":
        return False
    if len(answer) > _BARE:
        return True
    found, gold = (grade.extracted or "").strip(), item.problem.answer.strip()
    if _NUMBER.fullmatch(gold) and _NUMBER.fullmatch(found):
        return False
    if gold.lower() in _YES_NO and found.lower() in _YES_NO:
        return False
    return not (item.problem.choices and _names_option(found, item.problem.choices))


def _names_option(found: str, choices: Sequence[str]) -> bool:
    letter = _LETTER.fullmatch(found)
    if letter and 0 <= ord(letter[1].upper()) - ord("A") < len(choices):
        return True
    return found.lower() in {choice.strip().lower() for choice in choices}


def _ruling(item: Item, answer: str, reply: Completion) -> Grade | str:
    """The judge's grade, or why there is none."""
    if reply.error is not None:
        return "request failed"
    found = read_ruling(reply.text)
    if found is None:
        return "no verdict in the reply"
    ruling, why = found
    # The text-only questions of HallusionBench's visual supplement: without the picture, not to know is right.
    right = ruling == "correct" or (ruling == "unclear" and _shows_nothing(item))
    reason = f"judge: {ruling}{f', {why}' if why else ''}"
    return Grade(verdict="correct" if right else "incorrect", extracted=answer, reason=reason)


def _shows_nothing(item: Item) -> bool:
    return item.groups.get("category") == "VS" and item.groups.get("visual_input") == "none"


def _apply(item: Item, trace: Trace, rulings: dict[tuple[str, str], Grade]) -> JudgedTrace:
    found = zip(answers_of(trace), (trace.first_grade, trace.final_grade), strict=True)
    first, final = (
        rulings.get((item.problem.id, answer)) if answer is not None and _is_doubtful(item, grade, answer) else None
        for answer, grade in found
    )
    if first is None and final is None:
        return JudgedTrace(trace)
    grades = {"first_grade": first or trace.first_grade, "final_grade": final or trace.final_grade}
    return JudgedTrace(trace.model_copy(update=grades), "judge" if final is not None else "rule")


def open_judge(
    config: EvalJudgeConfig | None, benchmark: Benchmark | None, pool: Opener, given: Generator | None = None
) -> EvalJudge | None:
    """The judge that a config asks for, if it asks for one; `given` stands in for its model."""
    if config is None:
        return None
    return EvalJudge(
        config,
        benchmark,
        answers=(given or pool.open(config.model, BLOCKS)) if config.answers else None,
        points=(given or pool.open(config.model)) if config.reflections else None,
    )


def shared_cache() -> Path:
    """The file that keeps a judge's answers where there is no run directory."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home else Path.home() / ".cache") / "srpo" / "judge.sqlite"
