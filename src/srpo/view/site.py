"""A request -> a reply: the pages of the live view. Knows no sockets, so that tests ask it directly.

/            the gallery: filters, sorting, pages           /trace    one trace in full, with a word diff
/group       the responses to one problem side by side      /status   how many traces a query finds now, as JSON
/picture     a picture of a trace, never of a path          /view.css, /view.js, /theme.css
"""

import io
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import numpy as np

from srpo.core.records import Attempt, Response, Trace
from srpo.data.drawn import is_drawn
from srpo.report import palette
from srpo.report.model import Card, Picture
from srpo.report.pages import environment, source, theme
from srpo.view.columns import ADVANTAGE, TOTAL
from srpo.view.group import group_of
from srpo.view.index import GoneError, Index
from srpo.view.query import PER_PAGE, SLUGS, Query, RowNumbers, find_rows
from srpo.view.words import difference

HTML, JSON, CSS, SCRIPT, PNG = (
    "text/html; charset=utf-8",
    "application/json",
    "text/css; charset=utf-8",
    "text/javascript; charset=utf-8",
    "image/png",
)
LARGEST_SHOWN: Final = 2000
"""Larger pictures are scaled down to this many pixels on their longer side."""
_DRAWN_SIDE: Final = 84
_MOST_CHOICES: Final = 200
"""Families or sources that a filter lists."""


class Reply(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    kind: str
    """Media type."""
    body: bytes


class Site:
    """The pages over one index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._templates = environment("srpo.view")

    def answer(self, path: str, query: str) -> Reply:
        """The reply to a request for `path`, with `query` behind the question mark."""
        pages = {
            "/": self._gallery,
            "/trace": self._trace,
            "/group": self._group,
            "/status": self._status,
            "/picture": self._picture,
        }
        if path in ("/view.css", "/view.js", "/theme.css"):
            return self._file(path)
        if path not in pages:
            return self._trouble(HTTPStatus.NOT_FOUND, "There is no such page.")
        self._index.refresh()
        try:
            return pages[path](query)
        except ValueError as error:
            return self._trouble(HTTPStatus.BAD_REQUEST, str(error))
        except GoneError as error:
            return self._trouble(
                HTTPStatus.CONFLICT, f"Run {error} was cut back to its checkpoint; load the page again."
            )

    # -- pages

    def _gallery(self, text: str) -> Reply:
        query = Query.read(text)
        rows = find_rows(self._index, query)
        num_pages = max(1, -(-len(rows) // PER_PAGE))
        page = min(query.page, num_pages)
        shown = [int(row) for row in rows[(page - 1) * PER_PAGE : page * PER_PAGE]]
        return self._page(
            "gallery.html.j2",
            query=query,
            cards=[(row, self._card(row)) for row in shown],
            num_found=len(rows),
            page=page,
            num_pages=num_pages,
            choices=self._choices(),
        )

    def _trace(self, text: str) -> Reply:
        row, query = self._row(text), Query.read(text)
        rows = find_rows(self._index, query)
        previous, following, place = _neighbours(rows, row)
        card = self._card(row)
        parsed = card.trace.parsed
        return self._page(
            "trace.html.j2",
            query=query,
            row=row,
            card=card,
            previous=previous,
            following=following,
            place=place,
            num_found=len(rows),
            changes=_changes(parsed) if isinstance(parsed, Response) else [],
        )

    def _group(self, text: str) -> Reply:
        row, query = self._row(text), Query.read(text)
        group = group_of(self._index, row)
        most = max((abs(one.advantage or 0.0) for member in group.members for one in member.shares), default=0.0)
        cards = [self._card_of(member.row, member.trace) for member in group.members]
        members = list(zip(group.members, cards, strict=True))
        return self._page("group.html.j2", query=query, row=row, group=group, members=members, most=most or 1.0)

    def _status(self, text: str) -> Reply:
        runs = [
            {
                "label": run.label,
                "traces": run.num,
                "unreadable": len(run.unreadable),
                "step": state.step if state else None,
                "total_steps": state.total_steps if state else None,
                "finished": state.finished if state else None,
            }
            for run, state in ((run, run.state()) for run in self._index.runs)
        ]
        value = {
            "traces": len(self._index.frozen["run"]),
            "found": len(find_rows(self._index, Query.read(text))),
            "runs": runs,
        }
        return Reply(HTTPStatus.OK, JSON, json.dumps(value).encode())

    def _picture(self, text: str) -> Reply:
        images = self._index.trace(self._row(text)).problem.images
        number = _number(text, "picture")
        if number >= len(images):
            return self._trouble(HTTPStatus.NOT_FOUND, "The problem has no such picture.")
        from srpo.data.images import load_image

        # Made anew from its pixels: a file is never sent as it is, whatever it claims to be.
        image = load_image(images[number])
        image.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
        data = io.BytesIO()
        image.save(data, "PNG")
        return Reply(HTTPStatus.OK, PNG, data.getvalue())

    def _file(self, path: str) -> Reply:
        if path == "/view.js":
            return Reply(HTTPStatus.OK, SCRIPT, source("view.js", "view").encode())
        if path == "/view.css":
            return Reply(HTTPStatus.OK, CSS, source("view.css", "view").encode())
        look = theme()
        dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {look['dark']} }} }}"
        css = f":root {{ {look['light']} }}\n{dark}\n{look['css']}"
        return Reply(HTTPStatus.OK, CSS, css.encode())

    def _trouble(self, status: HTTPStatus, words: str) -> Reply:
        return self._page("trouble.html.j2", words=words)._replace(status=status)

    def _page(self, template: str, **values: Any) -> Reply:
        html = self._templates.get_template(template).render(
            marks=palette.OUTCOME_MARKS,
            series={run.label: number for number, run in enumerate(self._index.runs)},
            runs=self._index.runs,
            num_traces=len(self._index.frozen["run"]),
            deep=self._deep,
            **values,
        )
        return Reply(HTTPStatus.OK, HTML, html.encode("utf-8", errors="replace"))

    # -- parts

    def _row(self, text: str) -> int:
        """The row that an address names by label and number, which stay the same from day to day."""
        given = parse_qs(text)
        label, number = given.get("of", [""])[-1], _number(text, "n")
        numbers = {run.label: at for at, run in enumerate(self._index.runs)}
        columns = self._index.frozen
        found = np.flatnonzero((columns["run"] == numbers.get(label, -1)) & (columns["number"] == number))
        if not len(found):
            raise ValueError(f"run {label!r} has no trace number {number}")
        return int(found[0])

    def _deep(self, row: int) -> dict[str, object]:
        """What an address says to name a row."""
        columns = self._index.frozen
        return {"of": self._index.runs[int(columns["run"][row])].label, "n": int(columns["number"][row])}

    def _card(self, row: int) -> Card:
        return self._card_of(row, self._index.trace(row))

    def _card_of(self, row: int, trace: Trace) -> Card:
        from urllib.parse import urlencode

        pictures = []
        for number, ref in enumerate(trace.problem.images):
            side = _DRAWN_SIDE if is_drawn(ref) else 0
            uri = f"/picture?{urlencode(self._deep(row) | {'picture': number}, errors='replace')}"
            pictures.append(Picture(ref=ref, uri=uri, width=side, height=side))
        label = self._index.runs[int(self._index.frozen["run"][row])].label
        return Card(run=label, trace=trace, pictures=tuple(pictures))

    def _choices(self) -> Mapping[str, Sequence[str]]:
        names = self._index.columns.names
        listed = {name: sorted(names[name].known)[:_MOST_CHOICES] for name in ("stage", "family", "source")}
        terms = [name.removeprefix("term/") for name in self._index.frozen if name.startswith("term/")]
        terms.sort(key=lambda name: (name not in (TOTAL, ADVANTAGE), name))
        return listed | {"run": [run.label for run in self._index.runs], "term": terms, "outcome": list(SLUGS)}


def _neighbours(rows: RowNumbers, row: int) -> tuple[int | None, int | None, int | None]:
    """The rows before and after, and the place counted from 1; None where there is none."""
    at = np.flatnonzero(rows == row)
    if not len(at):
        return None, None, None
    place = int(at[0])
    before = int(rows[place - 1]) if place else None
    return before, int(rows[place + 1]) if place + 1 < len(rows) else None, place + 1


def _changes(response: Response) -> list[tuple[str, list[Any]]]:
    def pair(name: str, one: Attempt, two: Attempt) -> tuple[str, list[Any]]:
        return name, difference(getattr(one, name), getattr(two, name))

    return [pair(name, response.first, response.second) for name in ("think", "answer")]


def _number(text: str, name: str) -> int:
    given = parse_qs(text).get(name, ["0"])[-1]
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise ValueError(f"{name}={given!r} is not a number")
    return int(given)
