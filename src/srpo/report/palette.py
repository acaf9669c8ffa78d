"""Colours, each for a light and a dark page, and the marks that stand beside them: colour is never the only signal."""

from typing import Final, NamedTuple


class Tone(NamedTuple):
    """One colour by its role."""

    light: str
    """Hex code on a light page. Figures are made with it, so no two tones may share one."""
    dark: str
    """Hex code on a dark page."""


class OutcomeMark(NamedTuple):
    """How an outcome looks."""

    glyph: str
    """First and final answer as a tick or a cross."""
    word: str
    """What happened, in plain words."""
    slug: str
    """ASCII name for CSS classes and command lines."""
    tone: Tone


class SeriesMark(NamedTuple):
    """How a run or stage looks in a figure."""

    tone: Tone
    dash: str
    """Plotly dash name."""
    dasharray: str
    """The same dash for SVG."""
    symbol: str
    """Plotly marker name."""


PAGE: Final[dict[str, Tone]] = {
    "paper": Tone("#faf9f5", "#15171b"),
    "raised": Tone("#fffefb", "#1c1f24"),
    "sunken": Tone("#f1efe8", "#101215"),
    "ink": Tone("#1d2126", "#e8e6e0"),
    "muted": Tone("#5b6068", "#a3a7ae"),
    "rule": Tone("#dcd9cf", "#343941"),
    "grid": Tone("#e7e4da", "#2a2e35"),
    "accent": Tone("#8a3b12", "#f0a884"),
    "chance": Tone("#8d8674", "#9b957f"),
    "track": Tone("#ebe8de", "#262a31"),
}

OUTCOME_MARKS: Final[dict[str, OutcomeMark]] = {
    "right→right": OutcomeMark("✓✓", "stayed right", "r2r", Tone("#1c6e4c", "#6fce9f")),
    "wrong→right": OutcomeMark("✗✓", "repaired", "w2r", Tone("#1f5fa6", "#82b8f2")),
    "right→wrong": OutcomeMark("✓✗", "spoiled", "r2w", Tone("#b3400a", "#f69a63")),
    "wrong→wrong": OutcomeMark("✗✗", "stayed wrong", "w2w", Tone("#635d6e", "#b4adc2")),
    "ungradable": OutcomeMark("??", "not gradable", "none", Tone("#7d6410", "#dabd5b")),
}

SERIES: Final[tuple[SeriesMark, ...]] = (
    SeriesMark(Tone("#6c717a", "#a9afb9"), "dot", "1.5 3", "circle"),
    SeriesMark(Tone("#a97512", "#e3b454"), "dash", "6 3", "square"),
    SeriesMark(Tone("#1d7a86", "#5cc5d0"), "dashdot", "7 3 1.5 3", "diamond"),
    SeriesMark(Tone("#93306e", "#e78cc4"), "solid", "none", "star"),
    SeriesMark(Tone("#3c6e2c", "#93cc7f"), "longdash", "10 3", "triangle-up"),
    SeriesMark(Tone("#4a4fb0", "#a3a8f5"), "longdashdot", "10 3 1.5 3", "cross"),
    SeriesMark(Tone("#a33b3b", "#f09090"), "dash", "4 2", "x"),
    SeriesMark(Tone("#57606b", "#c3cbd6"), "dot", "2 2", "pentagon"),
)


def series_mark(index: int) -> SeriesMark:
    """The mark of the series number `index`; marks repeat after eight."""
    return SERIES[index % len(SERIES)]


def css_variables(*, dark: bool) -> str:
    """All tones as CSS custom properties (`--ink`, `--w2r`, `--series-0`, ...)."""
    named = {**PAGE, **{mark.slug: mark.tone for mark in OUTCOME_MARKS.values()}}
    named |= {f"series-{index}": mark.tone for index, mark in enumerate(SERIES)}
    return " ".join(f"--{name}: {tone.dark if dark else tone.light};" for name, tone in named.items())


def dark_of_light() -> dict[str, str]:
    """Light hex code -> dark hex code, with which the page repaints its figures for a dark reader."""
    tones = [*PAGE.values(), *(mark.tone for mark in OUTCOME_MARKS.values()), *(mark.tone for mark in SERIES)]
    return {tone.light: tone.dark for tone in tones}
