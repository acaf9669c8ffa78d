r"""LaTeX in questions and answers as MathML, which browsers draw by themselves; what is no formula stays text.

    the area is $\frac{1}{2}$ of it        between dollars, \(..\), \[..\]; a price in dollars is none
    \frac{3}{4}                            a text that is a formula as a whole

latex2mathml writes what it was given into tags and attributes, unescaped. So only its tree is used, and only elements,
attributes and values that are listed here become markup; everything else, and all that is long or deep, stays text.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Final

from srpo.core.visible import clip, visible

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from markupsafe import Markup

LONGEST_FORMULA: Final = 400
"""Characters; a conversion takes time that grows with them, at most some milliseconds at this length."""
_DEEPEST: Final = 24
"""Elements within each other."""
_MOST_ELEMENTS: Final = 600
_DELIMITED: Final = re.compile(
    r"\$\$(?P<a>[^$]{1,400})\$\$ | \\\[(?P<b>.{1,400}?)\\\] | \\\((?P<c>.{1,400}?)\\\)"
    # As pandoc has it: no blank inside the dollars, no digit behind them.
    r" | (?<![\\$\w])\$(?![\s$])(?P<d>[^$\n]{1,400})(?<![\s\\])\$(?![\d$])",
    re.DOTALL | re.VERBOSE,
)
_TEXT_COMMAND: Final = re.compile(r"\\(?:text\w*|mbox|mathrm|operatorname)\s*\{[^{}]*\}")
_COMMAND: Final = re.compile(r"\\[a-zA-Z]+")
_PROSE: Final = re.compile(r"[^\W\d_]{3,}\s+[^\W\d_]{2,}")
_REFUSED: Final = re.compile(r"\\(?:newcommand|renewcommand|def|let|href|style|class|color|\w*phantom|rule|unicode)\b")
"""Commands that define others, name addresses and colours, or take room without showing anything."""
_ENTITY: Final = re.compile(r"&\#x([0-9A-Fa-f]{1,6});")
_TAG: Final = re.compile(
    "mrow|mi|mn|mo|mtext|mspace|mfrac|msqrt|mroot|msub|msup|msubsup|munder|mover|munderover|mstyle|mtable|mtr|mtd"
    "|menclose|mmultiscripts|mprescripts|none"
)
_WORD: Final = re.compile(r"true|false|prefix|postfix|infix|normal|left|right|center|[0-2]")
_SMALL: Final = re.compile(r"-?[01]?(?:\.\d{1,4})?em")
_ATTRIBUTES: Final[dict[str, re.Pattern[str]]] = {
    **dict.fromkeys(("displaystyle", "scriptlevel", "stretchy", "fence", "form", "separator", "accent"), _WORD),
    **dict.fromkeys(("movablelimits", "mathvariant", "columnalign"), _WORD),
    **dict.fromkeys(("width", "lspace", "rspace"), _SMALL),
    "linethickness": re.compile(r"0(?:pt|em)?"),
}


class _NoFormulaError(ValueError):
    """What was found is shown as text."""


def with_formulas(text: str) -> "Markup":
    """A text for a page, cut and made visible as `clip` does it, with its formulas as MathML."""
    from markupsafe import Markup

    return Markup("".join(_pieces(clip(text))))  # noqa: S704  each piece is escaped or from the lists above


def _pieces(text: str) -> Iterator[str]:
    at = 0
    for found in _DELIMITED.finditer(text):
        latex = next(group for group in found.groups() if group is not None)
        made = None if found["d"] is not None and _is_prose(latex) else _mathml(latex)
        if made is not None:
            yield escape(text[at : found.start()])
            yield made
            at = found.end()
    is_whole = at == 0 and "$" not in text and _COMMAND.search(text) and not _is_prose(text)
    whole = _mathml(text) if is_whole else None
    yield escape(text[at:]) if whole is None else whole


def _is_prose(latex: str) -> bool:
    """Whether words stand in it one after the other, as in no formula: `$5 for apples, pears at 3$`."""
    return bool(_PROSE.search(_COMMAND.sub(" ", _TEXT_COMMAND.sub(" ", latex[: LONGEST_FORMULA + 1]))))


@lru_cache(maxsize=8192)
def _mathml(latex: str) -> str | None:
    """One formula; None where it cannot or must not be one."""
    if len(latex) > LONGEST_FORMULA or not latex.strip() or _REFUSED.search(latex):
        return None
    from latex2mathml.converter import Converter

    try:
        tree = Converter().convert_to_element(latex)
        inner = "".join(_markup(child, 1) for child in tree) if sum(1 for _ in tree.iter()) < _MOST_ELEMENTS else None
    except Exception:  # A dozen kinds, IndexError and StopIteration among them: it is not LaTeX.
        return None
    source = escape(latex.strip())
    return None if inner is None else f'<math alttext="{source}" title="{source}">{inner}</math>'


def _markup(element: "Element", depth: int) -> str:
    tag = element.tag
    if not _TAG.fullmatch(tag) or depth > _DEEPEST:
        raise _NoFormulaError(tag)
    if tag == "menclose":
        # Browsers draw no box; a line through a term is a meaning that must not be lost.
        if element.get("notation") != "box":
            raise _NoFormulaError(tag)
        tag = "mrow"
    given = {
        name: value
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and _ATTRIBUTES[name].fullmatch(value)
    }
    attributes = "".join(f' {name}="{value}"' for name, value in given.items())
    inner = "".join(_markup(child, depth + 1) for child in element)
    return f"<{tag}{attributes}>{_shown(element.text or '')}{inner}</{tag}>"


def _shown(text: str) -> str:
    """What one element says; its characters may be written as entities. A command in it is one that nobody knows."""
    found = visible(_ENTITY.sub(lambda one: chr(int(one[1], 16)), text))
    if "\\" in found:
        raise _NoFormulaError(found)
    return escape(found)
