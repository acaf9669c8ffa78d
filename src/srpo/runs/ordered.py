"""Work on several things at once, take the results in order.

    for result in ordered_map(work, batches, window=4, stop=stop):
        commit(result)

What is committed therefore never depends on timing, and a run that is killed loses at most the window.
"""

import concurrent.futures
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from srpo.runs.interrupt import Stop

_T = TypeVar("_T")
_R = TypeVar("_R")

POLL_S = 0.2
"""How soon a stop is noticed while nothing is finished."""


def ordered_map(
    work: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    window: int,
    stop: Stop,
    cancel: Callable[[], object] = lambda: None,
) -> Iterator[_R]:
    """`work(item)` for each item, in order, with up to `window` of them under way in threads.

    Ends early when a stop is requested; what is under way then is given up. `cancel` is called before that, and when
    anything fails, so that what waits for a server does not wait any longer. With a window of 1 there are no threads.
    """
    if window == 1:
        for item in items:
            if stop.requested:
                return
            yield work(item)
        return
    rest = iter(items)
    executor = concurrent.futures.ThreadPoolExecutor(window, thread_name_prefix="batch")
    under_way: deque[concurrent.futures.Future[_R]] = deque()
    try:
        for item in rest:
            under_way.append(executor.submit(work, item))
            if len(under_way) == window:
                if not _finished(under_way[0], stop):
                    return
                yield under_way.popleft().result()
        while under_way and _finished(under_way[0], stop):
            yield under_way.popleft().result()
    finally:
        if under_way:
            cancel()
        executor.shutdown(wait=True, cancel_futures=True)


def _finished(future: "concurrent.futures.Future[_R]", stop: Stop) -> bool:
    """Wait for the future; False when a stop comes first."""
    while not stop.requested:
        if concurrent.futures.wait([future], timeout=POLL_S).done:
            return True
    return False
