"""Which traces a report shows: a fair sample over runs, outcomes and families, the same for the same seed.

Traces are read once and never kept all at the same time: each stratum holds a small reservoir.
"""

import random
from collections.abc import Iterable
from typing import Final

from srpo.core.records import OUTCOMES, Trace

NUM_CARDS: Final = 1000
"""Cards in a report, unless more or fewer are asked for; most of them wait, see `templates/report.js`."""
AT_ONCE: Final = 48
"""Cards that a page shows from the start."""
_KEPT_PER_STRATUM: Final = 12
"""At least so many traces of each kind are kept to choose from."""


class Sampler:
    """Keeps traces of every (run, outcome, family), each with equal chance: twelve, or a quarter of what is wanted.

    >>> sampler = Sampler(seed=0)
    >>> sampler.choose(num=5)
    []
    """

    def __init__(self, *, seed: int, most: int = NUM_CARDS) -> None:
        self._seed = seed
        self._wanted = most
        self._most = max(_KEPT_PER_STRATUM, most // 4)
        self._kept: dict[tuple[str, str, str], list[Trace]] = {}
        self._seen: dict[tuple[str, str, str], int] = {}
        self._random = random.Random(seed)

    def add(self, run: str, traces: Iterable[Trace]) -> Iterable[Trace]:
        """Pass `traces` of the run labelled `run` on, and keep a sample of them."""
        for trace in traces:
            stratum = (run, trace.outcome or "ungradable", trace.problem.family)
            kept = self._kept.setdefault(stratum, [])
            seen = self._seen[stratum] = self._seen.get(stratum, 0) + 1
            if len(kept) < self._most:
                kept.append(trace)
            elif (at := self._random.randrange(seen)) < self._most:
                kept[at] = trace
            yield trace

    def choose(self, num: int | None = None) -> list[tuple[str, Trace]]:
        """Take up to `num` traces, turn by turn from every outcome, within it every run, within it every family.

        `num` is what the sampler was made for, unless given.

        Returns pairs of run label and trace: those of the first turns, `AT_ONCE` of them, then the others, each sorted
        by run (in the order of `add`), then outcome.
        """
        shuffled = random.Random(self._seed)
        queues = {stratum: shuffled.sample(traces, len(traces)) for stratum, traces in self._kept.items()}
        taken: dict[tuple[str, ...], int] = {}
        chosen: list[tuple[tuple[str, str, str], Trace]] = []
        num = self._wanted if num is None else num
        while len(chosen) < num and any(queues.values()):
            stratum = min(
                (stratum for stratum, queue in queues.items() if queue),
                key=lambda stratum: (
                    taken.get(("outcome", stratum[1]), 0),
                    taken.get(("run", stratum[1], stratum[0]), 0),
                    taken.get(("family", stratum[1], stratum[2]), 0),
                    taken.get(("stratum", *stratum), 0),
                    stratum,
                ),
            )
            run, outcome, family = stratum
            for count in (("outcome", outcome), ("run", outcome, run), ("family", outcome, family)):
                taken[count] = taken.get(count, 0) + 1
            taken["stratum", *stratum] = taken.get(("stratum", *stratum), 0) + 1
            chosen.append((stratum, queues[stratum].pop()))
        runs = list(dict.fromkeys(stratum[0] for stratum in self._kept))
        outcomes = [*OUTCOMES, "ungradable"]

        def place(item: tuple[tuple[str, str, str], Trace]) -> tuple[int, int, str]:
            (run, outcome, family), _ = item
            return runs.index(run), outcomes.index(outcome), family

        # What is seen at once is a fair sample by itself: the first turns.
        shown = [*sorted(chosen[:AT_ONCE], key=place), *sorted(chosen[AT_ONCE:], key=place)]
        return [(stratum[0], trace) for stratum, trace in shown]
