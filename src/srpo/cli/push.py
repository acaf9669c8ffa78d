"""`srpo push`: the model of a run, with a card, to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

from srpo.config.command import Command
from srpo.config.fields import Positional
from srpo.core.records import Record


class PushOptions(Record):
    """Push the model of an `srpo sft` or `srpo rl` run to the Hugging Face hub, with a card of what its run says.

    Evaluations that stand beside the run and are of its model are in the card with their intervals.
    """

    run: Annotated[Path, Positional("RUN")]
    """Run directory."""
    repo: str
    """Repository on the hub: OWNER/NAME."""
    best: bool = False
    """Push the best model, which `keep_best` kept, in place of the last."""
    evals: tuple[Path, ...] = ()
    """Run directories of further evaluations for the card."""
    private: bool = False
    """Make a new repository private."""
    dry_run: bool = False
    """Write the folder that would be pushed, and stop."""
    out: Path | None = None
    """That folder (null: RUN/push); it is made anew."""


def push(options: PushOptions) -> int:
    """Write the folder; unless this is a dry run, push it."""
    from srpo.export.push import model_in, upload, write_model_folder
    from srpo.policy.prompts import saved_prompt

    if options.repo.count("/") != 1:
        raise ValueError(f"--repo {options.repo!r} is not OWNER/NAME")
    folder = write_model_folder(
        options.run,
        options.out or options.run / "push",
        name=options.repo,
        prompt=saved_prompt(model_in(options.run, best=options.best)),
        best=options.best,
        evaluations=options.evals,
    )
    print(folder if options.dry_run else upload(folder, options.repo, private=options.private))
    return 0


COMMAND = Command(PushOptions, push)
