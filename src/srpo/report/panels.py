"""The panels of a report: how problems fare from stage to stage, flips, signs of a hacked reward, calibration."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from srpo.core.records import Trace
from srpo.report.calibration import Calibration
from srpo.report.flow import flows_of
from srpo.report.lineage import paths_of
from srpo.report.model import Card, Flips, Panels, stage_of
from srpo.report.observe import FLIPS, Observer
from srpo.report.reliance import look_trend
from srpo.report.signs import evaluation_signs, training_signs

_TRAINING: Final = "rl"
_WATCHED: Final = ("base", "eval", _TRAINING)
"""Stages whose reflections are the policy's own."""

CardsOf = Callable[[Iterable[tuple[str, Trace]]], tuple[Card, ...]]


class _Watched(NamedTuple):
    seen: Observer
    rows: Sequence[Mapping[str, float]]
    """Of its metrics."""


class Watcher:
    """Watches the traces of all runs while they are read."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._watched: list[_Watched] = []

    def watch(
        self, label: str, stage: str, rows: Sequence[Mapping[str, float]], traces: Iterable[Trace]
    ) -> Iterator[Trace]:
        """Pass the traces of one run on, and take note of them."""
        if stage not in _WATCHED:
            yield from traces
            return
        seen = Observer(label, stage, last_step=int(rows[-1]["step"]) if rows else 0, seed=self._seed)
        self._watched.append(_Watched(seen, rows))
        for trace in traces:
            seen.add(trace)
            yield trace

    def story(self, chosen: Sequence[str]) -> list[str]:
        """Labels of the evaluations that the report tells its story by."""
        evaluations = [one.seen.label for one in self._watched if one.seen.stage != _TRAINING]
        return [label for label in chosen if label in evaluations] or evaluations

    def finals(self) -> dict[str, dict[str, bool]]:
        """Label of an evaluation -> problem -> whether the final answer of its first response is right."""
        return {
            one.seen.label: {
                problem: outcome.endswith("right") for problem, outcome in one.seen.outcomes.items() if outcome
            }
            for one in self._watched
            if one.seen.stage != _TRAINING
        }

    def panels(
        self,
        chosen: Sequence[str],
        stages: Sequence[str],
        cards_of: CardsOf,
        parents: Mapping[str, str | None] = MappingProxyType({}),
    ) -> Panels:
        """What the panels show, once all traces have gone by.

        Args:
            chosen: Labels of the evaluations that a demo tells its story by; all of them where it names none.
            stages: Names of the stages of the report.
            cards_of: Makes cards of labelled traces.
            parents: Evaluation -> evaluation of what its policy was trained from.
        """
        evaluations = {one.seen.label: one.seen for one in self._watched if one.seen.stage != _TRAINING}
        trainings = [one for one in self._watched if one.seen.stage == _TRAINING]
        story = [evaluations[label] for label in self.story(chosen)]
        names = {label: stage_of(label, stages) or label for label in evaluations}
        training = (training_signs(one.seen, one.rows) for one in trainings)
        evaluation = map(evaluation_signs, evaluations.values())
        calibrations = (Calibration.of(one.seen) for one in self._watched)
        return Panels(
            flows=flows_of(
                {names[label]: seen.outcomes for label, seen in evaluations.items()},
                [[names[label] for label in path] for path in paths_of(parents)],
                [names[seen.label] for seen in story],
            ),
            flips=self._flips([*(one.seen for one in trainings), *story], cards_of),
            training_signs=tuple(signs for signs in training if signs is not None),
            evaluation_signs=tuple(signs for signs in evaluation if signs is not None),
            calibrations=tuple(found for found in calibrations if found is not None),
            look_trends=tuple(
                found for one in trainings if (found := look_trend(one.seen.label, one.rows)) is not None
            ),
        )

    def _flips(self, runs: Sequence[Observer], cards_of: CardsOf) -> tuple[Flips, ...]:
        """The flips of the last run that has any; evaluations stand after trainings."""
        seen = next((one for one in reversed(runs) if any(one.flips[outcome].num for outcome in FLIPS)), None)
        if seen is None:
            return ()
        return tuple(
            Flips(
                run=seen.label,
                outcome=outcome,
                num=seen.flips[outcome].num,
                seed=self._seed,
                cards=cards_of((seen.label, trace) for trace in seen.flips[outcome].kept),
            )
            for outcome in FLIPS
        )
