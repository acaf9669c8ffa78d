"""Which evaluation's policy was trained from which: read from the configurations of runs, not from names or order.

    eval srpo: model runs/srpo/model -> the run runs/srpo started from runs/sft/model -> which eval sft has evaluated

Siblings, such as plain and reflection-aware GRPO from one start, so have one parent, and none comes after the other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srpo.report.open import LabelledRun
from srpo.runs.reader import CONFIG, RunConfig, read_run_config

_UP = 3
"""Folders between a model and the run directory that it is in, at most."""


class _Evaluated(NamedTuple):
    model: str
    prompt: object
    path: Path


def parents_of(evaluations: Sequence[LabelledRun]) -> dict[str, str | None]:
    """Label -> label of the evaluation of what its policy was trained from; None where no run says so."""
    known = {
        one.label: _Evaluated(_same(model), one.run.config.config.get("prompt"), one.run.path)
        for one in evaluations
        if (model := _model(one.run.config.config)) is not None
    }
    return {one.label: _parent(one.label, known) for one in evaluations}


def paths_of(parents: Mapping[str, str | None]) -> list[list[str]]:
    """The ways from a root to each leaf, the longest first; labels without parent and child are in none.

    >>> paths_of({"base": None, "sft": "base", "grpo": "base", "srpo": "sft", "other": None})
    [['base', 'sft', 'srpo'], ['base', 'grpo']]
    """
    leaves = [label for label in parents if label not in parents.values()]
    paths = []
    for leaf in leaves:
        path = [leaf]
        while (parent := parents[path[0]]) is not None:
            path.insert(0, parent)
        paths.append(path)
    return sorted((path for path in paths if len(path) > 1), key=len, reverse=True)


def _parent(label: str, known: Mapping[str, _Evaluated]) -> str | None:
    if label not in known:
        return None
    own = known[label]
    for model in _ancestors(own):
        found = [other for other, one in known.items() if one.model == model]
        if found:
            return next((other for other in found if known[other].prompt == own.prompt), found[0])
    return None


def _ancestors(own: _Evaluated) -> list[str]:
    """What the policy was trained from, the nearest first, as far as the trainings are still there."""
    model, near, found = own.model, own.path, [own.model]
    while (training := _trained_by(model, near)) is not None:
        run, config = training
        start = _model(config.config)
        if start is None or _same(start) in found:
            break
        model, near = _same(start), run
        found.append(model)
    return found[1:]


def _trained_by(model: str, near: Path) -> tuple[Path, RunConfig] | None:
    """The run that a model lies in: where it was, or beside the run that names it, where both were moved."""
    place = Path(model)
    for folder in (place, *place.parents[:_UP]):
        for run in (folder, near.parent / folder.name):
            if folder.name and (run / CONFIG).is_file():
                try:
                    return run, read_run_config(run)
                except ValueError:  # the configuration of a model, which is in a file of the same name
                    continue
    return None


def _model(config: Mapping[str, Any]) -> str | None:
    model = config.get("model")
    return model if isinstance(model, str) and model else None


def _same(model: str) -> str:
    """One way to write the same place."""
    return str(Path(model).resolve()) if Path(model).exists() else model
