"""Which benchmarks there are: name -> adapter."""

from typing import Literal, get_args

from srpo.config.hints import suggest
from srpo.eval.benchmarks.benchmark import Benchmark

BenchmarkName = Literal[
    "mathvista", "mathverse", "mathvision", "mathvision-testmini", "mmmu", "mmmu-pro-standard", "mmmu-pro-vision",
    "wemath", "mmstar", "charxiv", "hallusionbench", "olympiadbench", "emma", "emma-mini", "mmk12", "custom",
]  # fmt: skip
"""`custom` is any data file of the user's own, as `data:` of every stage reads it."""
BENCHMARK_NAMES: tuple[BenchmarkName, ...] = get_args(BenchmarkName)


def benchmark_named(name: str) -> Benchmark:
    """The adapter called `name`; ValueError with the nearest name when there is none."""
    from srpo.eval.benchmarks import adapters

    found = adapters.BY_NAME.get(name)
    if found is None:
        hint = suggest(name, BENCHMARK_NAMES, otherwise=f"it is one of {', '.join(BENCHMARK_NAMES)}")
        raise ValueError(f"no benchmark {name!r}; {hint}")
    return found
