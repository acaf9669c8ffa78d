"""docs/scale.md: its queue against a formula, its plan against published sizes, and what it quotes."""

import json
import math
import random
import statistics
from pathlib import Path

import pytest

from benchmarks.scale_paths import PATIENT_S, cores_for, simulate, table
from benchmarks.scale_plan import FORMULAS, Assumed, clusters, memory_of, render, seconds_of, shapes

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"


def erlang_wait_s(rate: float, mean_s: float, cores: int) -> float:
    """Mean wait of an M/M/c queue."""
    load = rate * mean_s
    terms = [load**k / math.factorial(k) for k in range(cores)]
    last = load**cores / math.factorial(cores) * cores / (cores - load)
    return last / (sum(terms) + last) * mean_s / (cores - load)


@pytest.mark.parametrize(("cores", "load"), [(1, 0.5), (4, 0.8)])
def test_jobs_wait_as_long_as_erlang_says(cores: int, load: float) -> None:
    rng = random.Random(1)
    seconds = [rng.expovariate(1.0) for _ in range(5000)]
    mean_s = statistics.fmean(seconds)
    rate = load * cores / mean_s
    found = simulate(rate, seconds, cores, num_jobs=40_000)
    assert found.mean_s == pytest.approx(erlang_wait_s(rate, mean_s, cores), rel=0.1)
    assert found.busy == pytest.approx(load, rel=0.03)


def test_more_cores_are_taken_until_nearly_nobody_waits() -> None:
    found = cores_for(1_000, [0.01])
    assert found.cores in {10, 11, 12}
    assert found.p99_s <= PATIENT_S
    assert cores_for(1, [0.001]).cores == 1


def test_the_page_quotes_todays_plan_and_the_committed_measurement() -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    table_of_today = render(clusters(), Assumed())
    assert table_of_today in page
    assert FORMULAS in page
    assert f"{FORMULAS}\n\n{table_of_today}\n" == (RESULTS / "scale_plan.md").read_text(encoding="utf-8")
    kept = json.loads((RESULTS / "scale_paths.json").read_text(encoding="utf-8"))["paths"]
    assert table(kept["paths"]) in page
    for rate in kept["requests_per_cpu_second"].values():
        assert f"{rate:.0f}" in page


def test_parameters_are_counted_as_published() -> None:
    sizes = {shape.name: (shape.total, shape.active) for shape in shapes()}
    assert sizes["Qwen2.5-VL-7B"][0] == 8_292_166_656
    # 235B and A22B: an embedding, which is looked up, is no part of what a token meets.
    total, active = sizes["Qwen3-VL-235B-A22B"]
    assert total == pytest.approx(235e9, rel=0.005)
    assert active == pytest.approx(22e9, rel=0.03)


def test_twice_the_gpus_halve_state_and_update() -> None:
    (small, *_), assumed = clusters(), Assumed()
    large = small._replace(gpus=2 * small.gpus)
    assert memory_of(large, assumed).state == pytest.approx(memory_of(small, assumed).state / 2)
    assert seconds_of(large, assumed).update == pytest.approx(seconds_of(small, assumed).update / 2)
    assert seconds_of(large, assumed).decode > seconds_of(small, assumed).decode / 2, "weights are read all the same"
