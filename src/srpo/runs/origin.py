"""Where traces come from, and whether a resumed run still has the data that it began with."""

from collections.abc import Mapping
from typing import Any

from srpo import __version__
from srpo.core.prompts import prompt_named
from srpo.core.records import Origin, Sampling, Stage
from srpo.runs.directory import RunDir


def make_origin(run: RunDir, stage: Stage, model: str, prompt: str, sampling: Sampling) -> Origin:
    """The origin that all traces of a run share."""
    return Origin(
        stage=stage,
        model=model,
        sampling=sampling,
        prompt=prompt_named(prompt).label,
        srpo_version=__version__,
        # Of the process that began the run: a resumed one must write the same traces.
        commit=run.config.provenance.commit,
    )


def check_same_data(extra: Mapping[str, Any], digest: str, label: str) -> None:
    """Raise ValueError when a resumed run would go on with other problems than it began with."""
    if extra and extra["data"] != digest:
        raise ValueError(
            f"{label}: the problems are not those that this run began with; choose another --out, or restore the data"
        )
