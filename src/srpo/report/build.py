"""Run directories and demo directories -> `ReportData`: the only module of the report that reads files.

A demo directory holds a `summary.json` that names its stages and its runs:

    {"title": "...", "created": "2026-11-22", "command": "srpo demo --seed 0", "seed": 0, "hardware": "2 CPU cores",
     "versions": {"torch": "2.13.0"}, "stages": {"base": StageSummary, ...},
     "runs": {"sft": "sft", "eval sft": "eval-sft"}}

Run paths are taken relative to the demo directory; fields that the report does not know are left alone. A run belongs
to the stage whose name is a word of its label: `srpo` and `eval srpo` both to stage `srpo`.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter

from srpo.core.statistics import paired_difference
from srpo.core.summary import StageSummary, results_of, summarise
from srpo.report.cards import NUM_CARDS, Sampler
from srpo.report.example import choose_example
from srpo.report.flips import choose_flips, flip_ends
from srpo.report.hacking import signs_of
from srpo.report.leaderboard.published import read_published
from srpo.report.leaderboard.rank import lead
from srpo.report.leaderboard.results import result_of
from srpo.report.metrics import curves_of
from srpo.report.model import Curve, ReportData, RunInfo, StageComparison, TimeSpent, stage_of
from srpo.report.notes import Notes
from srpo.report.open import DemoSummary, LabelledRun, labelled_runs, read_demo, stage_rows
from srpo.report.pictures import Album
from srpo.runs.reader import RunReader
from srpo.sft.first_answers import FirstAnswers

if TYPE_CHECKING:
    from PIL.Image import Image

CARD_SEED = 0
"""Seeds the choice of cards, so that the same runs give the same report."""

_EVALUATIONS = ("base", "eval")
"""Stages of runs whose traces are answers to held-out problems by one policy."""
_TRAININGS = ("sft", "rl")
"""Stages whose steps follow from each other; those of the others are batches in any order, and make no curve."""


def read_report(
    dirs: Sequence[Path],
    load: "Callable[[str], Image] | None" = None,
    *,
    published: Sequence[Path] = (),
    shipped: bool = True,
    num_cards: int = NUM_CARDS,
) -> ReportData:
    """Read run and demo directories, in the order in which they are given.

    Args:
        dirs: At least one run directory or demo directory.
        load: Loads a picture from its reference; `srpo.data.images.load_image` unless given.
        published: Files of published results (`srpo.report.leaderboard.published`), for runs with a benchmark.
        shipped: Whether the published results that come with srpo are shown too.
        num_cards: At most so many responses in the gallery.

    Raises:
        ValueError: a directory is neither a run nor a demo, or one of its files cannot be read.
    """
    if not dirs:
        raise ValueError("no run directory was given")
    summary, stages, runs = _open(dirs)
    sampler = Sampler(seed=CARD_SEED, most=num_cards)
    album = Album(load)
    found = [_read_run(one, sampler) for one in runs]
    stages.extend(row for one in runs if one.alone for row in _stages_of(one.label, one.run))
    evaluations = [one.notes for one in found if one.run.run.stage in _EVALUATIONS]
    results = [result for one in runs if (result := result_of(one.run)) is not None]
    curves = tuple(curve for one in found for curve in one.curves)
    head = summary or _head_of_runs(runs)
    example = choose_example({one.label: list(one.run.traces()) for one in runs if one.label in head.example})
    readers = {one.label: one.run for one in runs}
    pair = flip_ends(evaluations)
    return ReportData(
        **head.model_dump(include={"title", "created", "command", "seed", "hardware", "versions", "about"}),
        example=tuple(album.card(*one) for one in example),
        stages=tuple(stages),
        runs=tuple(one.info for one in found),
        comparisons=_compare(stages, {one.label: one.final for one in evaluations if one.final}),
        first_answers={one.label: checked for one in runs if (checked := _first_answers_of(one.run)) is not None},
        curves=curves,
        term_names=tuple(dict.fromkeys(name for one in found for name in one.notes.weights)),
        flips=choose_flips(pair, readers, album.card, seed=CARD_SEED) if pair else None,
        outcomes={one.label: one.outcomes for one in evaluations if one.outcomes},
        verdicts=tuple(said for one in evaluations if (said := one.verdicts()) is not None),
        signs=tuple(sign for one in found if one.run.run.stage == "rl" for sign in signs_of(one.notes, curves)),
        phases=tuple(_phase(one.label, one.run) for one in runs),
        cards=tuple(album.card(*one) for one in sampler.choose(num_cards)),
        leaderboard=lead(results, read_published(published, shipped=shipped)) if results else None,
    )


class _Read(NamedTuple):
    """A run whose traces were read once."""

    run: LabelledRun
    info: RunInfo
    notes: Notes
    curves: tuple[Curve, ...]


def _read_run(found: LabelledRun, sampler: Sampler) -> _Read:
    label, run = found.label, found.run
    notes = Notes(label)
    for trace in sampler.add(label, run.traces()):
        notes.take(trace, is_evaluation=run.stage in _EVALUATIONS)
    rows = list(run.metrics())
    num_traces = notes.counts.total()
    info = RunInfo(
        label=label,
        path=found.place,
        num_traces=num_traces,
        num_steps=len(rows),
        counts=dict(notes.counts),
        single=0 < num_traces == notes.num_single,
    )
    return _Read(found, info, notes, tuple(curves_of(label, rows)) if run.stage in _TRAININGS else ())


def _phase(label: str, run: RunReader) -> TimeSpent:
    """Where the time went, as far as the run says."""
    summary = run.summary() or {}
    parts, tokens = summary.get("seconds_by_part"), summary.get("tokens")
    spent = [one.get("usd") for one in summary.get("spend") or () if isinstance(one, dict)]
    try:
        seconds: float | None = run.state().time_s
    except (OSError, ValueError):
        seconds = None
    return TimeSpent(
        run=label,
        seconds=seconds,
        parts=parts if isinstance(parts, dict) else {},
        tokens=tokens if isinstance(tokens, int) else None,
        usd=sum(spent) if spent and all(isinstance(one, int | float) for one in spent) else None,
    )


def _open(dirs: Sequence[Path]) -> tuple[DemoSummary | None, list[StageSummary], list[LabelledRun]]:
    """All runs under labels that differ; the summary too when there is one directory and it is a demo."""
    demos = [read_demo(path) for path in dirs]
    stages = [stage for demo in demos if demo for stage in demo.stages]
    return demos[0] if len(demos) == 1 else None, stages, labelled_runs(dirs)


def _stages_of(label: str, run: RunReader) -> list[StageSummary]:
    """The row of a run that was asked for by itself: as its summary has it, or from its traces so far.

    Traces of training runs give no row: they come from training problems and from a policy that changed under way.
    """
    if run.stage not in _EVALUATIONS:
        return []
    summary = run.summary() or {}
    try:
        (row,) = TypeAdapter(tuple[StageSummary, ...]).validate_python(stage_rows(summary["stages"]))
    except (KeyError, ValueError):
        results = results_of(run.traces())
        return [summarise(results, label)] if results else []
    return [row.model_copy(update={"name": label})]


def _first_answers_of(run: RunReader) -> FirstAnswers | None:
    """What a cold start made of the first answer, where its config asked."""
    found = (run.summary() or {}).get("first_answers") if run.stage == "sft" else None
    return FirstAnswers.model_validate(found) if found else None


def _compare(
    stages: Sequence[StageSummary], scores: Mapping[str, Mapping[str, Sequence[bool]]]
) -> tuple[StageComparison, ...]:
    names = [stage.name for stage in stages]
    of_stage = {stage_of(label, names): found for label, found in scores.items()}
    means = {
        name: {problem: sum(right) / len(right) for problem, right in of_stage[name].items()}
        for name in names
        if name in of_stage
    }
    found = []
    for theirs, ours in combinations(means, 2):
        if means[ours].keys() & means[theirs].keys():
            difference = paired_difference(means[ours], means[theirs])
            found.append(StageComparison(ours=ours, theirs=theirs, **difference._asdict()))
    return tuple(found)


def _head_of_runs(runs: Sequence[LabelledRun]) -> DemoSummary:
    provenance = runs[0].run.config.provenance
    seed = runs[0].run.config.config.get("seed")
    return DemoSummary(
        title=" · ".join(run.label for run in runs),
        runs={},
        command=shlex.join(provenance.command),
        seed=seed if isinstance(seed, int) else None,
        hardware=provenance.system,
        versions={"srpo": provenance.srpo_version, "python": provenance.python, **provenance.libraries},
    )
