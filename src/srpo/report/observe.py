"""What the panels of a report need of the traces of one run, gathered while they are read once; no trace is kept.

Only flips are: a few, each with equal chance (`Reservoir`).
"""

import math
import operator
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from srpo.core.looking import looks_again
from srpo.core.records import Outcome, Record, Response, Trace
from srpo.core.statistics import bootstrap_ratio
from srpo.core.verdicts import says_right
from srpo.eval.metrics.correction import same_answer
from srpo.eval.metrics.reflections import repeats

Window = Literal["early", "middle", "late"]
"""Which third of the steps a trace is from."""
WINDOWS: Final[tuple[Window, ...]] = ("early", "middle", "late")
FLIPS: Final[tuple[Outcome, ...]] = ("wrong→right", "right→wrong")
NUM_FLIPS: Final = 4
"""Flips of each kind that a report shows."""
_AT_TARGET: Final = math.exp(-((0.05 / 0.25) ** 2))
"""Score of the length term 5% off the length that it asks for (paper eq. 8)."""


class Portion(Record):
    """A share of responses with its 95% interval over problems."""

    part: int
    whole: int
    """Responses that count."""
    low: float
    high: float

    @property
    def value(self) -> float:
        """Between 0 and 1; 0 where nothing counts."""
        return self.part / self.whole if self.whole else 0.0


class Findings(NamedTuple):
    """What a response shows, each 0 or 1; summed over the responses to a problem."""

    reflections: int = 0
    """Five blocks and both grades: what all but the last two are among."""
    first_right: int = 0
    calls_right: int = 0
    """Reflections that call the first answer right."""
    rightly: int = 0
    """Of these, on right first answers."""
    calls_wrong: int = 0
    wrongly: int = 0
    """Of these, on right first answers."""
    copied: int = 0
    changed: int = 0
    """Final answers that are other than the first."""
    unreasoned: int = 0
    """Of these, after a reflection that states nothing but a verdict."""
    against: int = 0
    """Of these, after a reflection that calls the first answer right."""
    paid_length: int = 0
    """Responses that a length term paid."""
    at_target: int = 0
    """Of these, within 5% of the length that it asks for."""


def findings_of(trace: Trace) -> Findings:
    """The findings of one trace."""
    length = next((term.score for term in trace.reward.terms if term.name == "length"), None) if trace.reward else None
    findings = Findings(paid_length=length is not None, at_target=length is not None and length >= _AT_TARGET)
    if trace.outcome is None or not isinstance(trace.parsed, Response):
        return findings
    reflection, first = trace.parsed.reflection, trace.parsed.first
    claim, is_right = says_right(reflection), trace.first_grade.is_correct
    changed = not same_answer(trace.first_grade, trace.final_grade)
    return findings._replace(
        reflections=1,
        first_right=is_right,
        calls_right=claim is True,
        rightly=claim is True and is_right,
        calls_wrong=claim is False,
        wrongly=claim is False and is_right,
        copied=repeats(reflection, first.think),
        changed=changed,
        unreasoned=changed and not looks_again(reflection, first),
        against=changed and claim is True,
    )


def share(findings: Iterable[Findings], part: Callable[[Findings], int], whole: Callable[[Findings], int]) -> Portion:
    """A share of the responses, from the findings of each problem; samples of one problem are not independent."""
    found = list(findings)
    parts, wholes = [part(one) for one in found], [whole(one) for one in found]
    return Portion(part=sum(parts), whole=sum(wholes), **bootstrap_ratio(parts, wholes)._asdict())


class Reservoir:
    """Up to `NUM_FLIPS` traces of those that were offered, each with equal chance."""

    def __init__(self, seed: int) -> None:
        self.num = 0
        self.kept: list[Trace] = []
        self._random = random.Random(seed)

    def offer(self, trace: Trace) -> None:
        """Maybe keep a trace."""
        self.num += 1
        if len(self.kept) < NUM_FLIPS:
            self.kept.append(trace)
        elif (at := self._random.randrange(self.num)) < NUM_FLIPS:
            self.kept[at] = trace


class Observer:
    """Watches the traces of one run go by."""

    def __init__(self, label: str, stage: str, *, last_step: int, seed: int) -> None:
        self.label = label
        self.stage = stage
        self.outcomes: dict[str, Outcome | None] = {}
        """Of the first sample of each problem, by the problem's id."""
        self.flips = {outcome: Reservoir(seed) for outcome in FLIPS}
        self.weights: dict[str, float] = {}
        """Of the reward terms."""
        self._last_step = last_step
        self._findings: dict[Window, dict[str, Findings]] = {window: {} for window in WINDOWS}

    def add(self, trace: Trace) -> None:
        """Take note of one trace."""
        problem = sys.intern(trace.problem.id)
        self.outcomes.setdefault(problem, trace.outcome)
        if trace.outcome in self.flips:
            self.flips[trace.outcome].offer(trace)
        if trace.reward is not None:
            self.weights.update((term.name, term.weight) for term in trace.reward.terms)
        _add(self._findings[window_of(trace.origin.step or 0, self._last_step)], {problem: findings_of(trace)})

    def findings(self, *windows: Window) -> Sequence[Findings]:
        """The findings of each problem in some thirds of the steps, or in all."""
        found: dict[str, Findings] = {}
        for window in windows or WINDOWS:
            _add(found, self._findings[window])
        return list(found.values())


def window_of(step: int, last_step: int) -> Window:
    """The third of a training's steps that `step` is in."""
    return "early" if 3 * step <= last_step else "late" if 3 * step > 2 * last_step else "middle"


def _add(to: dict[str, Findings], more: Mapping[str, Findings]) -> None:
    for problem, findings in more.items():
        known = to.get(problem)
        to[problem] = findings if known is None else Findings(*map(operator.add, known, findings))
