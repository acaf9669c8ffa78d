"""`srpo rl CONFIG.yaml`: reflection-aware GRPO."""

from typing import TYPE_CHECKING, Any

from srpo.cli.stage import Planned, StageCommand
from srpo.policy.engine import ENGINE_MAY_CHANGE
from srpo.rl.config import RL_MAY_CHANGE, RL_MAY_GROW, RlConfig
from srpo.rl.vllm.config import SAMPLER_MAY_CHANGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: RlConfig, run_dir: "RunDir") -> None:
    if config.engine is not None:
        from srpo.engines.verl.rl_run import run as train
    else:
        from srpo.rl.run import run as train
    train(config, run_dir)


def _plan(config: RlConfig) -> Planned | None:
    if config.engine is None:
        return None
    from srpo.engines.verl.dry_run import dry_run_rl, render_dry_run

    plan = dry_run_rl(config)
    return Planned(render_dry_run(plan, config.engine), plan)


def told_of_best(summary: "Mapping[str, Any]") -> str:
    """Where the best model is, and why a run ended before its time."""
    best, ended = summary.get("best"), summary.get("ended")
    lines = [f"\nended early: {ended}"] if ended else []
    if best:
        lines.append(f"\nbest, {best['metric']} {best['value']:.4g} at step {best['step']}: {best['model']}")
    return "".join(lines)


def _show(reader: "RunReader") -> str:
    from srpo.runs.progress import format_duration

    summary = reader.summary() or {}
    row = summary["metrics"]
    return (
        f"{summary['steps']} steps, {summary['tokens']:,} tokens in {format_duration(summary['seconds'])}; "
        f"last rollout: reward {row['rl/reward/mean']:.3f}, first {row['rl/first_accuracy']:.1%}, "
        f"final {row['rl/final_accuracy']:.1%}\n"
        f"{summary['model']}{told_of_best(summary)}"
    )


_MAY_CHANGE = (*RL_MAY_CHANGE, *SAMPLER_MAY_CHANGE, *ENGINE_MAY_CHANGE)
COMMAND = StageCommand("rl", RlConfig, _work, show=_show, plan=_plan, may_change=_MAY_CHANGE, may_grow=RL_MAY_GROW)
