"""What a run will cost: from a pilot before much is spent, and live. (`models.estimate` counts before any is sent.)

The pilot asks about problems from everywhere in the data and throws the results away: its answers are in the cache, so
that the run finds them there and nobody pays for them again. (What a teacher wrote about attempts of a policy on this
machine is paid twice: there, sampled texts depend on the whole batch.)
"""

import concurrent.futures
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from srpo.core.budget import CostEstimate, from_pilot
from srpo.core.records import Problem
from srpo.models.config import BudgetConfig
from srpo.models.meter import BudgetSpent
from srpo.models.pool import ModelPool
from srpo.runs.batched import NOTHING_ASKED, Passed, WorkedBatch
from srpo.runs.files import write_atomic
from srpo.runs.interrupt import Stop, Stopped
from srpo.runs.ordered import POLL_S
from srpo.runs.progress import note

ESTIMATE = "estimate.json"


class PoolSpending:
    """The money of one run: what it will come to, whether somebody agrees, and where it ends (`runs.batched`)."""

    def __init__(self, pool: ModelPool, budget: BudgetConfig, folder: Path, num_problems: int) -> None:
        """`folder` is the run directory, `num_problems` how many there are in all."""
        self._pool = pool
        self._budget = budget
        self._path = folder / ESTIMATE
        self._num_problems = num_problems
        self._estimate: CostEstimate | None = None

    @property
    def window(self) -> int:
        """How many batches keep the servers busy."""
        return self._pool.window

    @property
    def asks_servers(self) -> bool:
        """Whether any model is behind a server."""
        return bool(self._pool.meters)

    def agree(
        self,
        sample: Callable[[int], Sequence[Problem]],
        work: Callable[[Problem], WorkedBatch],
        stop: Stop,
        *,
        begun: bool,
    ) -> None:
        """Estimate the run from a few problems, where anything costs money and a pilot is wanted; ask if it is much.

        A run that is `begun` keeps the estimate that it has, and was agreed to.

        Args:
            sample: So many problems from everywhere in the data.
            work: Everything that the run asks about one problem.
            stop: When to give up.
            begun: Whether the run has recorded something.

        Raises:
            Stopped: somebody asked to stop (what was answered so far is in the cache), the answer was no, or there is
                nobody to ask.
        """
        if not self._pool.cost_money or not self._budget.pilot or self._num_problems < 2:
            return
        if begun and self._path.exists():
            self._estimate = CostEstimate.model_validate_json(self._path.read_bytes())
        else:
            self._estimate = self._pilot(sample(self._budget.pilot), work, stop)
        _confirm(self._budget, self._estimate, begun=begun)

    @contextmanager
    def limited(self, where: Callable[[], str]) -> Iterator[None]:
        """Raise `Stopped` when the money is spent; `where` says how far the run is."""
        try:
            yield
        except BudgetSpent as error:
            raise Stopped(f"{where()} at budget.max_usd ({error}); give more with --budget.max_usd") from error

    def shown(self, num_done: int) -> dict[str, str]:
        """Spent and projected, for the progress bar after `num_done` problems; nothing where nothing costs money."""
        if not self._pool.cost_money:
            return {}
        spent = self._pool.spent_usd
        # The pilot's answers and the batches under way are spent, but not done yet: early on they would mislead.
        share = num_done / self._num_problems
        usual = spent / share if share else 0.0
        projected = usual if self._estimate is None else share * usual + (1 - share) * self._estimate.usd
        return {"spent": f"${spent:.2f}", "projected": f"${max(spent, projected):.2f}"}

    def cancel(self) -> None:
        """Let nobody wait for a server any more."""
        self._pool.cancel()

    def _pilot(self, problems: Sequence[Problem], work: Callable[[Problem], WorkedBatch], stop: Stop) -> CostEstimate:
        with ExitStack() as stack:
            watched = [stack.enter_context(meter.watch()) for meter in self._pool.meters]
            passed = self._work_all(problems, work, stop)
            usd = [math.fsum(costs.get(problem.id, 0.0) for costs in watched) for problem in problems]
        note(f"srpo: pilot of {len(problems)} problems: {passed}")
        passed.check()
        estimate = from_pilot(usd, num_problems=self._num_problems)
        write_atomic(self._path, estimate.model_dump_json() + "\n")
        return estimate

    def _work_all(self, problems: Sequence[Problem], work: Callable[[Problem], WorkedBatch], stop: Stop) -> Passed:
        """Each problem by itself, so that its costs are its own."""
        executor = concurrent.futures.ThreadPoolExecutor(len(problems), thread_name_prefix="pilot")
        passed = NOTHING_ASKED
        try:
            waiting = {executor.submit(work, problem) for problem in problems}
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, timeout=POLL_S, return_when=concurrent.futures.FIRST_EXCEPTION
                )
                for future in done:
                    passed = passed.plus(future.result().passed)
                if stop.requested:
                    raise Stopped("in the pilot")
            return passed
        except BaseException:
            self._pool.cancel()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _confirm(budget: BudgetConfig, estimate: CostEstimate, *, begun: bool) -> None:
    """Ask before much money is spent; a run that is `begun` was agreed to."""
    text = f"about ${estimate.usd:.2f} for {estimate.num_problems} problems ({_interval(estimate)}, from a pilot)"
    bound = budget.confirm_usd
    most = min(estimate.usd, budget.max_usd or math.inf)
    if begun or bound is None or most <= bound:
        note(f"srpo: this run costs {text}")
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        note(f"srpo: this run costs {text}. Go on? [y/N]")
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return
        raise Stopped("before the run, whose pilot is paid and kept")
    agreed = math.ceil(estimate.high_usd)
    raise Stopped(
        f"before the run, which costs {text}: more than budget.confirm_usd {bound:g}, and there is nobody to ask. "
        f"Agree with --budget.confirm_usd {agreed}, or bound it with --budget.max_usd"
    )


def _interval(estimate: CostEstimate) -> str:
    return f"95% interval ${estimate.low_usd:.2f} to ${estimate.high_usd:.2f}"
