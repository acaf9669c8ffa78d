"""`srpo sft CONFIG.yaml`: the cold start."""

from typing import TYPE_CHECKING

from srpo.cli.stage import StageCommand
from srpo.sft.config import SFT_MAY_CHANGE, SFT_MAY_GROW, SftConfig

if TYPE_CHECKING:
    from srpo.runs.directory import RunDir
    from srpo.runs.reader import RunReader


def _work(config: SftConfig, run_dir: "RunDir") -> None:
    from srpo.sft.run import run as train

    train(config, run_dir)


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


COMMAND = StageCommand("sft", SftConfig, _work, show=_show, may_change=SFT_MAY_CHANGE, may_grow=SFT_MAY_GROW)
