"""The adapters by name; each has a module of its own."""

from collections.abc import Mapping

from srpo.eval.benchmarks.benchmark import Benchmark

BY_NAME: Mapping[str, Benchmark] = {}
