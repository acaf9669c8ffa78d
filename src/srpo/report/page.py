"""`ReportData` -> one HTML file, Markdown and JSON beside it: jinja2 with autoescape on, scripts inlined once.

The content security policy names the hash of each inlined script and forbids every request, so that neither a text of
a model nor a mistake of ours can run code or reach the network from the page.

    write_report([Path("runs/demo")], Path("report.html"))
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from srpo.report import figures, flow, markdown, metrics, palette, signs, spent, summary, tables
from srpo.report.build import read_report
from srpo.report.cards import AT_ONCE, NUM_CARDS
from srpo.report.model import Card, ReportData, stage_of
from srpo.report.pages import environment, source, theme, write_page


class FilterChoice(NamedTuple):
    """One button of a filter."""

    value: str
    label: str
    num: int


def write_report(
    dirs: Sequence[Path],
    out: Path,
    *,
    published: Sequence[Path] = (),
    shipped: bool = True,
    num_cards: int = NUM_CARDS,
) -> Path:
    """Read run or demo directories and write their report to `out`, its Markdown and JSON beside it; return `out`.

    Raises ValueError when a directory is neither a run nor a demo.
    """
    data = read_report(dirs, published=published, shipped=shipped, num_cards=num_cards)
    name = out.name.removesuffix(".html")
    write_page(markdown.report_markdown(data), out.with_name(f"{name}.md"))
    write_page(
        json.dumps(summary.report_json(data), ensure_ascii=False, indent=1) + "\n", out.with_name(f"{name}.json")
    )
    return write_page(render_page(data), out)


def render_page(data: ReportData) -> str:
    """The whole page as text."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    scripts = [get_plotlyjs(), source("report.js")]
    series = series_of(data)
    groups = [
        (group, [figures.panel_figure(panel, series) for panel in group.panels]) for group in metrics.panel_groups(data)
    ]
    template = environment().get_template("report.html.j2")
    return template.render(
        data=data,
        story=summary.tell(data),
        learning=figures.learning_figure(data),
        series=series,
        marks=palette.OUTCOME_MARKS,
        family_figure=figures.family_figure(data.stages, series),
        family_rows=tables.family_rows(data.stages),
        panel_groups=groups,
        matrices=[tables.matrix(stage) for stage in data.stages],
        single=tables.single_attempt(data),
        flow_drawings=[(one, flow.lay_out(one)) for one in data.panels.flows],
        flow_outcomes=flow.outcomes_in(*data.panels.flows),
        together=spent.together(data.spent),
        sign_words=signs.sign_words(data.panels.evaluation_signs),
        filters=_filters(data.cards),
        at_once=AT_ONCE,
        waiting=_waiting(data.cards[AT_ONCE:]),
        scripts=[Markup(script) for script in scripts],  # noqa: S704  our own files, as in `theme`
        script_hashes=[_csp_hash(script) for script in scripts],
        repaint=palette.dark_of_light(),
        **theme(),
    )


def _filters(cards: Sequence[Card]) -> list[tuple[str, str, list[FilterChoice]]]:
    """Filter name, its attribute on a card, and its choices, for filters with something to choose."""

    def choices(values: Sequence[str], labels: dict[str, str]) -> list[FilterChoice]:
        return [FilterChoice(value, labels.get(value, value), num) for value, num in Counter(values).items()]

    words = {name: f"{mark.glyph} {name}" for name, mark in palette.OUTCOME_MARKS.items()}
    present = Counter(card.outcome for card in cards)
    outcomes = [name for name in palette.OUTCOME_MARKS if name in present]
    rows = [
        ("Outcome", "outcome", [FilterChoice(name, words[name], present[name]) for name in outcomes]),
        ("Run", "run", choices([card.run for card in cards], {})),
        ("Family", "family", choices(sorted(card.trace.problem.family for card in cards), {"": "(none)"})),
    ]
    return [row for row in rows if len(row[2]) > 1]


def _waiting(cards: Sequence[Card]) -> dict[str, int]:
    """The pictures of cards that wait, each once: address -> number."""
    return {
        uri: at for at, uri in enumerate(dict.fromkeys(one.uri for card in cards for one in card.pictures if one.uri))
    }


def series_of(data: ReportData) -> dict[str, int]:
    """Stage name or run label -> index of its mark; a stage and its runs are one colour, dash and symbol."""
    stages = [stage.name for stage in data.stages]
    owners = {label: stage_of(label, stages) or label for label in [*stages, *(run.label for run in data.runs)]}
    order = list(dict.fromkeys(owners.values()))
    return {label: order.index(owner) for label, owner in owners.items()}


def _csp_hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
