"""What a run will cost: from a pilot before much is spent, and live. (`reflect.plan` counts before anything is sent.)

The pilot asks about problems from everywhere in the data and throws the results away: its answers are in the cache, so
that the run finds them there and nobody pays for them again. (What a teacher wrote about attempts of a policy on this
machine is paid twice: there, sampled texts depend on the whole batch.)
"""

import concurrent.futures
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from srpo.core.budget import Estimate, from_pilot
from srpo.core.records import Problem
from srpo.models.config import BudgetConfig
from srpo.models.pool import Money
from srpo.runs.files import write_atomic
from srpo.runs.interrupt import Stop, Stopped
from srpo.runs.progress import note

ESTIMATE = "estimate.json"


def pilot(
    budget: BudgetConfig,
    folder: Path,
    num_problems: int,
    pick: Callable[[int], Sequence[Problem]],
    work: Callable[[Problem], object],
    money: Money,
    stop: Stop,
    *,
    begun: bool,
) -> Estimate | None:
    """Estimate the run from a few problems; None when nothing costs anything or no pilot is wanted.

    A run that is `begun` keeps the estimate that it has.

    Args:
        budget: How many problems, if any.
        folder: The run directory.
        num_problems: How many there are in all.
        pick: So many problems from everywhere in the data.
        work: Everything that the run asks about one problem.
        money: What costs.
        stop: When to give up.
        begun: Whether the run has recorded something.

    Raises:
        Stopped: somebody asked to stop; what was answered so far is in the cache.
    """
    if not money.cost_money or not budget.pilot or num_problems < 2:
        return None
    if begun and (folder / ESTIMATE).exists():
        return Estimate.model_validate_json((folder / ESTIMATE).read_bytes())
    problems = pick(budget.pilot)
    with ExitStack() as stack:
        watched = [stack.enter_context(meter.watch()) for meter in money.meters]
        _work_all(problems, work, money, stop)
        usd = [math.fsum(costs.get(problem.id, 0.0) for costs in watched) for problem in problems]
    estimate = from_pilot(usd, num_problems=num_problems)
    write_atomic(folder / ESTIMATE, estimate.model_dump_json() + "\n")
    return estimate


def _work_all(problems: Sequence[Problem], work: Callable[[Problem], object], money: Money, stop: Stop) -> None:
    """Each problem by itself, so that its costs are its own."""
    executor = concurrent.futures.ThreadPoolExecutor(len(problems), thread_name_prefix="pilot")
    try:
        waiting = {executor.submit(work, problem) for problem in problems}
        while waiting:
            done, waiting = concurrent.futures.wait(
                waiting, timeout=0.2, return_when=concurrent.futures.FIRST_EXCEPTION
            )
            for future in done:
                future.result()
            if stop.requested:
                raise Stopped("in the pilot")
    except BaseException:
        money.cancel()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def confirm(budget: BudgetConfig, estimate: Estimate | None, *, begun: bool) -> None:
    """Ask before much money is spent; a run that is `begun` was agreed to.

    Raises:
        Stopped: the answer was no, or there is nobody to ask.
    """
    if estimate is None:
        return
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


class Projection:
    """Spent, and what it will come to."""

    def __init__(self, estimate: Estimate | None, money: Money, num_problems: int) -> None:
        self._estimate = estimate
        self._money = money
        self._num_problems = num_problems

    def fields(self, num_done: int) -> dict[str, str]:
        """For the progress bar, after `num_done` problems; nothing where nothing costs money."""
        if not self._money.cost_money:
            return {}
        spent = self._money.spent_usd
        # The pilot's answers and the batches under way are spent, but not done yet: early on they would mislead.
        share = num_done / self._num_problems
        usual = spent / share if share else 0.0
        projected = usual if self._estimate is None else share * usual + (1 - share) * self._estimate.usd
        return {"spent": f"${spent:.2f}", "projected": f"${max(spent, projected):.2f}"}


def _interval(estimate: Estimate) -> str:
    return f"95% interval ${estimate.low_usd:.2f} to ${estimate.high_usd:.2f}"
