"""`srpo reflect`: from problems to verified, balanced reflection data."""

from typing import TYPE_CHECKING

from srpo.cli.stage import Planned, StageCommand
from srpo.models.config import MAY_CHANGE
from srpo.reflect.config import ReflectConfig

if TYPE_CHECKING:
    from srpo.reflect.run import ReflectResult
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: ReflectConfig, run_dir: "RunDir") -> "ReflectResult":
    from srpo.reflect.run import run as reflect

    return reflect(config, run_dir)


def _plan(config: ReflectConfig) -> Planned:
    from srpo.reflect.plan import plan_reflect, render_reflect_plan

    plan = plan_reflect(config)
    return Planned(render_reflect_plan(plan), plan)


def _show(run_dir: "RunReader") -> str:
    from srpo.reflect.run import ReflectResult
    from srpo.reflect.table import render_reflect

    return render_reflect(ReflectResult.model_validate(run_dir.summary()), str(run_dir.path))


COMMAND = StageCommand("reflect", ReflectConfig, _work, show=_show, plan=_plan, may_change=MAY_CHANGE)
