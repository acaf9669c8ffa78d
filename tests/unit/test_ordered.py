"""Things under way at once, results in order, stops that do not hang."""

import threading
from collections.abc import Generator, Iterator

import pytest

from srpo.runs.interrupt import Stop
from srpo.runs.ordered import ordered_map


@pytest.mark.parametrize("window", [1, 2, 5, 50])
def test_results_come_in_order_whatever_finishes_first(window: int) -> None:
    turns = [threading.Event() for _ in range(20)]
    turns[min(window, 20) - 1].set()

    def work(item: int) -> int:
        # Within each window the last one finishes first.
        if item < window:
            assert turns[item].wait(10)
            turns[item - 1].set()
        return item * item

    assert list(ordered_map(work, range(20), window=window, stop=Stop())) == [item * item for item in range(20)]


def test_no_more_than_the_window_is_taken_from_the_source() -> None:
    taken = []

    def source() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = ordered_map(lambda item: item, source(), window=4, stop=Stop())
    assert next(results) == 0
    assert len(taken) == 4
    assert isinstance(results, Generator)
    results.close()


def test_a_stop_gives_up_what_is_under_way() -> None:
    stop, cancelled = Stop(), threading.Event()

    def work(item: int) -> int:
        if item == 0:
            return item
        stop.requested = True
        assert cancelled.wait(10)
        raise RuntimeError("cancelled")

    assert list(ordered_map(work, range(9), window=3, stop=stop, cancel=cancelled.set)) in ([], [0])
    assert cancelled.is_set()


def test_a_failure_comes_at_its_place_and_cancels_the_rest() -> None:
    cancelled = threading.Event()

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        assert item < 2 or cancelled.wait(10)
        return item

    results = ordered_map(work, range(9), window=4, stop=Stop(), cancel=cancelled.set)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_a_window_of_one_has_no_threads() -> None:
    main = threading.current_thread()
    assert all(ordered_map(lambda _: threading.current_thread() is main, range(3), window=1, stop=Stop()))
