"""What is noted of each trace of a run while it is read once: numbers and names, no texts."""

from collections import Counter
from typing import NamedTuple

from srpo.core.looking import looks_again, stated_verdict
from srpo.core.records import Response, Trace
from srpo.eval.metrics.correction import same_answer
from srpo.eval.metrics.reflections import repeats
from srpo.report.model import Verdicts


class Step(NamedTuple):
    """One reflective response of a training run."""

    step: int
    copied: bool
    """Whether the reflection is the first attempt once more."""
    changed: bool
    """Whether the second answer is another than the first."""
    looked: bool
    """Whether the reflection states anything besides a verdict."""


class Notes:
    """Of one run."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.outcomes: dict[str, str] = {}
        """By problem: the outcome of its first sample."""
        self.final: dict[str, list[bool]] = {}
        """By problem with a grade: whether its final answers are right."""
        self.counts: Counter[str] = Counter()
        self.weights: dict[str, float] = {}
        """Reward terms and their weights."""
        self.steps: list[Step] = []
        self.num_single = 0
        self._said: Counter[tuple[bool | None, bool]] = Counter()

    def take(self, trace: Trace, *, is_evaluation: bool) -> None:
        """Note one trace."""
        self.counts[trace.outcome or "ungradable"] += 1
        self.num_single += trace.style == "single"
        if trace.reward is not None:
            self.weights |= {term.name: term.weight for term in trace.reward.terms}
        if is_evaluation:
            self.outcomes.setdefault(trace.problem.id, trace.outcome or "ungradable")
            if trace.outcome is not None:
                self.final.setdefault(trace.problem.id, []).append(trace.final_grade.is_correct)
        response = trace.parsed
        if not isinstance(response, Response):
            return
        if is_evaluation and trace.first_grade.counts:
            self._said[stated_verdict(response.reflection), trace.first_grade.is_correct] += 1
        if trace.origin.step is not None:
            changed = not same_answer(trace.first_grade, trace.final_grade)
            looked = looks_again(response.reflection, response.first)
            copied = repeats(response.reflection, response.first.think)
            self.steps.append(Step(trace.origin.step, copied, changed, looked))

    def verdicts(self) -> Verdicts | None:
        """What the reflections said; None where none said anything."""
        said = self._said
        if not any(said[what, is_right] for what in (True, False) for is_right in (True, False)):
            return None
        return Verdicts(
            run=self.label,
            said_right=said[True, True] + said[True, False],
            said_right_is=said[True, True],
            said_wrong=said[False, True] + said[False, False],
            said_wrong_is=said[False, False],
            said_nothing=said[None, True] + said[None, False],
        )
