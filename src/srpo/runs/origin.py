"""Where traces come from, and whether a resumed run still has the data that it began with."""

from collections.abc import Mapping
from typing import Any

from srpo import __version__
from srpo.core.prompts import Prompt, as_prompt
from srpo.core.records import Origin, Sampling, Stage
from srpo.runs.directory import RunDir


def make_origin(run: RunDir, stage: Stage, model: str, prompt: str | Prompt, sampling: Sampling) -> Origin:
    """The origin that all traces of a run share."""
    return Origin(
        stage=stage,
        model=model,
        sampling=sampling,
        prompt=as_prompt(prompt).label,
        srpo_version=__version__,
        # Of the process that began the run: a resumed one must write the same traces.
        commit=run.config.provenance.commit,
    )


def check_same_data(extra: Mapping[str, Any], digest: str, label: str) -> None:
    """Raise ValueError when a resumed run would go on with other problems or another prompt than it began with."""
    if extra and extra["data"] != digest:
        raise ValueError(
            f"{label}: the problems, or the prompt around them, are not those that this run began with; choose another "
            "--out, or restore them"
        )
