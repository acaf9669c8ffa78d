"""`srpo eval`: a checkpoint or a server on a set of problems or a benchmark."""

from typing import TYPE_CHECKING

from srpo.cli.stage import Planned, StageCommand
from srpo.eval.config import EVAL_MAY_CHANGE, EvalConfig

if TYPE_CHECKING:
    from srpo.eval.result import EvalResult
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: EvalConfig, run_dir: "RunDir") -> "EvalResult":
    from srpo.eval.run import run as evaluate

    return evaluate(config, run_dir)


def _plan(config: EvalConfig) -> Planned:
    from srpo.eval.plan import plan_eval, render_eval_plan

    plan = plan_eval(config)
    return Planned(render_eval_plan(plan), plan)


def _show(run_dir: "RunReader") -> str:
    from srpo.eval.result import EvalResult
    from srpo.eval.table import render_eval

    return render_eval(EvalResult.model_validate(run_dir.summary()), str(run_dir.path))


COMMAND = StageCommand("eval", EvalConfig, _work, show=_show, plan=_plan, may_change=EVAL_MAY_CHANGE)
