"""What requests cost, counted as they are answered, and a limit that holds.

    budget = Meter(policy_price, max_usd=5.0)
    RemoteGenerator(policy, cache=cache, meter=budget)
    RemoteGenerator(teacher, cache=cache, meter=budget.share(teacher_price))     # both draw on the same five dollars

Before a request is sent, the most that it can cost is set aside; when it is answered, what it did cost is booked, also
when nothing can be made of the answer. So the limit holds with any number of requests under way. What requests can cost
is learned from those that were answered (`models.remote_usual`); the first one is sent alone.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from srpo.core.budget import Price, cost
from srpo.core.records import Record


class BudgetSpent(Exception):  # noqa: N818  an outcome, not a fault
    """The limit leaves no room for the next request; nothing was sent for it."""


class Usage(NamedTuple):
    """What one model was asked so far, a moment's view."""

    num_requests: int
    """Requests that were answered and paid."""
    num_cached: int
    """Requests that the cache answered, for nothing."""
    num_retries: int
    """Requests that were sent again."""
    num_failed: int
    """Requests that failed for good."""
    num_in: int
    """Prompt tokens of the paid requests."""
    num_out: int
    """Generated tokens of the paid requests."""
    usd: float
    """Cost of the paid requests; 0 without a price."""
    num_lost: int = 0
    """Answers that were billed, as far as one can tell, and did not arrive whole."""
    lost_usd: float = 0.0
    """What they cost, beside `usd`."""


class _SharedBudget:
    """The money that several meters share."""

    def __init__(self, max_usd: float | None, spent_usd: float) -> None:
        self.lock = threading.Lock()
        self.max_usd = max_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        self.num_reserved = 0


class Meter:
    """Counts for one model; thread-safe."""

    def __init__(self, price: Price | None = None, max_usd: float | None = None, *, spent_usd: float = 0.0) -> None:
        """`spent_usd` was spent before (by a run that is resumed) and counts against the limit `max_usd`.

        Raises:
            ValueError: a limit without a price.
        """
        if max_usd is not None and price is None:
            raise ValueError(f"a limit of ${max_usd} needs the model's price; see srpo.models.prices")
        self._price = price
        self._budget = _SharedBudget(max_usd, spent_usd)
        self._counts = Usage(0, 0, 0, 0, 0, 0, 0.0)
        self._watched: defaultdict[str, float] | None = None

    def share(self, price: Price | None) -> Self:
        """A meter for another model that draws on the same money.

        Raises:
            ValueError: a limit without a price.
        """
        other = type(self)(price, self._budget.max_usd)
        other._budget = self._budget  # noqa: SLF001  of the same class
        return other

    @property
    def usage(self) -> Usage:
        """This meter's counts."""
        return self._counts

    @property
    def spent_usd(self) -> float:
        """Spent by all meters that share the money, and before them."""
        return self._budget.spent_usd

    @property
    def max_usd(self) -> float | None:
        """The limit."""
        return self._budget.max_usd

    @property
    def is_limited(self) -> bool:
        """Whether requests cost money of which there is only so much."""
        return self.max_usd is not None and self.usd(1_000_000, 1_000_000) > 0

    def usd(self, num_in: int, num_out: int) -> float:
        """Price of so many tokens; 0 without a price."""
        return cost(self._price, num_in=num_in, num_out=num_out) if self._price is not None else 0.0

    def reserve(self, usd: float) -> bool:
        """Set `usd` aside for a request. False: not now, other requests hold what is left; ask again.

        Raises:
            BudgetSpent: there is no room for it, whatever the others will cost.
        """
        budget = self._budget
        with budget.lock:
            if budget.max_usd is not None:
                if budget.spent_usd + usd > budget.max_usd:
                    raise BudgetSpent(
                        f"${budget.spent_usd:.4f} of ${budget.max_usd:g} spent; the next request can cost ${usd:.4f}"
                    )
                if budget.spent_usd + budget.reserved_usd + usd > budget.max_usd:
                    return False
            budget.reserved_usd += usd
            budget.num_reserved += 1
            return True

    def release(self, usd: float) -> None:
        """Give back what `reserve` set aside."""
        budget = self._budget
        with budget.lock:
            budget.num_reserved -= 1
            # Rounding must not leave a crumb that blocks the last request.
            budget.reserved_usd = budget.reserved_usd - usd if budget.num_reserved else 0.0

    def book(self, problem: str, num_in: int, num_out: int) -> float:
        """Count a paid answer for the problem of that id; returns what it cost."""
        usd = self.usd(num_in, num_out)
        with self._budget.lock:
            old = self._counts
            self._counts = old._replace(
                num_requests=old.num_requests + 1,
                num_in=old.num_in + num_in,
                num_out=old.num_out + num_out,
                usd=old.usd + usd,
            )
            self._budget.spent_usd += usd
            self._watch(problem, usd)
        return usd

    def book_lost(self, problem: str, num_in: int, num_out: int) -> float:
        """Count an answer that was paid and did not arrive whole; returns what it cost."""
        usd = self.usd(num_in, num_out)
        with self._budget.lock:
            old = self._counts
            self._counts = old._replace(num_lost=old.num_lost + 1, lost_usd=old.lost_usd + usd)
            self._budget.spent_usd += usd
            self._watch(problem, usd)
        return usd

    def count_cached(self, problem: str, num_in: int, num_out: int) -> None:
        """Count an answer that the cache gave."""
        with self._budget.lock:
            self._counts = self._counts._replace(num_cached=self._counts.num_cached + 1)
            self._watch(problem, self.usd(num_in, num_out))

    def count_retry(self) -> None:
        """Count a request that is sent again."""
        with self._budget.lock:
            self._counts = self._counts._replace(num_retries=self._counts.num_retries + 1)

    def count_failure(self) -> None:
        """Count a request that failed for good."""
        with self._budget.lock:
            self._counts = self._counts._replace(num_failed=self._counts.num_failed + 1)

    @contextmanager
    def watch(self) -> Iterator[dict[str, float]]:
        """Collect dollars by problem id while the block lasts: for a pilot.

        Answers from the cache count at their price, so that a pilot that was run before still says what the rest costs.
        """
        self._watched = defaultdict(float)
        try:
            yield self._watched
        finally:
            self._watched = None

    def _watch(self, problem: str, usd: float) -> None:
        if self._watched is not None:
            self._watched[problem] += usd


class Spend(Record):
    """What one served model was asked, over all processes of the run."""

    model: str
    requests: int
    """Answers paid for."""
    tokens_in: int
    tokens_out: int
    usd: float
    """0 where the price is not known."""
    lost: int = 0
    """Answers that were billed and did not arrive whole, so that they were asked for again."""
    lost_usd: float = 0.0
    """What these cost beside `usd`; estimated."""
