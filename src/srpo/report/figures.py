"""The plotly figures of a report, as plain JSON values: pure, drawn with the light palette and repainted by the page.

Colours stand for runs and stages, and so do marker and dash, so that a figure can be read without its colours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from srpo.core.summary import StageSummary
from srpo.report import tables
from srpo.report.metrics import Panel, ends, learning_panel, smooth, thin
from srpo.report.model import Curve, ReportData, stage_of
from srpo.report.palette import PAGE, series_mark
from srpo.report.text import number, percent

_FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


class LegendLine(NamedTuple):
    """One line of a figure in words."""

    name: str
    series: int
    """Index of the series mark."""
    text: str
    """The line's numbers, for readers who see no plot."""


class Figure(NamedTuple):
    """One figure with its words."""

    title: str
    words: str
    """What is drawn, in plain words; may be empty."""
    legend: tuple[LegendLine, ...]
    height: int
    """Pixels."""
    spec: dict[str, Any]
    """`data` and `layout` as plotly.js reads them."""

    @property
    def description(self) -> str:
        """The figure in one sentence, for screen readers."""
        return f"{self.title}: " + "; ".join(f"{line.name} {line.text}" for line in self.legend)


def family_figure(stages: Sequence[StageSummary], series: Mapping[str, int]) -> Figure | None:
    """Final accuracy of every stage in every family, chance marked; None when no stage has families."""
    from plotly import graph_objects as go

    rows = tables.family_rows(stages)[::-1]
    if not rows:
        return None
    figure = go.Figure()
    for at, row in enumerate(rows):
        if row.chance is not None:
            figure.add_scatter(
                x=[100 * row.chance] * 2,
                y=[at - 0.4, at + 0.4],
                mode="lines",
                line={"color": PAGE["chance"].light, "width": 2, "dash": "3px,2px"},
                hovertemplate="%{x:.1f}%<extra>blind guess</extra>",
            )
    for turn, stage in enumerate(stages):
        lane = (len(stages) - 1) / 2 - turn
        shown = [(at, row.family) for at, row in enumerate(rows) if row.family in stage.by_family]
        mark = series_mark(series[stage.name])
        figure.add_scatter(
            x=[100 * stage.by_family[family].final_accuracy for _, family in shown],
            # Each stage has a lane of its own, so that equal accuracies do not hide each other.
            y=[at + 0.72 * lane / len(stages) for at, _ in shown],
            mode="markers",
            marker={"symbol": mark.symbol, "size": 10, "color": mark.tone.light},
            hovertemplate="%{x:.1f}%<extra>" + _plain(stage.name) + "</extra>",
        )
    height = 60 + (14 + 11 * len(stages)) * len(rows)
    figure.update_layout(**_layout(height=height, margin={"l": 8, "r": 12, "t": 4, "b": 44}), hovermode="closest")
    figure.update_xaxes(title={"text": "final answers right, %", "standoff": 8}, range=[-2, 102], **_axis())
    names = [_plain(row.family) or "(none)" for row in rows]
    figure.update_yaxes(
        automargin=True, tickvals=list(range(len(rows))), ticktext=names, range=[-0.55, len(rows) - 0.45], **_axis()
    )
    # Families are told apart by lines between them; a line through the middle would run into the markers.
    figure.update_yaxes(showgrid=False)
    for at in range(len(rows) - 1):
        figure.add_hline(y=at + 0.5, line={"color": PAGE["grid"].light, "width": 1})
    legend = tuple(LegendLine(stage.name, series[stage.name], percent(stage.final_accuracy)) for stage in stages)
    return Figure("Final accuracy by family", "", legend, height, _spec(figure))


def panel_figure(panel: Panel, series: Mapping[str, int]) -> Figure:
    """One metric over its steps: raw values faint, a centred moving average strong, one dash and colour per run."""
    from plotly import graph_objects as go

    figure = go.Figure()
    legend = []
    for curve in panel.curves:
        index = series[curve.run]
        mark = series_mark(index)
        thinned = thin(curve)
        steps, raw = list(thinned.steps), [_short(value) for value in thinned.values]
        figure.add_scatter(
            x=steps, y=raw, mode="lines", line={"color": mark.tone.light, "width": 1}, opacity=0.28, hoverinfo="skip"
        )
        figure.add_scatter(
            x=steps,
            y=[_short(value) for value in smooth(thinned.values)],
            mode="lines" if len(steps) > 1 else "markers",
            line={"color": mark.tone.light, "width": 2.2, "dash": mark.dash},
            hovertemplate="%{y:.3~g}<extra>" + _plain(curve.run) + "</extra>",
        )
        legend.append(LegendLine(curve.run, index, _ends_text(curve)))
    height = 190
    figure.update_layout(**_layout(height=height, margin={"l": 46, "r": 10, "t": 6, "b": 26}), hovermode="x unified")
    figure.update_xaxes(nticks=5, **_axis())
    rangemode = "tozero" if panel.is_share else "normal"
    # "200k" has room beside the axis, "200000" has not; "500µ" is nothing that people read.
    tickformat = "~s" if max(max(curve.values) for curve in panel.curves) >= 10_000 else "~g"
    figure.update_yaxes(nticks=5, tickformat=tickformat, rangemode=rangemode, **_axis())
    return Figure(panel.key, panel.words, tuple(legend), height, _spec(figure))


def learning_figure(data: ReportData) -> Figure | None:
    """The curve to see: the share of reflections that look again, beside repaired and spoiled answers."""
    run = next(
        (run.label for run in data.runs if stage_of(run.label, [stage.name for stage in data.stages]) == "srpo"), ""
    )
    panel = learning_panel(data.curves, run)
    if panel is None:
        return None
    return panel_figure(panel, {curve.run: index for index, curve in enumerate(panel.curves)})


def _ends_text(curve: Curve) -> str:
    first, last = ends(curve)
    return number(last) if len(curve.values) == 1 else f"{number(first)} → {number(last)}"


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _plain(name: str) -> str:
    """Plotly reads `<b>` and `%{..}` in names; a run's name is data."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")


def _axis() -> dict[str, Any]:
    grid, ink = PAGE["grid"].light, PAGE["muted"].light
    return {"gridcolor": grid, "zeroline": False, "fixedrange": True, "tickfont": {"color": ink}, "linecolor": grid}


def _layout(*, height: int, margin: dict[str, int]) -> dict[str, Any]:
    return {
        "template": None,
        "height": height,
        "margin": margin,
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": PAGE["ink"].light},
        "hoverlabel": {
            "bgcolor": PAGE["raised"].light,
            "font": {"color": PAGE["ink"].light},
            "bordercolor": PAGE["rule"].light,
        },
    }


def _spec(figure: Any) -> dict[str, Any]:
    spec = figure.to_plotly_json()
    return {"data": spec["data"], "layout": spec["layout"]}
