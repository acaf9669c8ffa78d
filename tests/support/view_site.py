"""A live view over runs in a folder, asked without a socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srpo.report.open import labelled_runs
from srpo.view.index import Index
from srpo.view.site import Site
from tests.support.html import Page


class Viewed:
    """Pages of some runs."""

    def __init__(self, *runs: Path) -> None:
        self.index = Index(labelled_runs(runs))
        self.index.read_all()
        self.site = Site(self.index)

    def html(self, path: str, query: str = "", status: int = 200) -> str:
        reply = self.site.answer(path, query)
        assert reply.status == status, (path, query, reply.status, reply.body[:2000])
        return reply.body.decode()

    def page(self, path: str, query: str = "", status: int = 200) -> Page:
        return Page(self.html(path, query, status))

    def found(self, query: str) -> int:
        """How many traces a query finds."""
        words = next(line for line in self.page("/", query).lines if " traces" in line and " of " in line)
        return int(words.split(" of ")[0].replace(",", ""))


@contextmanager
def viewed(*runs: Path) -> Iterator[Viewed]:
    """The view, closed at the end."""
    made = Viewed(*runs)
    try:
        yield made
    finally:
        made.index.close()
