"""A trained model as a folder that others can load, and up to the hub with it."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from srpo.core.prompts import Prompt
from srpo.export.model_card import evaluations_of, model_card, training_runs
from srpo.runs.best import BEST
from srpo.runs.files import make_directory_atomic

README = "README.md"
ADAPTERS = "adapter"


def write_model_folder(
    run: Path, folder: Path, *, name: str, prompt: Prompt | None, best: bool = False, evaluations: Sequence[Path] = ()
) -> Path:
    """Put the model of a finished run and its card into `folder`, which is made anew; weights are linked, not copied.

    Raises:
        ValueError: the run has no such model, or is no training run; the folder holds something else.
    """
    runs = training_runs(run)
    if not runs:
        raise ValueError(f"{str(run)!r} is no run of `srpo sft` or `srpo rl`; these have a model")
    model = model_in(run, best=best)
    _check_ours(folder, model)
    named = [*evaluations, *evaluations_of(model, run.absolute().parent)]
    card = model_card(name, runs, list(dict.fromkeys(path.resolve() for path in named)), prompt)

    def fill(temporary: Path) -> None:
        # The merged weights are complete, and an adapter names its base by a path of this machine.
        apart = shutil.ignore_patterns(ADAPTERS, README)
        shutil.copytree(model, temporary, dirs_exist_ok=True, copy_function=_link, ignore=apart)
        (temporary / README).write_text(card, encoding="utf-8")

    make_directory_atomic(folder, fill)
    return folder


def _check_ours(folder: Path, model: Path) -> None:
    """Only what an earlier push of this model left may be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"--out {str(folder)!r} is a file; name a folder")
    ours = {README, *(path.name for path in model.iterdir())}
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    # A model's own folder has no other files either, and its weights would be replaced by links to themselves.
    if others or folder.resolve() == model.resolve():
        held = f"holds {others[0]!r}" if others else "is the model itself"
        raise ValueError(f"--out {str(folder)!r} {held}, which would be lost; name a new folder")


def model_in(run: Path, *, best: bool) -> Path:
    """The directory of a run's model; ValueError where there is none."""
    model = run / (BEST if best else "model")
    if not (model / "config.json").is_file():
        hint = "`keep_best` keeps one" if best else "it has not finished"
        raise ValueError(f"{str(run)!r} has no {'best ' if best else ''}model ({hint})")
    return model


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Make the repository if need be and put the folder there; returns its address.

    Raises:
        ValueError: the hub cannot be reached, or does not let us; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Model of an srpo run, with its card")
    # The hub's own errors, and those of every layer between us and it.
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"{repo!r} could not be pushed ({what}). The folder {str(folder)!r} is complete: with network and a login "
            f"(`hf auth login`), the same command or `hf upload {repo} {folder}` pushes it"
        ) from error
    return str(address)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
