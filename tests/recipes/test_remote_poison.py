"""A request at which the server always fails does not hold up the others, and no outage is taken for one."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from srpo.models.cache import ResponseCache
from srpo.models.failures import UnavailableError
from srpo.models.meter import Meter
from tests.recipes.test_remote import SAMPLING, ask, connected, many
from tests.support.fault_server import Faults, FaultServer, prompt_text


def is_poison(body: dict[str, Any]) -> bool:
    return "poison" in prompt_text(body)


def poisoned(**faults: Any) -> FaultServer:
    return FaultServer(poison=is_poison, faults=Faults(**faults))


def test_what_fails_while_others_are_answered_is_refused_with_the_servers_words() -> None:
    meter = Meter()
    with poisoned() as server, connected(server, meter=meter, max_retries=2) as generator:
        found = generator.generate([*many(5), ask("poison"), *many(7)], SAMPLING)
        errors = [one.error for (one,) in found if one.error]
        assert len(errors) == 1
        assert errors[0].startswith("HTTP 500: out of luck")
        assert errors[0].endswith("(3 tries in 0 s, while others were answered)")
    assert (meter.usage.num_failed, meter.usage.num_retries) == (1, 2)


def test_a_request_that_is_the_last_of_all_is_found_by_what_the_cache_knows(tmp_path: Path) -> None:
    with poisoned() as server, ResponseCache(tmp_path / "cache") as cache:
        with connected(server, cache=cache) as generator:
            generator.generate(many(3), SAMPLING)
        with connected(server, cache=cache, max_retries=0) as generator:
            found = generator.generate([*many(3), ask("poison")], SAMPLING)
    assert [one.error is None for (one,) in found] == [True, True, True, False]


def test_where_nothing_was_answered_the_run_stops() -> None:
    stops = pytest.raises(UnavailableError, match="out of luck")
    with poisoned() as server, connected(server, max_retries=0) as generator, stops:
        generator.generate([ask("poison")], SAMPLING)


def test_it_stops_the_run_where_that_is_asked_for() -> None:
    with poisoned() as server, connected(server, max_retries=0, skip_failing=False) as generator:
        generator.generate(many(3), SAMPLING)
        with pytest.raises(UnavailableError, match="about problem 'poison'"):
            generator.generate([ask("poison")], SAMPLING)


def test_a_server_that_fails_for_all_is_not_taken_for_a_bad_request() -> None:
    with FaultServer(breaks=(5, "500")) as server, connected(server, max_retries=1) as generator:
        generator.generate(many(5), SAMPLING)
        with pytest.raises(UnavailableError, match="out of luck"):
            generator.generate([ask("another")], SAMPLING)


def test_a_server_that_fails_often_is_not_taken_for_a_bad_request() -> None:
    blamed = 0
    for seed in range(10):
        server = poisoned(rate=0.5, kinds=("500", "closed"), most_per_request=99, seed=seed)
        with contextlib.suppress(UnavailableError), server, connected(server, max_retries=6) as generator:
            found = generator.generate([ask(f"{i} of {seed}") for i in range(40)], SAMPLING)
            blamed += sum(one.error is not None for (one,) in found)
    assert blamed == 0


def test_more_than_a_few_are_of_the_server() -> None:
    with poisoned() as server, connected(server, max_retries=0, concurrency=1) as generator:
        generator.generate(many(3), SAMPLING)
        for number in range(8):
            ((one,),) = generator.generate([ask(f"poison {number}")], SAMPLING)
            assert one.error is not None
        with pytest.raises(UnavailableError, match="about problem 'poison 8'"):
            generator.generate([ask("poison 8")], SAMPLING)
