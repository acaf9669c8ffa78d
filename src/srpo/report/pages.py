"""What every page shares: templates, theme, blocks of a response, and a file that is written whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.records import Attempt, Response, Trace
from srpo.core.visible import clip, visible
from srpo.report import palette
from srpo.report.formulas import with_formulas
from srpo.report.text import compact, is_linkable, metric_words, number, percent, points, signed
from srpo.runs.files import write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def write_page(html: str, out: Path) -> Path:
    """Write a page to `out`, as a whole or not at all, and return `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Model text may hold lone surrogates, which UTF-8 cannot say.
    write_atomic(out, html.encode("utf-8", errors="replace").decode())
    return out


def theme() -> "dict[str, Markup]":
    """How every page looks. Our own files, never data: the only texts on a page that are not escaped."""
    from markupsafe import Markup

    return {
        "css": Markup(source("report.css")),  # noqa: S704
        "light": Markup(palette.css_variables(dark=False)),  # noqa: S704
        "dark": Markup(palette.css_variables(dark=True)),  # noqa: S704
    }


def environment(*packages: str) -> "Environment":
    """The templates of this package and of others, autoescaped, with the filters that they use."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "srpo.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "compact": compact,
        "signed": signed,
        "number": number,
        "duration": duration,
        "clip": clip,
        "visible": visible,
        "formulas": with_formulas,
        "blocks": blocks,
        "mark": palette.series_mark,
        "points": points,
        "metric": metric_words,
        "linkable": is_linkable,
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
    match trace.parsed:
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


def source(name: str, room: str = "report") -> str:
    """Text of a file beside the templates of a room."""
    return (Path(__file__).parents[1] / room / "templates" / name).read_text(encoding="utf-8")
