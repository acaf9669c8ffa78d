"""Self-correction: what a model makes of its first answer.

Let c1 and c2 be 1 where the first and the final answer are right. Names and definitions follow SCoRe (arXiv 2409.12917,
section 3): Acc@t1 = mean c1, Acc@t2 = mean c2, delta = Acc@t2 - Acc@t1, i->c and c->i = shares that were mended and
broken. Two identities hold, whatever the data:

    delta  = i->c - c->i
    Acc@t2 = Acc@t1 * keep rate + (1 - Acc@t1) * fix rate

The samples of a problem are averaged first; then problems are averaged, and problems are what intervals resample. A
rate among others (fix rate) is a ratio of such means. Samples without a readable first answer are a cell of their own
(`no_first`), and not among those that a reflection could mend; `missing_as_wrong` counts them the other way.

    metrics = correction_metrics(run.traces())
    metrics.delta.value, metrics.fix_rate.low, metrics.mcnemar_p
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from srpo.core.records import Grade, Outcome, Record, Response, TokenCounts, Trace, outcome_of
from srpo.core.response import parse, pieces
from srpo.core.rewards import says_something
from srpo.core.statistics import (
    Estimate,
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    mcnemar_exact,
    mean,
    share_interval,
)
from srpo.eval.metrics.reflections import ReflectionKind, reflection_kind
from srpo.grading import folded_answer, says_the_same


class FirstToFinal(Record):
    """From the first answer to the final one (SCoRe, arXiv 2409.12917; fix and keep rate: arXiv 2412.19513)."""

    n: int
    """Problems."""
    num_samples: int
    """Samples of these problems that count."""
    acc_t1: Estimate
    """Acc@t1: accuracy of first answers."""
    acc_t2: Estimate
    """Acc@t2: accuracy of final answers."""
    delta: Estimate
    """Acc@t2 - Acc@t1; bootstrap interval."""
    i_to_c: Estimate
    """Share whose wrong first answer became right."""
    c_to_i: Estimate
    """Share whose right first answer became wrong, or was lost."""
    fix_rate: Estimate
    """P(final right | first wrong); "critique score" in arXiv 2412.19513."""
    keep_rate: Estimate
    """P(final right | first right); "confidence level" there."""
    break_rate: Estimate
    """1 - keep rate."""
    oracle: Estimate
    """Share with a right answer among the two."""
    oracle_gain: Estimate
    """`oracle` - Acc@t1, which is i->c: what is left of delta if nothing right were broken."""
    mcnemar_p: float
    """Two-sided exact p-value of McNemar's test on i->c against c->i. Where problems have several samples, the sign
    test on those that gained against those that lost."""


class Lengths(Record):
    """Mean generated tokens per sample, over the samples whose tokens were counted."""

    n: int
    """Samples."""
    total: float
    first: float
    """First think and first answer."""
    reflection: float
    """Reflection block. Counts are known for the first attempt and in all; the rest is shared out by characters."""
    second: float
    """What follows the reflection, by characters like `reflection`."""


class CorrectionMetrics(FirstToFinal):
    """Metrics of self-correction. The fields of `FirstToFinal` are over samples with a readable first answer."""

    ungradable: int
    """Samples left out because their gold answer cannot be graded."""
    no_first: Estimate
    """Share of all samples without a readable first answer."""
    no_first_final_right: Estimate
    """Share of those whose final answer is right all the same."""
    missing_as_wrong: FirstToFinal
    """The same numbers over all samples, where a first answer that cannot be read is a wrong one."""
    change_rate: Estimate
    """Share of samples with two readable answers whose final answer is another one. Right answers are one class; wrong
    ones are compared by what they mean: 0.5 is 1/2 (SCoRe compares strings)."""
    wrong_to_other_wrong: Estimate
    """Share with a wrong first answer that became another wrong one."""
    unchanged_wrong: Estimate
    """Share with a wrong first answer that was confirmed (arXiv 2510.08308 finds that most reflections do that)."""
    wrong_to_none: Estimate
    """Share with a wrong first answer and no final answer."""
    ref_score: float
    """RefScore of MMRefine, fix rate - break rate: refinements that succeed, less right answers taken for wrong ones,
    which shows here in their being changed."""
    m_recall: float
    """mRecall of MMRefine: (error detection + 1 - false detection) / 2; an error counts as detected if the wrong answer
    was changed or withdrawn."""
    first_parsed: Estimate
    """Share of all samples with a readable first answer."""
    reflected: Estimate
    """Share of all samples with a reflection block that says something."""
    final_parsed: Estimate
    """Share of all samples with a readable final answer."""
    formatted: Estimate
    """Share of all samples with the five blocks in order."""
    truncated: Estimate | None
    """Share of samples that ran into their limit of tokens; None where nobody counted."""
    lengths: Lengths | None
    """None where nobody counted tokens."""
    reflection_share: float
    """Mean share of the reflection block in the characters of a response."""
    effective: Estimate
    """Share of reflections that mend or check, by rule (`metrics/reflections.py`; SRPO, arXiv 2506.01713, appendix)."""
    redundant: Estimate
    harmful: Estimate


class GradedSample(NamedTuple):
    """One response, reduced to what the metrics need."""

    problem: str
    outcome: Outcome | None
    """None where the gold cannot be graded."""
    has_first: bool
    """Whether a first answer could be read."""
    has_final: bool
    is_same: bool
    """Whether the final answer is the first one again."""
    is_formatted: bool
    reflected: bool
    kind: ReflectionKind | None
    """None without a reflection block."""
    characters: tuple[int, int, int]
    """Of the whole text, of the reflection block, of what follows it."""
    tokens: TokenCounts | None

    @property
    def first(self) -> bool:
        """Whether the first answer is right."""
        return self.outcome in ("right→right", "right→wrong")

    @property
    def final(self) -> bool:
        """Whether the final answer is right."""
        return self.outcome in ("right→right", "wrong→right")


def sample_of(trace: Trace) -> GradedSample:
    """A trace as a sample."""
    question = "\n".join((trace.problem.question, *trace.problem.choices))
    return read_sample(trace.problem.id, trace.first_grade, trace.final_grade, trace.text, question, trace.tokens)


def read_sample(
    problem: str, first: Grade, final: Grade, text: str, question: str = "", tokens: TokenCounts | None = None
) -> GradedSample:
    """A recorded response as a sample; O(len(text)).

    Args:
        problem: Id of the problem.
        first: Grade of the first answer.
        final: Grade of the final answer.
        text: The whole response.
        question: Question and options, to which a reflection may refer.
        tokens: Its lengths, where they are known.
    """
    response = parse(text)
    reflection: str | None
    if isinstance(response, Response):
        think, reflection = response.first.think, response.reflection
    else:
        think, reflection = text.partition("<answer>")[0], pieces(text).reflection
    end = text.rfind("</reflection>")
    return GradedSample(
        problem=problem,
        outcome=outcome_of(first, final),
        has_first=_is_read(first),
        has_final=_is_read(final),
        is_same=same_answer(first, final),
        is_formatted=isinstance(response, Response),
        reflected=says_something(reflection),
        kind=None if reflection is None else reflection_kind(first, final, reflection, think, question).kind,
        characters=(len(text), len(reflection or ""), len(text) - end if end >= 0 else 0),
        tokens=tokens,
    )


def same_answer(first: Grade, final: Grade) -> bool:
    """Whether two graded answers are the same one: both right, or both wrong and equal in what they say.

    >>> wrong = [Grade(verdict="incorrect", extracted=text, reason="") for text in ("1/2", "0.5", "(b)", "B")]
    >>> same_answer(wrong[0], wrong[1]), same_answer(wrong[2], wrong[3]), same_answer(wrong[0], wrong[2])
    (True, True, False)
    """
    if first.is_correct or final.is_correct:
        return first.is_correct and final.is_correct
    if first.extracted is None or final.extracted is None:
        return False
    left, right = folded_answer(first.extracted), folded_answer(final.extracted)
    return left == right or says_the_same(left, right)


def correction_metrics(
    samples: Iterable[GradedSample | Trace], *, seed: int = 0, num_resamples: int = 2000
) -> CorrectionMetrics:
    """All metrics of a set of responses: traces of a run, or samples read from recorded responses."""
    found = [sample_of(one) if isinstance(one, Trace) else one for one in samples]
    graded = [sample for sample in found if sample.outcome is not None]
    everything, answered = (
        _Cells(rows, seed, num_resamples) for rows in (graded, [one for one in graded if one.has_first])
    )
    main = _first_to_final(answered)
    detected = answered.ratio(lambda s: not s.first and not s.is_same, lambda s: not s.first).value
    counted = _Cells([sample for sample in graded if sample.tokens is not None], seed, num_resamples)
    return CorrectionMetrics(
        **{name: getattr(main, name) for name in FirstToFinal.model_fields},
        ungradable=len(found) - len(graded),
        no_first=everything.mean(lambda s: not s.has_first),
        no_first_final_right=everything.ratio(lambda s: not s.has_first and s.final, lambda s: not s.has_first),
        missing_as_wrong=_first_to_final(everything),
        change_rate=answered.ratio(lambda s: s.has_final and not s.is_same, lambda s: s.has_final),
        wrong_to_other_wrong=answered.mean(lambda s: s.outcome == "wrong→wrong" and s.has_final and not s.is_same),
        unchanged_wrong=answered.mean(lambda s: s.outcome == "wrong→wrong" and s.has_final and s.is_same),
        wrong_to_none=answered.mean(lambda s: s.outcome == "wrong→wrong" and not s.has_final),
        ref_score=main.fix_rate.value - main.break_rate.value,
        m_recall=(detected + 1 - main.break_rate.value) / 2,
        first_parsed=everything.mean(lambda s: s.has_first),
        reflected=everything.mean(lambda s: s.reflected),
        final_parsed=everything.mean(lambda s: s.has_final),
        formatted=everything.mean(lambda s: s.is_formatted),
        truncated=counted.mean(lambda s: s.tokens is not None and s.tokens.truncated) if counted.samples else None,
        lengths=_lengths(counted.samples),
        reflection_share=mean([s.characters[1] / max(1, s.characters[0]) for s in graded]),
        effective=everything.kind("effective"),
        redundant=everything.kind("redundant"),
        harmful=everything.kind("harmful"),
    )


class _Cells:
    """A set of samples by problem, and the means over it."""

    def __init__(self, samples: Sequence[GradedSample], seed: int, num_resamples: int) -> None:
        self.samples = samples
        self._seed, self._num_resamples = seed, num_resamples
        groups: dict[str, list[GradedSample]] = {}
        for sample in samples:
            groups.setdefault(sample.problem, []).append(sample)
        self.groups = list(groups.values())

    def shares(self, test: Callable[[GradedSample], bool]) -> list[float]:
        """For each problem, the share of its samples that pass."""
        return [sum(map(test, group)) / len(group) for group in self.groups]

    def mean(self, test: Callable[[GradedSample], bool]) -> Estimate:
        """Mean of the shares over problems."""
        shares = self.shares(test)
        return _estimate(
            mean(shares), len(shares), share_interval(shares, seed=self._seed, num_resamples=self._num_resamples)
        )

    def ratio(self, test: Callable[[GradedSample], bool], among: Callable[[GradedSample], bool]) -> Estimate:
        """Those that pass among those that count, as a ratio of means over problems. `test` implies `among`."""
        wholes = self.shares(among)
        parts = self.shares(lambda sample: among(sample) and test(sample))
        whole = math.fsum(wholes)
        value = math.fsum(parts) / whole if whole else 0.0
        interval = bootstrap_ratio(parts, wholes, seed=self._seed, num_resamples=self._num_resamples)
        return _estimate(value, sum(share > 0 for share in wholes), interval)

    def kind(self, kind: ReflectionKind) -> Estimate:
        """Share of the reflections that are of this kind."""
        return self.ratio(lambda s: s.kind == kind, lambda s: s.kind is not None)

    def gains(self) -> list[float]:
        """For each problem, final minus first accuracy."""
        return [sum(s.final - s.first for s in group) / len(group) for group in self.groups]

    def delta(self) -> Estimate:
        """Mean of the gains."""
        gains = self.gains()
        if not gains:
            return _estimate(0.0, 0, Interval(-1.0, 1.0))
        interval = bootstrap_mean(gains, seed=self._seed, num_resamples=self._num_resamples)
        return _estimate(mean(gains), len(gains), interval)


def _first_to_final(cells: _Cells) -> FirstToFinal:
    gains = cells.gains()
    i_to_c = cells.mean(lambda s: s.outcome == "wrong→right")
    return FirstToFinal(
        n=len(cells.groups),
        num_samples=len(cells.samples),
        acc_t1=cells.mean(lambda s: s.first),
        acc_t2=cells.mean(lambda s: s.final),
        delta=cells.delta(),
        i_to_c=i_to_c,
        c_to_i=cells.mean(lambda s: s.outcome == "right→wrong"),
        fix_rate=cells.ratio(lambda s: s.final, lambda s: not s.first),
        keep_rate=cells.ratio(lambda s: s.final, lambda s: s.first),
        break_rate=cells.ratio(lambda s: not s.final, lambda s: s.first),
        oracle=cells.mean(lambda s: s.first or s.final),
        oracle_gain=i_to_c,
        mcnemar_p=mcnemar_exact(sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)),
    )


def _estimate(value: float, n: int, interval: Interval) -> Estimate:
    return Estimate(value=value, n=n, low=interval.low, high=interval.high)


def _lengths(samples: Sequence[GradedSample]) -> Lengths | None:
    parts: list[tuple[float, float, float, float]] = []
    for sample in samples:
        if sample.tokens is not None:
            rest = sample.tokens.total - sample.tokens.first
            _, reflection, second = sample.characters
            share = reflection / (reflection + second) if reflection + second else 0.0
            parts.append((sample.tokens.total, sample.tokens.first, rest * share, rest * (1 - share)))
    if not parts:
        return None
    total, first, reflection_tokens, second_tokens = (mean(column) for column in zip(*parts, strict=True))
    return Lengths(n=len(parts), total=total, first=first, reflection=reflection_tokens, second=second_tokens)


def _is_read(grade: Grade) -> bool:
    return grade.is_correct or grade.extracted is not None
