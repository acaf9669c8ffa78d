"""`srpo data check`: what is wrong with a data set, found before anything is spent on it.

Every row ends up in exactly one of `num_usable` and `num_bad`; a bad row has one finding or more. Memory does not grow
with the number of rows: what has been seen lies in a temporary file.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from srpo.core.records import Problem
from srpo.data.config import SourceConfig
from srpo.data.images import ImageError, image_hash, read_image
from srpo.data.leakage import Benchmarks
from srpo.data.seen import Seen
from srpo.data.sources import Rejected, iter_problems
from srpo.grading import grade, grade_gold

MAX_FINDINGS = 100_000
"""Findings and notes kept one by one; more are counted only."""


class Finding(NamedTuple):
    """One thing that is wrong with one row."""

    place: str
    """`file:line`, or what stands for it."""
    id: str
    """The problem's id; empty when the row has none."""
    problem: str
    """`row`, `gold`, `image`, `duplicate` or `benchmark`."""
    reason: str


class Report(NamedTuple):
    """What a check found; the numbers add up: `num_rows == num_usable + num_bad`."""

    num_rows: int
    num_usable: int
    num_bad: int
    num_images: int
    """Pictures looked at, repeated ones once."""
    counts: dict[str, int]
    """Findings by what they concern, all of them."""
    findings: tuple[Finding, ...]
    """The first `MAX_FINDINGS`."""
    notes: tuple[Finding, ...]
    """Rows that work, but not as they are: padded pictures, animations; the first `MAX_FINDINGS`."""


def check_source(
    source: SourceConfig,
    *,
    limit: int | None = None,
    benchmarks: Benchmarks | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Report:
    """Look at every row (or at `limit` rows): gold answers, pictures in full, repeated ids, repeated problems.

    `advance` is called after each row; problems of `benchmarks` are findings.

    Raises:
        ValueError: the source as a whole cannot be read.
    """
    with Checker(benchmarks) as checker:
        for item in iter_problems(source):
            checker.look_at(item)
            advance()
            if checker.num_rows == limit:
                break
        return checker.report()


class Checker:
    """Looks at rows one by one; a context manager, because what it has seen lies in a temporary file.

    with Checker() as checker:
        usable = [item for item in iter_problems(source) if not checker.look_at(item)]
    """

    def __init__(self, benchmarks: Benchmarks | None = None) -> None:
        self.num_rows = 0
        self._benchmarks = benchmarks
        self._num_bad = 0
        self._counts: Counter[str] = Counter()
        self._findings: list[Finding] = []
        self._notes: list[Finding] = []
        self._seen = Seen()

    def look_at(self, item: Problem | Rejected) -> list[Finding]:
        """What is wrong with one row; empty when it is usable."""
        self.num_rows += 1
        if isinstance(item, Rejected):
            found = [Finding(item.place, "", "row", item.reason)]
        else:
            found = [Finding(item.source, item.id, kind, reason) for kind, reason in self._problems_of(item)]
        self._counts.update(finding.problem for finding in found)
        self._findings += found[: MAX_FINDINGS - len(self._findings)]
        self._num_bad += bool(found)
        return found

    def report(self) -> Report:
        """What was found so far."""
        return Report(
            num_rows=self.num_rows,
            num_usable=self.num_rows - self._num_bad,
            num_bad=self._num_bad,
            num_images=self._seen.count("picture"),
            counts=dict(self._counts),
            findings=tuple(self._findings),
            notes=tuple(self._notes),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seen.__exit__(kind, error, trace)

    def _problems_of(self, problem: Problem) -> Iterator[tuple[str, str]]:
        if (reason := check_gold(problem)) is not None:
            yield "gold", reason
        pictures = [self._picture(ref) for ref in problem.images]
        for picture in pictures:
            if picture.reason is not None:
                yield "image", picture.reason
            notes = [Finding(problem.source, problem.id, "image", note) for note in picture.notes]
            self._notes += notes[: MAX_FINDINGS - len(self._notes)]
        if (place := self._seen.first("id", problem.id, problem.source)) is not None:
            yield "duplicate", f"id {problem.id!r} is already used at {place}"
        content = (" ".join(problem.question.split()), *problem.choices, *(picture.digest for picture in pictures))
        if (place := self._seen.first("content", _hash(content), problem.source)) is not None:
            yield "duplicate", f"same question and picture as {place}"
        if self._benchmarks is not None and all(picture.reason is None for picture in pictures):
            reason = self._benchmarks.found_in(problem)
            if reason is not None:
                yield "benchmark", reason

    def _picture(self, ref: str) -> "_Picture":
        known = self._seen.get("picture", ref)
        if known is not None:
            return _Picture(*json.loads(known))
        try:
            picture = _Picture(None, image_hash(ref), list(read_image(ref).notes))
        except ImageError as error:
            picture = _Picture(str(error), ref, [])
        self._seen.first("picture", ref, json.dumps(picture))
        return picture


class _Picture(NamedTuple):
    reason: str | None
    """Why it cannot be used."""
    digest: str
    notes: list[str]


def check_gold(problem: Problem) -> str | None:
    """Return why the gold answer is of no use, or None: it must be gradable and grade itself as correct."""
    if (reason := grade_gold(problem)) is not None:
        return f"gold {problem.answer!r} is ungradable: {reason}"
    itself = grade(problem, problem.answer)
    if not itself.is_correct:
        return f"gold {problem.answer!r} does not grade itself: {itself.verdict}, {itself.reason}"
    return None


def _hash(parts: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
