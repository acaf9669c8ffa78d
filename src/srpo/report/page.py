"""`ReportData` -> one HTML file: jinja2 with autoescape on, our own script and plotly.js inlined once.

The content security policy names the hash of each inlined script and forbids every request, so that neither a text of
a model nor a mistake of ours can run code or reach the network from the page.

    >>> write_report([Path("runs/demo")], Path("report.html"))  # doctest: +SKIP
    PosixPath('report.html')
"""

import base64
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from srpo.core.records import Attempt, Response, Trace
from srpo.report import board, figures, metrics, palette, story, tables
from srpo.report.build import read_report
from srpo.report.datasets import metric_words
from srpo.report.model import Card, ReportData, stage_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LONGEST_TEXT: Final = 4000
"""Characters of one block of a response that a card shows."""


class Choice(NamedTuple):
    """One button of a filter."""

    value: str
    label: str
    num: int


def write_report(dirs: Sequence[Path], out: Path, *, published: Sequence[Path] = (), shipped: bool = True) -> Path:
    """Read run or demo directories and write their report to `out`; return `out`.

    Raises ValueError when a directory is neither a run nor a demo.
    """
    return write_page(render(read_report(dirs, published=published, shipped=shipped)), out)


def write_page(html: str, out: Path) -> Path:
    """Write a page to `out`, as a whole or not at all, and return `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # A reader who has the old file open, or a full disk, never meets half a report.
    with tempfile.NamedTemporaryFile(dir=out.parent, prefix=out.name, suffix=".part", delete=False) as part:
        # Model text may hold lone surrogates, which UTF-8 cannot say.
        part.write(html.encode("utf-8", errors="replace"))
    Path(part.name).chmod(0o644)
    return Path(part.name).replace(out)


def render(data: ReportData) -> str:
    """The whole page as text."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    scripts = [get_plotlyjs(), _source("report.js")]
    series = series_of(data)
    groups = [
        (group, [figures.panel_figure(panel, series) for panel in group.panels]) for group in metrics.panel_groups(data)
    ]
    template = environment().get_template("report.html.j2")
    return template.render(
        data=data,
        story=story.tell(data),
        series=series,
        marks=palette.OUTCOME_MARKS,
        family_figure=figures.family_figure(data.stages, series),
        family_rows=tables.family_rows(data.stages),
        panel_groups=groups,
        matrices=[tables.matrix(stage) for stage in data.stages],
        single=tables.single_attempt(data),
        filters=_filters(data.cards),
        scripts=[Markup(script) for script in scripts],  # noqa: S704  our own files, as in `theme`
        script_hashes=[_csp_hash(script) for script in scripts],
        repaint=palette.dark_of_light(),
        **theme(),
    )


def theme() -> "dict[str, Markup]":
    """How every page looks. Our own files, never data: the only texts on a page that are not escaped."""
    from markupsafe import Markup

    return {
        "css": Markup(_source("report.css")),  # noqa: S704
        "light": Markup(palette.css_variables(dark=False)),  # noqa: S704
        "dark": Markup(palette.css_variables(dark=True)),  # noqa: S704
    }


def environment() -> "Environment":
    """The templates of this package, autoescaped, with the filters that they use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("srpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": story.percent,
        "compact": story.compact,
        "signed": story.signed,
        "number": figures.number,
        "duration": duration,
        "clip": clip,
        "blocks": blocks,
        "mark": palette.series_mark,
        "points": board.points,
        "metric": metric_words,
        "linkable": board.is_linkable,
    }
    return made


def duration(seconds: float) -> str:
    """Seconds as text, e.g. `4 min 10 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clip(text: str) -> str:
    """The text, cut where a card would grow out of hand, and saying so."""
    text = text.strip()
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} … ({len(text) - LONGEST_TEXT:,} more characters)"


class Block(NamedTuple):
    """One column of a card."""

    title: str
    think: str | None
    answer: str | None
    verdict: str | None
    reason: str


def blocks(trace: Trace) -> list[Block]:
    """First attempt, reflection and second attempt as columns; one column when there is only one attempt."""
    first, final = trace.first_grade, trace.final_grade
    match trace.response:
        case Response(first=one, reflection=reflection, second=two):
            return [
                Block("First attempt", one.think, one.answer, first.verdict, first.reason),
                Block("Reflection", reflection, None, None, ""),
                Block("Second attempt", two.think, two.answer, final.verdict, final.reason),
            ]
        case Attempt(think=think, answer=answer):
            return [Block("Only attempt", think, answer, final.verdict, final.reason)]
        case _:
            found = [Block("Final answer found", None, final.extracted, final.verdict, final.reason)]
            if trace.style == "reflective":
                found.insert(0, Block("First answer found", None, first.extracted, first.verdict, first.reason))
            return [Block("Text as it was generated", trace.text, None, None, ""), *found]


def _filters(cards: Sequence[Card]) -> list[tuple[str, str, list[Choice]]]:
    """Filter name, its attribute on a card, and its choices, for filters with something to choose."""

    def choices(values: Sequence[str], labels: dict[str, str]) -> list[Choice]:
        return [Choice(value, labels.get(value, value), values.count(value)) for value in dict.fromkeys(values)]

    words = {name: f"{mark.glyph} {name}" for name, mark in palette.OUTCOME_MARKS.items()}
    present = [card.outcome for card in cards]
    outcomes = [name for name in palette.OUTCOME_MARKS if name in present]
    rows = [
        ("Outcome", "outcome", [Choice(name, words[name], present.count(name)) for name in outcomes]),
        ("Run", "run", choices([card.run for card in cards], {})),
        ("Family", "family", choices(sorted(card.trace.problem.family for card in cards), {"": "(none)"})),
    ]
    return [row for row in rows if len(row[2]) > 1]


def series_of(data: ReportData) -> dict[str, int]:
    """Stage name or run label -> index of its mark; a stage and its runs are one colour, dash and symbol."""
    stages = [stage.name for stage in data.stages]
    owners = {label: stage_of(label, stages) or label for label in [*stages, *(run.label for run in data.runs)]}
    order = list(dict.fromkeys(owners.values()))
    return {label: order.index(owner) for label, owner in owners.items()}


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
