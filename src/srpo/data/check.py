"""`srpo data check`: what is wrong with a data set, found before anything is spent on it.

Every row ends up in exactly one of `num_usable` and `num_bad`; a bad row has one finding or more.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from srpo.config.data import SourceConfig
from srpo.core.grading import grade, grade_gold
from srpo.core.records import Problem
from srpo.data.images import ImageError, image_hash, read_image
from srpo.data.sources import Rejected, iter_problems


class Finding(NamedTuple):
    """One thing that is wrong with one row."""

    place: str
    """`file:line`, or what stands for it."""
    id: str
    """The problem's id; empty when the row has none."""
    problem: str
    """`row`, `gold`, `image` or `duplicate`."""
    reason: str


class Report(NamedTuple):
    """What a check found; the numbers add up: `num_rows == num_usable + num_bad`."""

    num_rows: int
    num_usable: int
    num_bad: int
    num_images: int
    """Pictures looked at, repeated ones once."""
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    """Rows that work, but not as they are: padded pictures, animations."""

    @property
    def counts(self) -> dict[str, int]:
        """Findings by what they concern."""
        return dict(Counter(finding.problem for finding in self.findings))


def check_source(
    source: SourceConfig, *, limit: int | None = None, advance: Callable[[], object] = lambda: None
) -> Report:
    """Look at every row (or at `limit` rows): gold answers, pictures in full, repeated ids, repeated problems.

    `advance` is called after each row.

    Raises:
        ValueError: the source as a whole cannot be read.
    """
    checker = _Checker()
    for item in iter_problems(source):
        checker.look_at(item)
        advance()
        if checker.num_rows == limit:
            break
    return checker.report()


class _Checker:
    """Keeps what it needs of the rows seen so far: ids, hashes and the verdict on each picture."""

    def __init__(self) -> None:
        self.num_rows = 0
        self._num_bad = 0
        self._findings: list[Finding] = []
        self._notes: list[Finding] = []
        self._ids: dict[str, str] = {}
        self._contents: dict[tuple[str, ...], str] = {}
        self._pictures: dict[str, tuple[str | None, str, tuple[str, ...]]] = {}

    def look_at(self, item: Problem | Rejected) -> None:
        """Add one row to the findings."""
        self.num_rows += 1
        if isinstance(item, Rejected):
            found = [Finding(item.place, "", "row", item.reason)]
        else:
            found = [Finding(item.source, item.id, kind, reason) for kind, reason in self._problems_of(item)]
        self._findings += found
        self._num_bad += bool(found)

    def report(self) -> Report:
        """What was found so far."""
        return Report(
            num_rows=self.num_rows,
            num_usable=self.num_rows - self._num_bad,
            num_bad=self._num_bad,
            num_images=len(self._pictures),
            findings=tuple(self._findings),
            notes=tuple(self._notes),
        )

    def _problems_of(self, problem: Problem) -> Iterator[tuple[str, str]]:
        if (reason := check_gold(problem)) is not None:
            yield "gold", reason
        hashes = []
        for ref in problem.images:
            reason, digest, notes = self._picture(ref)
            hashes.append(digest)
            if reason is not None:
                yield "image", reason
            self._notes += [Finding(problem.source, problem.id, "image", note) for note in notes]
        if problem.id in self._ids:
            yield "duplicate", f"id {problem.id!r} is already used at {self._ids[problem.id]}"
        self._ids.setdefault(problem.id, problem.source)
        content = (" ".join(problem.question.split()), *problem.choices, *hashes)
        if content in self._contents:
            yield "duplicate", f"same question and picture as {self._contents[content]}"
        self._contents.setdefault(content, problem.source)

    def _picture(self, ref: str) -> tuple[str | None, str, tuple[str, ...]]:
        if ref not in self._pictures:
            try:
                self._pictures[ref] = (None, image_hash(ref), read_image(ref).notes)
            except ImageError as error:
                self._pictures[ref] = (str(error), ref, ())
        return self._pictures[ref]


def check_gold(problem: Problem) -> str | None:
    """Return why the gold answer is of no use, or None: it must be gradable and grade itself as correct."""
    if (reason := grade_gold(problem)) is not None:
        return f"gold {problem.answer!r} is ungradable: {reason}"
    itself = grade(problem, problem.answer)
    if not itself.is_correct:
        return f"gold {problem.answer!r} does not grade itself: {itself.verdict}, {itself.reason}"
    return None
