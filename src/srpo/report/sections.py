"""Markdown of the sections that compare runs: flips between two, reliance on the picture, time and cost."""

from collections.abc import Sequence

from srpo.core.statistics import Estimate
from srpo.report.markup import plain, table
from srpo.report.model import Between, Card, Panels
from srpo.report.pages import duration
from srpo.report.reliance import LookTrend, Probed
from srpo.report.signs import Level
from srpo.report.spent import Spent, together
from srpo.report.text import compact, number, percent, signed

_LONGEST = 200
"""Characters of one text of a flip."""


def between_section(found: Between) -> list[str]:
    """What flipped between two evaluations."""
    said = f"Of {found.num:,} problems that both answered, {found.gained:,} went from wrong to right and "
    said += f"{found.lost:,} from right to wrong. Shown are some of each, drawn at random (seed {found.seed})."
    lines = [
        f"* {'wrong→right' if pair.gained else 'right→wrong'}: {_cut(pair.before.trace.problem.question)} "
        f"(gold {_cut(pair.before.trace.problem.answer)}): {_answer(pair.before)}, then {_answer(pair.after)}"
        for pair in found.pairs
    ]
    title = f"## Answers that flipped from {plain(found.before)} to {plain(found.after)}"
    return [title, said, *(["\n".join(lines)] if lines else [])]


def reliance_section(panels: Panels) -> list[str]:
    """Whether answers and reflections rely on the picture."""
    if not panels.probes and not panels.look_trends:
        return []
    parts = ["## Do they look at the picture?"]
    for one in panels.probes:
        parts += [f"### {plain(one.run)}: {one.words}", _probe(one), one.tell()]
    if panels.look_trends:
        parts += ["### During the training", _trends(panels.look_trends)]
    return parts


def spent_section(rows: Sequence[Spent]) -> list[str]:
    """What runs took."""
    if together(rows).seconds is None:
        return []
    head = ["Run", "Where it went", "Time", "Tokens", "Requests", "Paid"]
    shown = [*rows, together(rows)] if len(rows) > 1 else rows
    cells = [
        [
            row.run,
            ", ".join(f"{part} {duration(seconds)}" for part, seconds in row.parts.items()) or "–",
            "–" if row.seconds is None else duration(row.seconds) + ("" if row.is_finished else " so far"),
            "–" if row.tokens is None else compact(row.tokens),
            "–" if row.requests is None else f"{row.requests:,}",
            "–" if row.usd is None else f"${row.usd:.2f}",
        ]
        for row in shown
    ]
    return ["## Time and cost", table(head, cells, num_text=2)]


def _probe(one: Probed) -> str:
    result = one.result
    head = ["Part", "with its picture", f"with {one.words}", "difference, points", "changed"]
    answers = {"first answers right": result.first, "final answers right": result.final}
    rows = [
        [name, _share(found.plain), _share(found.disturbed), _points(found.difference), _share(found.changed)]
        for name, found in answers.items()
        if found is not None
    ]
    if (found := result.reflection) is not None:
        gains = [_points(gain) for gain in (found.gain, found.gain_disturbed, found.gain_difference)]
        rows.append(["what reflections add, points", *gains, _share(found.changed)])
        rows.append(["reflections after the same first attempt", "–", "–", "–", _share(found.changed_alone)])
    return table(head, rows, num_text=1)


def _trends(found: Sequence[LookTrend]) -> str:
    head = ["Run", "How far another picture moves it, nats a token", "first third", "last third"]
    rows = [[one.run, name, _level(pair[0]), _level(pair[1])] for one in found for name, pair in one.parts.items()]
    return table(head, rows, num_text=2)


def _answer(card: Card) -> str:
    grade = card.trace.final_grade
    said = _cut(grade.extracted) if grade.extracted is not None else "no answer"
    return f"{said} {'✓' if grade.is_correct else '✗'}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")


def _share(found: Estimate) -> str:
    return f"{percent(found.value)} ({percent(found.low)} – {percent(found.high)})"


def _points(found: Estimate) -> str:
    return f"{signed(100 * found.value)} ({signed(100 * found.low)} to {signed(100 * found.high)})"


def _level(found: Level) -> str:
    return f"{number(found.value)} ({number(found.low)} – {number(found.high)})"
