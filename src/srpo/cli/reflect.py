"""`srpo reflect`: from problems to verified, balanced reflection data."""

from typing import TYPE_CHECKING

from srpo.cli.stage import Planned, run_stage
from srpo.models.config import MAY_CHANGE
from srpo.reflect.config import ReflectConfig

if TYPE_CHECKING:
    from srpo.reflect.run import ReflectResult
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader

HELP = "make reflection data: first attempts, a teacher's reflections, verified and selected"


def run(argv: list[str]) -> int:
    """Make reflection data as the configuration says."""
    return run_stage(
        argv,
        stage="reflect",
        config_class=ReflectConfig,
        work=_work,
        limit_field="limit",
        show=_show,
        plan=_plan,
        may_change=MAY_CHANGE,
    )


def _work(config: ReflectConfig, run_dir: "RunDir") -> "ReflectResult":
    from srpo.reflect.run import run as reflect

    return reflect(config, run_dir)


def _plan(config: ReflectConfig) -> Planned:
    from srpo.reflect.plan import make_plan, render

    plan = make_plan(config)
    return Planned(render(plan), plan)


def _show(run_dir: "RunReader") -> str:
    from srpo.reflect.run import ReflectResult
    from srpo.reflect.table import render

    return render(ReflectResult.model_validate(run_dir.summary()), str(run_dir.path))
