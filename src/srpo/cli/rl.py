"""`srpo rl CONFIG.yaml`: reflection-aware GRPO."""

from typing import TYPE_CHECKING

from srpo.cli.stage import run_stage

if TYPE_CHECKING:
    from srpo.rl.config import RlConfig
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader

HELP = "train with GRPO and a reflection-aware reward (stage 2)"


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from srpo.rl.config import RlConfig

    return run_stage(argv, stage="rl", config_class=RlConfig, work=_work, limit_field="steps", show=_show)


def _work(config: "RlConfig", run_dir: "RunDir") -> None:
    from srpo.rl.run import run as train

    train(config, run_dir)


def _show(reader: "RunReader") -> str:
    from srpo.runs.progress import format_duration

    summary = reader.summary() or {}
    row = summary["metrics"]
    return (
        f"{summary['steps']} steps, {summary['tokens']:,} tokens in {format_duration(summary['seconds'])}; "
        f"last rollout: reward {row['rl/reward/mean']:.3f}, first {row['rl/first_accuracy']:.1%}, "
        f"final {row['rl/final_accuracy']:.1%}\n"
        f"{summary['model']}"
    )
