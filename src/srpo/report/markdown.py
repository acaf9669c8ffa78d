"""The report in words and tables as Markdown, for pull requests and notebooks."""

from collections.abc import Iterable, Sequence

from srpo.report import summary
from srpo.report.model import ReportData
from srpo.report.pages import duration, share
from srpo.report.text import compact, percent, visible


def render_markdown(data: ReportData) -> str:
    """The whole report without pictures and curves."""
    story = summary.tell(data)
    parts = [f"# {_plain(data.title)}", _plain(story.headline), _plain(data.about), _plain(story.paragraph)]
    parts += [_stages(data), _flips(data), _signs(data), _verdicts(data), _phases(data)]
    if data.command:
        parts.append(f"Made by `{_plain(data.command).replace('`', '')}`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _stages(data: ReportData) -> str:
    rows = [
        (
            stage.name,
            f"{stage.n:,}",
            f"{percent(stage.first_accuracy)} [{_span(stage.first_interval)}]",
            f"{percent(stage.final_accuracy)} [{_span(stage.final_interval)}]",
            percent(stage.transitions.get("wrong→right", 0.0)),
            percent(stage.transitions.get("right→wrong", 0.0)),
            percent(stage.format_rate),
        )
        for stage in data.stages
    ]
    head = ("Stage", "n", "First answer", "Final answer", "wrong→right", "right→wrong", "Format")
    return _table("Stages, with 95% intervals", head, rows)


def _flips(data: ReportData) -> str:
    if data.flips is None:
        return ""
    flips = data.flips
    return (
        f"From {_plain(flips.before)} to {_plain(flips.after)}, {flips.gained:,} of {flips.n:,} problems went from "
        f"wrong to right and {flips.lost:,} from right to wrong."
    )


def _signs(data: ReportData) -> str:
    rows = [
        (sign.run, sign.name, sign.early, sign.late, {None: "not measured", True: "seen", False: "not seen"}[sign.seen])
        for sign in data.signs
    ]
    return _table("Reward earned without answering better?", ("Run", "Sign", "Beginning", "End", "Seen"), rows)


def _verdicts(data: ReportData) -> str:
    rows = [
        (
            row.run,
            f"{row.said_right:,}",
            share((row.said_right_is, row.said_right)),
            f"{row.said_wrong:,}",
            share((row.said_wrong_is, row.said_wrong)),
        )
        for row in data.verdicts
    ]
    head = ("Run", "says right", "and it is", "says wrong", "and it is")
    return _table("What reflections call the first answer", head, rows)


def _phases(data: ReportData) -> str:
    rows = [
        (
            row.run,
            "–" if row.seconds is None else duration(row.seconds),
            ", ".join(f"{part} {duration(seconds)}" for part, seconds in row.parts.items()) or "–",
            "–" if row.tokens is None else compact(row.tokens),
            "–" if row.usd is None else f"${row.usd:.2f}",
        )
        for row in data.phases
    ]
    return _table("Time and cost", ("Run", "Time", "Where it went", "Tokens", "Paid"), rows)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(_plain, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"## {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])


def _span(interval: tuple[float, float]) -> str:
    return ", ".join(f"{100 * bound:.1f}" for bound in interval)


def _plain(text: str) -> str:
    """A text in a line of a table: no line end, no bar, no tag."""
    return " ".join(visible(text).split()).replace("|", "\\|").replace("<", "&lt;")
