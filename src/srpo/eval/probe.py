"""`srpo eval --probe`: how much answers and reflections rely on the picture.

Every problem is answered twice, once with its picture and once with a grey one, another problem's, or a noisy one; what
is sampled shares its random numbers. Answers with the disturbed picture go to `probe.jsonl`, and what differs is told
for first answer, reflection and final answer apart. A reflection that is the same without the picture did not look; one
that repairs as much without it did not need to.

    result = read_probe(run.path, run.traces(), config)
    result.final.difference.value, result.reflection.changed_alone.value
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from srpo.core.records import Problem, Response, Trace
from srpo.core.response import first_attempt_end, pieces
from srpo.core.statistics import Estimate, bootstrap_mean, bootstrap_ratio, mean, share_interval
from srpo.data.disturbed import disturbed_ref
from srpo.eval.config import EvalConfig, Probe
from srpo.eval.metrics.correction import same_answer
from srpo.eval.result import AnswerReliance, ProbeResult, ReflectionReliance
from srpo.runs.reader import read_traces

PROBED = "probe.jsonl"
"""Traces of the answers with disturbed pictures, whose references say what was done."""


class Prober:
    """Problems with a disturbed picture, for one probe and seed."""

    def __init__(self, probe: Probe, seed: int, problems: Sequence[Problem]) -> None:
        """`problems` are all of the run's: their pictures are what is swapped.

        Raises:
            ValueError: no problem has a picture, or there are no two different ones to swap.
        """
        self._probe = probe
        self._seed = seed
        pictures = [problem.images for problem in problems if problem.images]
        if not pictures:
            raise ValueError(f"probe {probe}: none of the {len(problems)} problems has a picture; leave the probe out")
        self._others = _others(pictures, seed) if probe == "swap" else {}

    def disturb(self, problem: Problem) -> Problem | None:
        """The problem with the picture that the probe gives it; None where it has none."""
        if not problem.images:
            return None
        if self._probe == "swap":
            return problem.model_copy(update={"images": self._others[problem.images]})
        how, seed = self._probe, self._seed if self._probe == "noise" else 0
        return problem.model_copy(update={"images": tuple(disturbed_ref(how, seed, ref) for ref in problem.images)})


def _others(pictures: Sequence[tuple[str, ...]], seed: int) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Other pictures for each: the next ones in a shuffled circle, as many of them where there are such."""
    distinct = list(dict.fromkeys(pictures))
    if len(distinct) < 2:
        raise ValueError("probe swap: all problems have the same picture; take blank or noise")
    random.Random(f"swap/{seed}").shuffle(distinct)
    found = {}
    for at, own in enumerate(distinct):
        circle = distinct[at + 1 :] + distinct[:at]
        found[own] = next((other for other in circle if len(other) == len(own)), circle[0])
    return found


class _Pair(NamedTuple):
    """What is kept of two answers to one question: numbers alone."""

    problem: str
    right: tuple[bool, bool]
    """First and final answer with the picture."""
    right_disturbed: tuple[bool, bool]
    changed: tuple[bool, bool]
    """Whether first and final answer are others."""
    is_reflective: bool
    same_first: bool
    words: float | None
    """Share of the reflections' words that differ; None where a side has none."""


def read_probe(run: Path, traces: Iterable[Trace], config: EvalConfig) -> ProbeResult:
    """Pair a run's traces with those of its probe; both are read once, in the order in which they were written.

    Raises:
        ValueError: there is no pair that can be graded.
    """
    probe, seed = config.probe, config.seed
    assert probe is not None, "the run has a probe"
    pairs: list[_Pair] = []
    num_pairs = without = lost = 0
    for plain, disturbed in _paired(traces, read_traces(run / PROBED)):
        if disturbed is None:
            without += not plain.problem.images
            lost += bool(plain.problem.images)
            continue
        num_pairs += 1
        if plain.outcome is not None and disturbed.outcome is not None:
            pairs.append(_pair(plain, disturbed))
    if not pairs:
        raise ValueError(f"probe {probe}: no answer with the disturbed picture can be compared; see rejected.jsonl")
    reflective = [pair for pair in pairs if pair.is_reflective]
    return ProbeResult(
        probe=probe,
        temperature=config.temperature,
        problems=len({pair.problem for pair in pairs}),
        pairs=num_pairs,
        without_picture=without,
        lost=lost,
        ungradable=num_pairs - len(pairs),
        first=_answers(reflective, 0, seed) if reflective else None,
        reflection=_reflections(reflective, seed),
        final=_answers(pairs, 1, seed),
    )


def _paired(traces: Iterable[Trace], probed: Iterator[Trace]) -> Iterator[tuple[Trace, Trace | None]]:
    """Each trace with its partner; the partners come in the same order, and some are missing."""
    waiting = next(probed, None)
    for trace in traces:
        if waiting is not None and (waiting.problem.id, waiting.sample) == (trace.problem.id, trace.sample):
            yield trace, waiting
            waiting = next(probed, None)
        else:
            yield trace, None
    assert waiting is None, "a probe's answer without the answer that it belongs to"


def _pair(plain: Trace, disturbed: Trace) -> _Pair:
    first, final = (plain.first_grade, disturbed.first_grade), (plain.final_grade, disturbed.final_grade)
    reflections = [_reflection(trace) for trace in (plain, disturbed)]
    has_two = all(text is not None for text in reflections)
    return _Pair(
        problem=plain.problem.id,
        right=(first[0].is_correct, final[0].is_correct),
        right_disturbed=(first[1].is_correct, final[1].is_correct),
        # Two answers that are not there are no change.
        changed=tuple(  # type: ignore[arg-type]
            not same_answer(a, b) and not (a.extracted is None and b.extracted is None) for a, b in (first, final)
        ),
        is_reflective=plain.style == "reflective",
        same_first=_first_attempt(plain) == _first_attempt(disturbed),
        words=_word_change(*(text or "" for text in reflections)) if has_two else None,
    )


def _first_attempt(trace: Trace) -> list[str]:
    return trace.text[: first_attempt_end(trace.text)].split()


def _reflection(trace: Trace) -> str | None:
    return trace.parsed.reflection if isinstance(trace.parsed, Response) else pieces(trace.text).reflection


def _word_change(one: str, other: str) -> float:
    """Share of the words of both texts that the other one does not have, with their numbers.

    >>> _word_change("it is a red square", "it is a blue square")
    0.2
    """
    left, right = Counter(one.split()), Counter(other.split())
    total = left.total() + right.total()
    return ((left - right) + (right - left)).total() / total if total else 0.0


def _answers(pairs: Sequence[_Pair], which: int, seed: int) -> AnswerReliance:
    return AnswerReliance(
        plain=_share(pairs, lambda pair: pair.right[which], seed),
        disturbed=_share(pairs, lambda pair: pair.right_disturbed[which], seed),
        difference=_difference(pairs, lambda pair: pair.right_disturbed[which] - pair.right[which], seed),
        changed=_share(pairs, lambda pair: pair.changed[which], seed),
    )


def _reflections(pairs: Sequence[_Pair], seed: int) -> ReflectionReliance | None:
    both = [pair for pair in pairs if pair.words is not None]
    if not both:
        return None
    alone = _by_problem(both, lambda pair: pair.same_first and bool(pair.words))
    same = _by_problem(both, lambda pair: pair.same_first)
    interval = bootstrap_ratio(alone, same, seed=seed)
    return ReflectionReliance(
        pairs=len(both),
        changed=_share(both, lambda pair: bool(pair.words), seed),
        changed_alone=Estimate(
            value=sum(alone) / sum(same) if sum(same) else 0.0,
            n=sum(share > 0 for share in same),
            low=interval.low,
            high=interval.high,
        ),
        words=_share(both, lambda pair: pair.words or 0.0, seed),
        gain=_difference(pairs, lambda pair: pair.right[1] - pair.right[0], seed),
        gain_disturbed=_difference(pairs, lambda pair: pair.right_disturbed[1] - pair.right_disturbed[0], seed),
        gain_difference=_difference(
            pairs,
            lambda pair: pair.right_disturbed[1] - pair.right_disturbed[0] - pair.right[1] + pair.right[0],
            seed,
        ),
    )


def _by_problem(pairs: Sequence[_Pair], value: Callable[[_Pair], float]) -> list[float]:
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        groups.setdefault(pair.problem, []).append(value(pair))
    return [mean(values) for values in groups.values()]


def _share(pairs: Sequence[_Pair], value: Callable[[_Pair], float], seed: int) -> Estimate:
    shares = _by_problem(pairs, value)
    interval = share_interval(shares, seed=seed)
    return Estimate(value=mean(shares), n=len(shares), low=interval.low, high=interval.high)


def _difference(pairs: Sequence[_Pair], value: Callable[[_Pair], float], seed: int) -> Estimate:
    values = _by_problem(pairs, value)
    interval = bootstrap_mean(values, seed=seed)
    return Estimate(value=mean(values), n=len(values), low=interval.low, high=interval.high)
