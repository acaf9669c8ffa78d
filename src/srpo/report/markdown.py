"""The report as Markdown, for a pull request or a note: its tables and sentences, no curves, no pictures."""

from collections.abc import Iterable, Sequence
from typing import Final

from srpo.core.records import Response, Trace
from srpo.core.summary import StageSummary
from srpo.report import sections, summary, tables
from srpo.report.calibration import Calibration
from srpo.report.flow import Flow, outcomes_in
from srpo.report.markup import plain, table
from srpo.report.model import Flips, Panels, ReportData
from srpo.report.observe import Portion
from srpo.report.palette import OUTCOME_MARKS
from srpo.report.signs import Sign, TrainingSigns, sign_words
from srpo.report.text import number, percent, signed

_LONGEST: Final = 400
"""Characters of one text of a flip."""


def report_markdown(data: ReportData) -> str:
    """The whole report as Markdown; texts of models and data sets are escaped, never markup."""
    story = summary.tell(data)
    parts = [f"# {plain(data.title)}", f"**{plain(story.headline)}**"]
    parts += [plain(text) for text in (data.about, story.paragraph) if text]
    if data.stages:
        parts += ["## Stages", _stages(data.stages)]
    if rows := tables.family_rows(data.stages):
        parts += ["## Final answers right by family", _families(rows, data.stages)]
    parts += _panels(data.panels)
    parts += sections.spent_section(data.spent)
    if data.command:
        parts += ["## Make it again", f"    {' '.join(data.command.split())}"]
    return "\n\n".join(parts) + "\n"


def _stages(stages: Sequence[StageSummary]) -> str:
    head = ["Stage", "First answer", "Final answer", "Chance", "n", "Format", "wrong→right", "right→wrong"]
    rows = [
        [
            stage.name,
            f"{percent(stage.first_accuracy)} ({_range(*stage.first_interval)})",
            f"{percent(stage.final_accuracy)} ({_range(*stage.final_interval)})",
            percent(stage.chance) if stage.chance is not None else "–",
            f"{stage.n:,}" + (f" × {stage.num_samples}" if stage.num_samples > 1 else ""),
            percent(stage.format_rate),
            percent(stage.transitions.get("wrong→right", 0.0)),
            percent(stage.transitions.get("right→wrong", 0.0)),
        ]
        for stage in stages
    ]
    return table(head, rows, num_text=1)


def _families(rows: Iterable[tables.FamilyRow], stages: Sequence[StageSummary]) -> str:
    head = ["Family", "n", "Chance", *(stage.name for stage in stages)]
    cells = [
        [
            row.family or "(none)",
            f"{row.n:,}",
            percent(row.chance) if row.chance is not None else "–",
            *(percent(cell.final) if cell else "–" for cell in row.cells),
        ]
        for row in rows
    ]
    return table(head, cells, num_text=1)


def _panels(panels: Panels) -> list[str]:
    parts: list[str] = []
    if panels.flows:
        parts += ["## Where the problems went", *map(_flow, panels.flows)]
    parts += sections.reliance_section(panels)
    if panels.calibrations:
        parts += ["## Do the reflections know?", _calibrations(panels.calibrations)]
        parts += [f"* {plain(one.run)}: {one.tell()}" for one in panels.calibrations]
    if panels.training_signs or panels.evaluation_signs:
        parts += ["## Was the reward hacked?"]
        parts += [part for one in panels.training_signs for part in _training(one)]
    if panels.evaluation_signs:
        shown = sign_words(panels.evaluation_signs)
        head = ["Run", *shown.values()]
        rows = [
            [one.run, *(_portion(one.shares[name]) if name in one.shares else "–" for name in shown)]
            for one in panels.evaluation_signs
        ]
        parts += [table(head, rows, num_text=1)]
    if panels.between:
        parts += sections.between_section(panels.between)
    for kind in panels.flips:
        parts += _flips(kind)
    return parts


def _flow(flow: Flow) -> str:
    head = [f"Of {flow.num:,} problems", *flow.stages]
    marks = {name: OUTCOME_MARKS[name] for name in outcomes_in(flow)}
    rows = [
        [f"{mark.glyph} {mark.word}", *(f"{column.get(name, 0):,}" for column in flow.columns)]
        for name, mark in marks.items()
    ]
    moves = [
        [f"{flow.stages[one.stage]}: {one.source}", f"{flow.stages[one.stage + 1]}: {one.target}", f"{one.num:,}"]
        for one in flow.ribbons
    ]
    said = (
        ""
        if flow.is_descent
        else "In the order in which the runs were given; no run says which was trained from which.\n\n"
    )
    return f"{said}{table(head, rows, num_text=1)}\n\n{table(['From', 'To', 'Problems'], moves, num_text=2)}"


def _calibrations(found: Sequence[Calibration]) -> str:
    head = ["Run", "first answers right", "called right: right", "called wrong: wrong"]
    head += ["wrong ones called wrong", "right ones called wrong", "no verdict read"]
    rows = [
        [
            one.run,
            *map(_portion, (one.first_right, one.calls_right, one.calls_wrong, one.noticed, one.doubted, one.silent)),
        ]
        for one in found
    ]
    return table(head, rows, num_text=1)


def _training(found: TrainingSigns) -> list[str]:
    signs = [*found.signs, *([found.reward] if found.reward else [])]
    rows = [[sign.words, _level(sign, early=True), _level(sign, early=False), sign.trend] for sign in signs]
    short = " (too few steps or responses to tell most of them)" if found.is_too_short else ""
    said = (", ".join(found.alarms) or "none") + short
    parts = [table([f"Of {found.run}", "first third", "last third", "change"], rows, num_text=1), f"Signs: {said}."]
    if found.gains:
        gains = ", ".join(f"{plain(name)} {signed(gain, 3)}" for name, gain in found.gains.items())
        parts += [f"What each term added to the mean reward, weighted: {gains}."]
    return parts


def _flips(kind: Flips) -> list[str]:
    shown = f"{len(kind.cards)} of {kind.num:,}, drawn at random (seed {kind.seed})"
    parts = [f"## {kind.outcome} in {plain(kind.run)}: {shown}"]
    return parts + [_flip(card.trace) for card in kind.cards]


def _flip(trace: Trace) -> str:
    lines = [f"* {_cut(trace.problem.question)} (gold {_cut(trace.problem.answer)}; {plain(trace.problem.id)})"]
    if isinstance(trace.parsed, Response):
        first, second = trace.parsed.first, trace.parsed.second
        lines += [f"  * first {_cut(first.answer)}: {_cut(first.think)}"]
        lines += [f"  * reflection: {_cut(trace.parsed.reflection)}"]
        lines += [f"  * then {_cut(second.answer)}: {_cut(second.think)}"]
    else:
        lines += [f"  * not in the format: {_cut(trace.text)}"]
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = text.strip()
    more = len(text) - _LONGEST
    return plain(text if more <= 0 else f"{text[:_LONGEST]} … ({more:,} more characters)")


def _portion(found: Portion) -> str:
    if not found.whole:
        return "–"
    return f"{percent(found.value)} ({_range(found.low, found.high)}), {found.part:,} of {found.whole:,}"


def _level(sign: Sign, *, early: bool) -> str:
    level = sign.early if early else sign.late
    if not sign.is_share:
        return f"{number(level.value)} ({number(level.low)} – {number(level.high)})"
    return f"{percent(level.value)} ({_range(level.low, level.high)})"


def _range(low: float, high: float) -> str:
    return f"{percent(low)} – {percent(high)}"
