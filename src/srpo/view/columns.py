"""What the index keeps of a trace: numbers, in arrays that grow; texts stay on the disk."""

import math
import re
from array import array
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from srpo.core.records import OUTCOMES, Response, Trace
from srpo.eval.metrics.reflections import repeats
from srpo.grading import folded_answer

OUTCOME_NAMES: Final = (*OUTCOMES, "ungradable")
TOTAL, ADVANTAGE = "reward", "advantage"
"""Names of the two numbers that are filtered like reward terms."""
_PLACE_IN_FILE = re.compile(r":\d+$")
_KINDS: Final = {
    "run": "H",
    "number": "L",
    "offset": "Q",
    "length": "L",
    "outcome": "B",
    "stage": "H",
    "family": "L",
    "source": "L",
    "problem": "L",
    "sample": "L",
    "step": "l",
    "tokens": "l",
    "final": "b",
    "changed": "B",
    "copied": "B",
    "format": "B",
}
"""Column -> type of its numbers. -1 stands for what a trace does not say."""

Numbers = npt.NDArray[Any]


class Place(NamedTuple):
    """Where a trace lies."""

    run: int
    """Number of the run."""
    number: int
    """Of the trace in its file, from 0."""
    offset: int
    """Bytes before its line."""
    length: int
    """Bytes of its line."""


class Names:
    """Texts that repeat, each as a small number."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The number of a name, a new one where it is new."""
        return self.known.setdefault(name, len(self.known))


class Columns:
    """One row per trace."""

    def __init__(self) -> None:
        self._arrays = {name: array(kind) for name, kind in _KINDS.items()}
        self._terms: dict[str, array[float]] = {}
        self.names = {name: Names() for name in ("stage", "family", "source", "problem")}

    def __len__(self) -> int:
        return len(self._arrays["run"])

    def add(self, place: Place, trace: Trace) -> None:
        """Append the row of a trace."""
        problem, final = trace.problem, trace.final_grade
        row = place._asdict() | {
            "outcome": OUTCOME_NAMES.index(trace.outcome or "ungradable"),
            "stage": self.names["stage"].code(trace.origin.stage),
            "family": self.names["family"].code(problem.family),
            "source": self.names["source"].code(_PLACE_IN_FILE.sub("", problem.source)),
            "problem": self.names["problem"].code(problem.id),
            "sample": trace.sample,
            "step": -1 if trace.origin.step is None else trace.origin.step,
            "tokens": -1 if trace.tokens is None else trace.tokens.total,
            "final": int(final.is_correct) if final.counts else -1,
            "changed": changed_its_answer(trace),
            "copied": copied_its_reflection(trace),
            "format": trace.has_format,
        }
        self._add_terms(trace)
        for name, value in row.items():
            self._arrays[name].append(value)

    def _add_terms(self, trace: Trace) -> None:
        found: dict[str, float] = {}
        if trace.reward is not None:
            found = {term.name: term.score for term in trace.reward.terms} | {TOTAL: trace.reward.total}
        if trace.advantage is not None:
            found[ADVANTAGE] = trace.advantage
        for name in found.keys() - self._terms.keys():
            self._terms[name] = array("f", [math.nan]) * len(self)
        for name, values in self._terms.items():
            values.append(found.get(name, math.nan))

    def frozen(self) -> dict[str, Numbers]:
        """All columns as they are now; reward terms as `term/NAME`, what a trace does not have as NaN."""
        columns: dict[str, Numbers] = {name: np.array(values) for name, values in self._arrays.items()}
        return columns | {f"term/{name}": np.array(values) for name, values in self._terms.items()}


def changed_its_answer(trace: Trace) -> bool:
    """Whether a response has two answers, and the second one is another than the first."""
    first, final = trace.first_grade.extracted, trace.final_grade.extracted
    if not isinstance(trace.parsed, Response) or first is None or final is None or first == final:
        return False
    return folded_answer(first) != folded_answer(final)


def copied_its_reflection(trace: Trace) -> bool:
    """Whether a response has a reflection, and it is the first attempt once more."""
    return isinstance(trace.parsed, Response) and repeats(trace.parsed.reflection, trace.parsed.first.think)
