"""What a reader asks for, as an address says it: filters, sorting, page.

    query = Query.read("outcome=w2r&step_from=10&sort=reward&desc=1")
    rows = find_rows(index, query)

Filters of different names must all hold; several values of one name are alternatives.
"""

from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import parse_qs, urlencode

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from srpo.core.records import OUTCOME_KEYS, Record
from srpo.view.columns import OUTCOME_NAMES, Numbers
from srpo.view.flips import Direction, flipped
from srpo.view.index import Index

Sort = Literal["order", "step", "reward", "advantage", "tokens"]
SLUGS = {**{key: name for name, key in OUTCOME_KEYS.items()}, "none": "ungradable"}
"""Outcome as an address has it -> its name."""
PER_PAGE = 20

RowNumbers = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class Query(Record):
    """Filters, sorting and page."""

    run: tuple[str, ...] = ()
    """Labels of runs."""
    outcome: tuple[Literal["r2r", "w2r", "r2w", "w2w", "none"], ...] = ()
    stage: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    """Data set or file of the problem; of evaluations, the benchmark's."""
    step_from: int | None = None
    step_to: int | None = None
    term: str = ""
    """Reward term whose score has to lie in a range; `reward` for the total, `advantage` too."""
    term_from: float | None = None
    term_to: float | None = None
    q: str = ""
    """Text that has to be in question, options, gold answer or response; upper and lower case alike."""
    changed: bool = False
    """Only responses whose second answer is another one than the first."""
    copied: bool = False
    """Only responses whose reflection is the first attempt once more."""
    broken: bool = False
    """Only responses whose format is broken."""
    a: str = ""
    """Label of a run .."""
    b: str = ""
    """.. and of another: only responses whose problem one of them got right and the other wrong."""
    flip: Direction = "any"
    """`up`: wrong in a and right in b; `down`: the reverse."""
    sort: Sort = "order"
    desc: bool = False
    page: int = Field(default=1, ge=1)

    @classmethod
    def read(cls, text: str) -> "Query":
        """From what stands behind the question mark of an address; names that are not of a query are left alone.

        Raises:
            ValueError: names the value that cannot be.
        """
        given = parse_qs(text, keep_blank_values=False)
        lists = {name for name, one in cls.model_fields.items() if one.default == () and name in given}
        values = {name: given[name] if name in lists else given[name][-1] for name in cls.model_fields if name in given}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}={first['input']!r}: {first['msg']}") from error

    def address(self, **changes: object) -> str:
        """The query as text behind a question mark, with some fields changed; what is as by default is left out."""
        changed = self.model_dump() | changes
        pairs: list[tuple[str, str]] = []
        for name, field in Query.model_fields.items():
            value = changed[name]
            if value == field.default:
                continue
            values = value if isinstance(value, list | tuple) else (value,)
            pairs.extend((name, "1" if one is True else str(one)) for one in values)
        return urlencode(pairs, errors="replace")


def find_rows(index: Index, query: Query) -> RowNumbers:
    """The rows of the index that a query asks for, in its order.

    Raises:
        ValueError: it names a run that is not here, as an address from another view does.
    """
    columns = index.frozen
    mask = np.ones(len(columns["run"]), dtype=np.bool_)
    for name in ("stage", "family", "source"):
        known, wanted = index.columns.names[name].known, getattr(query, name)
        _keep(mask, wanted, columns[name], known.get)
    labels = {run.label: number for number, run in enumerate(index.runs)}
    for name in (*query.run, *filter(None, (query.a, query.b))):
        if name not in labels:
            raise ValueError(f"there is no run {name!r} here; there are {', '.join(map(repr, labels))}")
    _keep(mask, query.run, columns["run"], labels.get)
    _keep(mask, query.outcome, columns["outcome"], lambda slug: OUTCOME_NAMES.index(SLUGS[slug]))
    _between(mask, columns["step"], query.step_from, query.step_to)
    if query.term:
        values = columns.get(f"term/{query.term}", np.full(len(mask), np.nan))
        mask &= ~np.isnan(values.astype(np.float64))
        _between(mask, values, query.term_from, query.term_to)
    for name in ("changed", "copied"):
        if getattr(query, name):
            mask &= columns[name] == 1
    if query.broken:
        mask &= columns["format"] == 0
    if query.a and query.b:
        mask &= flipped(columns, labels[query.a], labels[query.b], query.flip)
    if query.q:
        mask &= index.search(query.q)
    return _sorted(np.flatnonzero(mask), columns, query)


def _keep(mask: Mask, wanted: tuple[str, ...], column: Numbers, code: Callable[[str], int | None]) -> None:
    if wanted:
        codes = [found for one in wanted if (found := code(one)) is not None]
        mask &= np.isin(column, codes)


def _between(mask: Mask, column: Numbers, low: float | None, high: float | None) -> None:
    if low is not None:
        mask &= column >= np.asarray(low)
    if high is not None:
        mask &= column <= np.asarray(high)


def _sorted(rows: RowNumbers, columns: Mapping[str, Numbers], query: Query) -> RowNumbers:
    """Stable, so that equals stay in the order in which they were written; what has no value comes last."""
    if query.sort == "order":
        return rows[::-1] if query.desc else rows
    name = query.sort if query.sort in ("step", "tokens") else f"term/{query.sort}"
    values = columns.get(name, np.full(len(columns["run"]), np.nan))[rows].astype(np.float64)
    missing = np.isnan(values) | ((values < 0) & (query.sort in ("step", "tokens")))
    return rows[np.lexsort((-values if query.desc else values, missing))]
