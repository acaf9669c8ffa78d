"""One problem through several runs: what a reader sees first.

The example is chosen, and the page says so: of the problems that all runs answered, the one that tells most of what the
method is for. (The gallery is drawn at random.)
"""

from collections.abc import Mapping, Sequence
from typing import Final

from srpo.core.looking import looks_again
from srpo.core.records import Response, Trace
from srpo.data.drawn import is_drawn, scene_of

MAX_PROBLEMS: Final = 20_000
"""Problems of each run among which the example is sought."""


def choose_example(runs: Mapping[str, Sequence[Trace]]) -> list[tuple[str, Trace]]:
    """Label and trace of each run, in order, about the same problem; empty when no problem is in all of them.

    Best is a problem that the last run repaired after a look at the picture and that no earlier run got right; among
    equals the shortest texts, so that they can be read at a glance.
    """
    if not runs:
        return []
    found = [{trace.problem.id: trace for trace in reversed(traces[:MAX_PROBLEMS])} for traces in runs.values()]
    shared = [key for key in found[-1] if all(key in one for one in found)]
    if not shared:
        return []
    best = max(shared, key=lambda key: (_worth([one[key] for one in found]), -sum(len(one[key].text) for one in found)))
    return [(label, one[best]) for label, one in zip(runs, found, strict=True)]


def _worth(traces: Sequence[Trace]) -> tuple[int, ...]:
    *earlier, last = traces
    return (
        last.outcome == "wrong→right",
        _looks(last) and _sees(last),
        _looks(last),
        sum(trace.has_format for trace in traces),
        sum(not trace.final_grade.is_correct for trace in earlier),
        # A reflection of an earlier stage that gives its verdict without a look shows what was learned.
        sum(isinstance(trace.parsed, Response) and not _looks(trace) for trace in earlier),
    )


def _sees(trace: Trace) -> bool:
    """Whether the reflection reads the picture as it is, where we drew the picture and know."""
    refs = trace.problem.images
    if not isinstance(trace.parsed, Response) or not refs or not is_drawn(refs[0]):
        return False
    return set(scene_of(refs[0]).check(trace.parsed.first.answer).lines) <= set(trace.parsed.reflection.splitlines())


def _looks(trace: Trace) -> bool:
    return isinstance(trace.parsed, Response) and looks_again(trace.parsed.reflection, trace.parsed.first)
