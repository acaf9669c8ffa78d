"""`srpo score BENCHMARK --data PATH --responses FILE.jsonl`: grade recorded outputs of any model on a benchmark.

Rows: `{"id", "response"}`; other keys are ignored, null is an empty response. Nothing is written before the last row is
known to be right.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from srpo.config.command import Command
from srpo.config.fields import Spelling
from srpo.eval.config import ScoreConfig

if TYPE_CHECKING:
    from srpo.eval.result import BenchmarkResult


class ScoreOptions(ScoreConfig):
    """Grade recorded responses of any model to a benchmark: accuracy, official tables, self-correction.

    Exit code 0, or 2 when the input is wrong: an id that is unknown, given twice or missing, a response that is no
    text.
    """

    rows: Path | None = None
    """Write the verdict on each response to this JSONL file."""
    out: Path | None = None
    """Leave a run directory that `srpo report`, `show` and `compare` read."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the result as JSON."""

    @property
    def config(self) -> ScoreConfig:
        """What is graded and how, with the name and the content of the responses filled in."""
        from srpo.eval.score import sha256_of

        sha256 = sha256_of(self.responses) if self.out or self.judge or self.responses_sha256 else ""
        if self.responses_sha256 not in {"", sha256}:
            raise ValueError(f"{self.responses!r} is not the file of --responses_sha256: its SHA-256 is {sha256!r}")
        filled = {"name": self.name or _stem(self.responses), "responses_sha256": sha256}
        return ScoreConfig(**{name: filled.get(name, getattr(self, name)) for name in ScoreConfig.model_fields})


def score_responses(options: ScoreOptions) -> int:
    """Print the result; raises ValueError for wrong input."""
    result = _score(options.config, options.rows, options.out)
    if options.as_json:
        print(json.dumps(result.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        from srpo.eval.table import render_benchmark

        print(render_benchmark(result))
        if options.out is not None:
            print(options.out)
    return 0


def _score(config: ScoreConfig, rows: Path | None, out: Path | None) -> "BenchmarkResult":
    from srpo.eval.config import SCORE_MAY_CHANGE
    from srpo.eval.result import EvalResult
    from srpo.eval.score import score
    from srpo.runs.directory import RunDir
    from srpo.runs.progress import note
    from srpo.runs.reader import check_spared

    if rows is not None:
        check_spared(rows, config.responses, config.data.path, flag="rows")
        if not rows.resolve().parent.is_dir():
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


def _stem(path: str) -> str:
    """The file's name without its endings: `gpt-4o.jsonl.gz` is gpt-4o."""
    if path == "-":
        return "stdin"
    name = Path(path).name
    for ending in (".gz", ".jsonl"):
        name = name.removesuffix(ending)
    return name


COMMAND = Command(ScoreOptions, score_responses)
