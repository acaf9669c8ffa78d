"""`srpo score BENCHMARK --data PATH --responses FILE.jsonl`: grade recorded outputs of any model on a benchmark.

Rows: `{"id", "response"}`; other keys are ignored, null is an empty response. Nothing is written before the last row is
known to be right.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from srpo.core.records import MarkStyle
from srpo.data.config import SourceConfig
from srpo.eval.benchmarks.named import BENCHMARK_NAMES, benchmark_named

if TYPE_CHECKING:
    from srpo.eval.config import EvalJudgeConfig, ScoreConfig
    from srpo.eval.result import BenchmarkResult

HELP = "grade recorded responses of any model to a benchmark; accuracy, official tables, self-correction"

_EPILOG = f"""\
BENCHMARK is one of {", ".join(BENCHMARK_NAMES)}.
Exit code 0, or 2 when the input is wrong: an id that is unknown, given twice or missing, a response that is no text.
"""


def run(argv: list[str]) -> int:
    """Entry point; raises ValueError for wrong input."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return 0 if stop.code in (0, None) else 2
    benchmark_named(options.benchmark)  # a wrong name is told before anything is read

    from srpo.eval.config import ScoreConfig
    from srpo.eval.score import sha256_of

    judge = _judge(options.judge, options.max_usd)
    config = ScoreConfig(
        benchmark=options.benchmark,
        data=SourceConfig(path=options.data),
        responses=options.responses,
        responses_sha256=sha256_of(options.responses) if options.out or judge else "",
        style=options.style,
        name=options.model or _stem(options.responses),
        judge=judge,
        max_usd=options.max_usd,
        symbolic=not options.no_symbolic,
    )
    result = _score(config, options.rows, options.out)
    if options.json:
        print(json.dumps(result.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        from srpo.eval.table import render_benchmark

        print(render_benchmark(result))
        if options.out is not None:
            print(options.out)
    return 0


def _score(config: "ScoreConfig", rows: Path | None, out: Path | None) -> "BenchmarkResult":
    from srpo.eval.config import SCORE_MAY_CHANGE
    from srpo.eval.result import EvalResult
    from srpo.eval.score import score
    from srpo.runs.directory import RunDir
    from srpo.runs.progress import note

    if rows is not None and not rows.resolve().parent.is_dir():
        raise ValueError(f"--rows {str(rows)!r}: there is no folder {str(rows.resolve().parent)!r}")
    if out is None:
        return score(config, rows=rows)
    with RunDir.open(out, config, "eval", may_change=SCORE_MAY_CHANGE) as run_dir:
        if not run_dir.finished:
            return score(config, rows=rows, run_dir=run_dir)
        found = EvalResult.model_validate(run_dir.summary()).benchmark
        if rows is not None or found is None:
            raise ValueError(f"{str(out)!r} is finished already; its rows are in it. --out starts another run")
        note(f"{out} is finished already; --out starts another run")
        return found


def _judge(path: str | None, max_usd: float | None) -> "EvalJudgeConfig | None":
    if path is None:
        if max_usd is not None:
            raise ValueError(f"--max-usd {max_usd}: only a judge costs money; give --judge, or leave it out")
        return None
    from srpo.config.load import load_config
    from srpo.eval.config import EvalJudgeConfig

    return load_config(EvalJudgeConfig, Path(path), [])


def _stem(path: str) -> str:
    """The file's name without its endings: `gpt-4o.jsonl.gz` is gpt-4o."""
    if path == "-":
        return "stdin"
    name = Path(path).name
    for ending in (".gz", ".jsonl"):
        name = name.removesuffix(ending)
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="srpo score",
        description=HELP,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    styles: Sequence[str] = get_args(MarkStyle)
    parser.add_argument("benchmark", metavar="BENCHMARK", help="name of the benchmark, see below")
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="its questions: a file, or a folder in the published layout"
    )
    parser.add_argument(
        "--responses",
        required=True,
        metavar="FILE.jsonl",
        help="rows {id, response}; .jsonl or .jsonl.gz, - reads standard input",
    )
    parser.add_argument("--rows", type=Path, metavar="OUT.jsonl", help="write the verdict on each response")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--style",
        choices=styles,
        default="auto",
        help="auto (default): a response with a reflection block is reflective, every other one is single",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="name in tables (default: that of the file)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="leave a run directory that `srpo report`, `show` and `compare` read"
    )
    parser.add_argument("--judge", metavar="CONFIG.yaml", help="let a model decide what the rule is not sure of")
    parser.add_argument("--max-usd", type=float, metavar="X", help="most that the judge may cost")
    parser.add_argument("--no-symbolic", action="store_true", help="do not ask math-verify when rules cannot decide")
    return parser
