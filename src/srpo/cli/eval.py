"""`srpo eval`: a checkpoint or a server on a set of problems or a benchmark."""

from typing import TYPE_CHECKING

from srpo.cli.stage import Planned, Stage
from srpo.eval.config import MAY_CHANGE, EvalConfig

if TYPE_CHECKING:
    from srpo.eval.result import EvalResult
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: EvalConfig, run_dir: "RunDir") -> "EvalResult":
    from srpo.eval.run import run as evaluate

    return evaluate(config, run_dir)


def _plan(config: EvalConfig) -> Planned:
    from srpo.eval.plan import make_plan, render

    plan = make_plan(config)
    return Planned(render(plan), plan)


def _show(run_dir: "RunReader") -> str:
    from srpo.eval.result import EvalResult
    from srpo.eval.table import render

    return render(EvalResult.model_validate(run_dir.summary()), str(run_dir.path))


COMMAND = Stage("eval", EvalConfig, _work, show=_show, plan=_plan, may_change=MAY_CHANGE)
