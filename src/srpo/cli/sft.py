"""`srpo sft CONFIG.yaml`: the cold start."""

from typing import TYPE_CHECKING

from srpo.cli.stage import run_stage

if TYPE_CHECKING:
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader
    from srpo.sft.config import SftConfig

HELP = "teach a model the reflective format from the traces of `srpo reflect` (stage 1b)"


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from srpo.sft.config import SftConfig

    return run_stage(argv, stage="sft", config_class=SftConfig, work=_work, limit_field="max_steps", show=_show)


def _work(config: "SftConfig", run_dir: "RunDir") -> None:
    from srpo.sft.run import run as train

    train(config, run_dir)


def _show(reader: "RunReader") -> str:
    from srpo.runs.progress import format_duration

    summary = reader.summary() or {}
    return (
        f"{summary['steps']} steps on {summary['num_examples']} traces in {format_duration(summary['seconds'])}, "
        f"loss {summary['metrics']['sft/loss']:.3f}\n{summary['model']}"
    )
