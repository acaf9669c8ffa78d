"""The adapters by name; each has a module of its own."""

from collections.abc import Mapping

from srpo.eval.benchmarks.benchmark import Benchmark
from srpo.eval.benchmarks.charxiv import CharXiv
from srpo.eval.benchmarks.custom import Custom
from srpo.eval.benchmarks.emma import Emma, EmmaMini
from srpo.eval.benchmarks.hallusionbench import HallusionBench
from srpo.eval.benchmarks.mathverse import MathVerse
from srpo.eval.benchmarks.mathvision import MathVision, MathVisionMini
from srpo.eval.benchmarks.mathvista import MathVista
from srpo.eval.benchmarks.mmk12 import Mmk12
from srpo.eval.benchmarks.mmmu import Mmmu, MmmuPro, MmmuProVision
from srpo.eval.benchmarks.mmstar import MmStar
from srpo.eval.benchmarks.olympiadbench import OlympiadBench
from srpo.eval.benchmarks.wemath import WeMath

_ALL: tuple[Benchmark, ...] = (
    MathVista(), MathVerse(), MathVision(), MathVisionMini(), Mmmu(), MmmuPro(), MmmuProVision(), WeMath(), MmStar(),
    CharXiv(), HallusionBench(), OlympiadBench(), Emma(), EmmaMini(), Mmk12(), Custom(),
)  # fmt: skip
BY_NAME: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
