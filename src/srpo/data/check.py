"""`srpo data check`: what is wrong with a data set, found before anything is spent on it.

Every row ends up in exactly one of `num_usable` and `num_bad`; a bad row has one finding or more. Memory does not grow
with the number of rows: what has been seen lies in a temporary file.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from srpo.core.records import Problem, Rejected
from srpo.data.config import SourceConfig
from srpo.data.ids import repeated_text
from srpo.data.images import ImageError, image_hash, read_image
from srpo.data.leakage import Benchmarks
from srpo.data.placeholders import control_tokens
from srpo.data.seen import Seen
from srpo.data.sources import iter_problems
from srpo.grading import classify_gold, grade, grade_gold

MAX_FINDINGS = 100_000
"""Findings and notes kept one by one; more are counted only."""

MAX_GOLD_BYTES = 200
"""Of words; a gold with more, and neither number, formula nor letter, is prose, which no response repeats."""

BAD_GOLD = "gold is of no use"
LONG_GOLD = "gold is a whole text"
CONTROL = "control token in the text"
BAD_PICTURE = "picture cannot be used"
REPEATED = "id or problem is there already"
IN_BENCHMARK = "in a benchmark"


class Note(NamedTuple):
    """Something about a row that works, but not as it is."""

    place: str
    """`file:line`, or what stands for it."""
    id: str
    note: str


class Report(NamedTuple):
    """What a check found; the numbers add up: `num_rows == num_usable + num_bad`."""

    num_rows: int
    num_usable: int
    num_bad: int
    num_images: int
    """Pictures looked at, repeated ones once."""
    counts: dict[str, int]
    """All findings, by reason."""
    findings: tuple[Rejected, ...]
    """The first `MAX_FINDINGS`."""
    notes: tuple[Note, ...]
    """What was done to rows that work: padded pictures, animations; the first `MAX_FINDINGS`."""


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
        self._findings: list[Rejected] = []
        self._notes: list[Note] = []
        self._seen = Seen()

    def look_at(self, item: Problem | Rejected) -> list[Rejected]:
        """What is wrong with one row; empty when it is usable."""
        self.num_rows += 1
        found = [item] if isinstance(item, Rejected) else list(self._findings_about(item))
        self._counts.update(finding.reason for finding in found)
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

    def _findings_about(self, problem: Problem) -> Iterator[Rejected]:
        def finding(reason: str, detail: str) -> Rejected:
            return Rejected.about(problem, "source", reason, detail)

        yield from (finding(reason, detail) for reason, detail in check_texts(problem))
        pictures = [self._picture(ref) for ref in problem.images]
        for picture in pictures:
            if picture.reason is not None:
                yield finding(BAD_PICTURE, picture.reason)
            notes = [Note(problem.source, problem.id, note) for note in picture.notes]
            self._notes += notes[: MAX_FINDINGS - len(self._notes)]
        if (place := self._seen.first("id", problem.id, problem.source)) is not None:
            yield finding(REPEATED, repeated_text(problem.id, place))
        content = (" ".join(problem.question.split()), *problem.choices, *(picture.digest for picture in pictures))
        if (place := self._seen.first("content", _hash(content), problem.source)) is not None:
            yield finding(REPEATED, f"same question and picture as {place}")
        if self._benchmarks is not None and all(picture.reason is None for picture in pictures):
            detail = self._benchmarks.found_in(problem)
            if detail is not None:
                yield finding(IN_BENCHMARK, detail)

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


def check_texts(problem: Problem) -> Iterator[tuple[str, str]]:
    """Reason and detail of what is wrong with question and gold, the pictures aside."""
    if (detail := check_gold(problem)) is not None:
        yield BAD_GOLD, detail
    elif is_prose(problem):
        yield LONG_GOLD, f"{problem.answer[:60]!r}..: only the same words would be right"
    if tokens := control_tokens((problem.question, *problem.choices, problem.answer, problem.caption)):
        # Local models get them as text (`policy.processor`); what a server makes of them is its own affair.
        yield CONTROL, f"{', '.join(map(repr, tokens))}: a server may end the turn there, or look for a picture"


def is_prose(problem: Problem) -> bool:
    """Whether the gold is a whole text, such as a solution that says its result nowhere: nothing else equals it."""
    if len(problem.answer) <= MAX_GOLD_BYTES or classify_gold(problem) not in ("text", "list"):
        return False
    words = re.findall(r"[^\W\d_]{2,}", re.sub(r"\\[a-zA-Z]+", "", problem.answer))
    return sum(len(word.encode()) for word in words) > MAX_GOLD_BYTES


def _hash(parts: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
