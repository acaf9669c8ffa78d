"""`srpo engines install verl`: an environment of its own for the engine of large runs."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from srpo.config.command import Command
from srpo.config.fields import Positional
from srpo.core.records import Record


class InstallOptions(Record):
    """Print the commands that install an engine into an environment of its own, or run them.

    Nothing changes in this environment: the engine's pins and ours exclude each other (docs/clusters.md).
    """

    engine: Annotated[Literal["verl"], Positional("verl")]
    """Which one."""
    sampler: Literal["vllm", "sglang", "none"] = "vllm"
    """What samples there; `none` is enough for `--dry_run` on a machine without a GPU."""
    venv: Path | None = None
    """A new folder; null is where srpo looks by itself. Name another in engine.python or SRPO_VERL_PYTHON."""
    yes: bool = False
    """Run the commands."""


def install_engine(options: InstallOptions) -> int:
    """Print the commands, or run them."""
    from srpo.engines.verl.install import commands, installer, run_commands, usual_place

    place = (options.venv or usual_place()).expanduser()
    made_by = commands(place, options.sampler, installer())
    if not options.yes:
        print("\n".join(map(shlex.join, made_by)))
        return 0
    run_commands(place, made_by)
    print(place / "bin" / "python")
    return 0


COMMAND = Command(InstallOptions, install_engine)
