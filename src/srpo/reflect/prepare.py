"""Read the problems once, before anything is spent: what is usable goes into one file, the rest into one report.

The run then works on that file (`problems.jsonl` in the run directory): it never holds more than a few batches, finds
its place again by an offset, and goes on with the problems that it began with, whatever happens to the data.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from srpo.core.records import DRAWN, Problem, Record, Rejected
from srpo.data.check import Checker
from srpo.data.leakage import Benchmarks
from srpo.data.rows import stamp
from srpo.data.sources import iter_problems
from srpo.reflect.config import ReflectConfig
from srpo.reflect.near_duplicates import NearDuplicates
from srpo.runs.batched import Batch
from srpo.runs.files import TEMPORARY, remove_leftovers, write_atomic
from srpo.runs.progress import note, progress
from srpo.runs.rejects import REJECTED, Ledger

PROBLEMS, PREPARED = "problems.jsonl", "survey.json"
SHOWN = 20
"""So many unusable rows are printed; all of them are in the ledger."""


class PreparedProblems(Record):
    """Contents of `survey.json`."""

    num_rows: int
    """Rows that were looked at."""
    num_problems: int
    """Those that can be used."""
    rejected_bytes: int
    """Length of the ledger with the others."""
    source: str = ""
    """Size and time of the data file when it was read (`data.rows.stamp`)."""


def prepare(config: ReflectConfig, folder: Path, *, again: bool = False) -> PreparedProblems:
    """Sort the rows of the source into `folder`'s problems and ledger; what is there already is used unless `again`.

    Raises:
        ValueError: the source cannot be read, or holds no usable problem.
    """
    label, source = config.data.label, stamp(config.data.path)
    if (folder / PREPARED).exists() and not again:
        found = PreparedProblems.model_validate_json((folder / PREPARED).read_bytes())
        if found.source != source:
            note(
                f"srpo: {label} has changed since this run began; it goes on with the {found.num_problems} problems "
                f"that it read then. For the new ones choose another --out"
            )
        return found
    remove_leftovers(folder)
    reasons: Counter[str] = Counter()
    num_rows = num_problems = 0
    with (
        Ledger(folder / REJECTED, num_bytes=0) as ledger,
        (folder / f"{TEMPORARY}{PROBLEMS}").open("wb") as file,
        Checker(Benchmarks.load(config.benchmarks) if config.benchmarks else None) as checker,
        NearDuplicates(folder / f"{TEMPORARY}near-duplicates.sqlite") as near_duplicates,
        progress(config.limit, "reading problems") as bar,
    ):
        for row in iter_problems(config.data):
            num_rows += 1
            item = _usable(row, checker, None if config.keep_near_duplicates else near_duplicates)
            if isinstance(item, Rejected):
                ledger.append([item])
                if reasons.total() < SHOWN:
                    note(f"  {item.place}: {item.detail}")
                reasons[item.reason] += 1
                continue
            file.write(item.model_dump_json().encode() + b"\n")
            num_problems += 1
            bar.advance(1)
            if num_problems == config.limit:
                break
        file.flush()
        os.fsync(file.fileno())
        found = PreparedProblems(
            num_rows=num_rows, num_problems=num_problems, rejected_bytes=ledger.sync(), source=source
        )
    (folder / f"{TEMPORARY}{PROBLEMS}").replace(folder / PROBLEMS)
    remove_leftovers(folder)
    _report(found, reasons, label, folder)
    # Last, because it says that the problems are all there.
    write_atomic(folder / PREPARED, found.model_dump_json() + "\n")
    return found


def read_batches(folder: Path, size: int, *, start: int = 0, number: int = 0) -> Iterator[Batch]:
    """The problems from the offset `start` on, which is a batch's `end`; `number` batches were before it."""
    with (folder / PROBLEMS).open("rb") as file:
        file.seek(start)
        problems: list[Problem] = []
        for line in file:
            start += len(line)
            problems.append(Problem.model_validate_json(line))
            if len(problems) == size:
                number += 1
                yield Batch(number, tuple(problems), start)
                problems = []
        if problems:
            yield Batch(number + 1, tuple(problems), start)


def sample_problems(folder: Path, num_problems: int, count: int) -> list[Problem]:
    """`count` problems from everywhere among them, at equal distances."""
    count = min(count, num_problems)
    wanted = {index * num_problems // count for index in range(count)}
    with (folder / PROBLEMS).open("rb") as file:
        return [Problem.model_validate_json(line) for index, line in enumerate(file) if index in wanted]


def _usable(item: Problem | Rejected, checker: Checker, near_duplicates: NearDuplicates | None) -> Problem | Rejected:
    """The row, or why it is not worked on."""
    # Drawn problems are different from each other and from any benchmark, and their answers are computed.
    if isinstance(item, Rejected) or (item.images and item.images[0].startswith(DRAWN)):
        return item
    if findings := checker.look_at(item):
        return findings[0].model_copy(update={"detail": "; ".join(one.detail for one in findings)})
    if near_duplicates is not None and (place := near_duplicates.first_like(item)) is not None:
        return Rejected.about(item, "source", "near-duplicate", f"reads and looks like {place}")
    return item


def _report(found: PreparedProblems, reasons: Counter[str], label: str, folder: Path) -> None:
    """Say how many rows are left out and why; ValueError when that is all of them."""
    if not found.num_problems and not reasons:
        raise ValueError(f"{label}: holds no problems")
    listed = ", ".join(f"{number} x {reason}" for reason, number in reasons.most_common())
    if not found.num_problems:
        raise ValueError(f"no usable problem in {label}: {listed}; `srpo data check` lists them")
    if reasons:
        note(
            f"srpo: {reasons.total()} of {found.num_rows} rows of {label} are not used ({listed}); each is in "
            f"{folder / REJECTED} with its place, and nothing was spent on them"
        )
