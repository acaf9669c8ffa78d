"""Run directories and demo directories -> `ReportData`: the only module of the report that reads files.

A demo directory holds a `summary.json` that names its stages and its runs:

    {"title": "...", "created": "2026-11-22", "command": "srpo demo --seed 0", "seed": 0, "hardware": "2 CPU cores",
     "versions": {"torch": "2.13.0"}, "stages": {"base": StageSummary, ...},
     "runs": {"sft": "sft", "eval sft": "eval-sft"}}

Run paths are taken relative to the demo directory; fields that the report does not know are left alone. A run belongs
to the stage whose name is a word of its label: `srpo` and `eval srpo` both to stage `srpo`.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from srpo.core.records import Trace
from srpo.core.statistics import paired_difference
from srpo.core.summary import StageSummary, results_of, summarise
from srpo.eval.result import BenchmarkResult
from srpo.report.between import ends_of, flips_between
from srpo.report.cards import NUM_CARDS, Sampler
from srpo.report.example import choose_example
from srpo.report.leaderboard.published import read_published
from srpo.report.leaderboard.rank import lead
from srpo.report.leaderboard.results import result_of
from srpo.report.lineage import parents_of
from srpo.report.metrics import curves_of
from srpo.report.model import Curve, Panels, ReportData, RunInfo, StageComparison, stage_of
from srpo.report.open import DemoSummary, LabelledRun, labelled_runs, read_demo, stage_rows
from srpo.report.panels import Watcher
from srpo.report.pictures import Album
from srpo.report.reliance import probed_of
from srpo.report.spent import spent_of
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
    sampler, watcher, album = Sampler(seed=CARD_SEED, most=num_cards), Watcher(seed=CARD_SEED), Album(load)
    seen = _Seen()
    for one in runs:
        _read_run(one, seen, sampler, watcher)
    stages.extend(row for one in runs if one.alone for row in _stages_of(one.label, one.run))
    head = summary or _head_of_runs(runs)
    example = choose_example({one.label: list(one.run.traces()) for one in runs if one.label in head.example})
    return ReportData(
        **head.model_dump(include={"title", "created", "command", "seed", "hardware", "versions", "about"}),
        example=album.cards(example),
        stages=tuple(stages),
        runs=tuple(seen.infos),
        comparisons=_compare(stages, seen.scores),
        first_answers=seen.first_answers,
        panels=_panels(runs, watcher, album, head.example, [stage.name for stage in stages]),
        spent=tuple(spent_of(one.label, one.run) for one in runs),
        curves=tuple(seen.curves),
        term_names=tuple(seen.terms),
        cards=album.cards(sampler.choose()),
        leaderboard=lead(seen.results, read_published(published, shipped=shipped)) if seen.results else None,
    )


class _Seen:
    """What was gathered while the runs were read."""

    def __init__(self) -> None:
        self.terms: dict[str, None] = {}
        self.scores: dict[str, dict[str, list[bool]]] = {}
        self.infos: list[RunInfo] = []
        self.curves: list[Curve] = []
        self.results: list[BenchmarkResult] = []
        self.first_answers: dict[str, FirstAnswers] = {}


def _read_run(one: LabelledRun, seen: _Seen, sampler: Sampler, watcher: Watcher) -> None:
    label, run = one.label, one.run
    counts, singles = Counter[str](), 0
    rows = list(run.metrics())
    traces = watcher.watch(label, run.stage, rows, sampler.add(label, run.traces()))
    for trace in _note_terms(traces, seen.terms):
        if run.stage in _EVALUATIONS and trace.outcome is not None:
            seen.scores.setdefault(label, {}).setdefault(trace.problem.id, []).append(trace.final_grade.is_correct)
        counts[trace.outcome or "ungradable"] += 1
        singles += trace.style == "single"
    seen.infos.append(_run_info(label, one.place, counts, num_single=singles, num_steps=len(rows)))
    if run.stage in _TRAININGS:
        seen.curves.extend(curves_of(label, rows))
    if (result := result_of(run)) is not None:
        seen.results.append(result)
    if (checked := _first_answers_of(run)) is not None:
        seen.first_answers[label] = checked


def _panels(
    runs: Sequence[LabelledRun], watcher: Watcher, album: Album, chosen: Sequence[str], stages: Sequence[str]
) -> Panels:
    """The panels of the responses, with those that need more of the runs than what went by."""
    parents = parents_of([one for one in runs if one.run.stage in _EVALUATIONS])
    panels = watcher.panels(chosen, stages, album.cards, parents)
    ends = ends_of(watcher.story(chosen), parents)
    readers = {one.label: one.run for one in runs}
    probes = (probed_of(one.label, one.run) for one in runs)
    return panels.model_copy(
        update={
            "probes": tuple(found for found in probes if found is not None),
            "between": flips_between(ends, watcher.finals(), readers, album.cards, seed=CARD_SEED) if ends else None,
        }
    )


def _run_info(label: str, place: str, counts: Counter[str], *, num_single: int, num_steps: int) -> RunInfo:
    num_traces = counts.total()
    return RunInfo(
        label=label,
        path=place,
        num_traces=num_traces,
        num_steps=num_steps,
        counts=dict(counts),
        single=0 < num_traces == num_single,
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


def _note_terms(traces: Iterable[Trace], terms: dict[str, None]) -> Iterator[Trace]:
    for trace in traces:
        if trace.reward is not None:
            terms.update(dict.fromkeys(term.name for term in trace.reward.terms))
        yield trace
