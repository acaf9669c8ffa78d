"""`srpo sft CONFIG.yaml`: the cold start."""

from typing import TYPE_CHECKING

from srpo.cli.stage import Planned, StageCommand
from srpo.policy.engine import ENGINE_MAY_CHANGE
from srpo.sft.config import SFT_MAY_CHANGE, SFT_MAY_GROW, SftConfig

if TYPE_CHECKING:
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: SftConfig, run_dir: "RunDir") -> None:
    if config.engine is not None:
        from srpo.engines.verl.sft_run import run as train
    else:
        from srpo.sft.run import run as train
    train(config, run_dir)


def _plan(config: SftConfig) -> Planned | None:
    if config.engine is None:
        return None
    from srpo.engines.verl.dry_run import dry_run_sft, render_dry_run

    plan = dry_run_sft(config)
    return Planned(render_dry_run(plan, config.engine), plan)


def _show(reader: "RunReader") -> str:
    from srpo.runs.progress import format_duration
    from srpo.sft.first_answers import FirstAnswers

    summary = reader.summary() or {}
    found = summary.get("first_answers")
    first = f"{FirstAnswers.model_validate(found).tell()}\n" if found else ""
    return (
        f"{summary['steps']} steps on {summary['num_examples']} traces in {format_duration(summary['seconds'])}, "
        f"loss {summary['metrics']['sft/loss']:.3f}\n{first}{summary['model']}"
    )


_MAY_CHANGE = (*SFT_MAY_CHANGE, *ENGINE_MAY_CHANGE)
COMMAND = StageCommand("sft", SftConfig, _work, show=_show, plan=_plan, may_change=_MAY_CHANGE, may_grow=SFT_MAY_GROW)
