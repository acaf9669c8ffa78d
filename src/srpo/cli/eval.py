"""`srpo eval`: a checkpoint on a set of problems."""

from typing import TYPE_CHECKING

from srpo.cli.stage import run_stage
from srpo.config.eval import EvalConfig

if TYPE_CHECKING:
    from srpo.eval.run import EvalResult
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader

HELP = "answer problems with a checkpoint; accuracy of first and final answer, transitions, tokens"


def run(argv: list[str]) -> int:
    """Evaluate as the configuration says."""
    return run_stage(argv, stage="eval", config_class=EvalConfig, work=_work, limit_field="limit", show=_show)


def _work(config: EvalConfig, run_dir: "RunDir") -> "EvalResult":
    from srpo.eval.run import run as evaluate  # torch comes in only here

    return evaluate(config, run_dir)


def _show(run_dir: "RunReader") -> str:
    from srpo.eval.run import EvalResult
    from srpo.eval.table import render

    return render(EvalResult.model_validate(run_dir.summary()), str(run_dir.path))
