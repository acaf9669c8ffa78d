"""An HTML page as tests ask about it: its elements and what a reader without pictures sees."""

import re
from html.parser import HTMLParser

BLOCKS = frozenset(("p", "h1", "h2", "h3", "h4", "tr", "li", "dt", "pre", "caption"))
UNSEEN = frozenset(("script", "style", "title"))


class Page(HTMLParser):
    """Elements, scripts, text and tables of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        """What is seen: a line per block, a blank where another element begins."""
        self.tables: list[list[list[str]]] = []
        """Per table its rows, per row its cells."""
        self._tag = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._tag = tag
        self._see("\n" if tag in BLOCKS else "" if tag == "wbr" else " ")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts.append(data)
        elif self._tag not in UNSEEN:
            self._see(data)

    def _see(self, text: str) -> None:
        self.text += text
        if self._in_cell:
            cells = self.tables[-1][-1]
            cells[-1] = tidy(cells[-1] + text)

    @property
    def lines(self) -> list[str]:
        lines = (tidy(line).strip() for line in self.text.split("\n"))
        return [line for line in lines if line]

    def of(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        """Attributes of the elements `tag`, those of the class `name` alone if it is given."""
        found = [attrs for element, attrs in self.elements if element == tag]
        return [attrs for attrs in found if not name or name in (attrs.get("class") or "").split()]


def tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).lstrip()
