"""Run directories and demo directories, opened by path."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from srpo.core.summary import StageSummary
from srpo.runs.directory import RunDir
from srpo.runs.reader import SUMMARY, RunReader


def stage_rows(stages: object) -> object:
    """The stages as a list of what `StageSummary` knows: their writers may add fields for other readers."""
    found = [{"name": name} | row for name, row in stages.items()] if isinstance(stages, dict) else stages
    if not isinstance(found, list | tuple):
        return found
    known = StageSummary.model_fields.keys()
    return [{key: row[key] for key in row if key in known} if isinstance(row, dict) else row for row in found]


class DemoSummary(BaseModel):
    """What a report needs of a demo directory's `summary.json`."""

    model_config = ConfigDict(frozen=True)

    title: str
    runs: dict[str, str]
    """Label -> run directory."""
    stages: Annotated[tuple[StageSummary, ...], BeforeValidator(stage_rows)] = ()
    """A mapping by name, as a demo writes it, or a list, as an evaluation does."""
    created: str = ""
    command: str = ""
    seed: int | None = None
    hardware: str = ""
    versions: dict[str, str] = {}
    about: str = ""
    """What a reader has to know of the setting, in a sentence or two."""
    example: tuple[str, ...] = ()
    """Labels of runs that answered the same problems; one problem is shown through all of them."""


class LabelledRun(NamedTuple):
    """A run and the name it has in the report."""

    label: str
    run: RunReader
    place: str
    """Where it is, as whoever named it wrote it."""
    alone: bool
    """True when the run itself was asked for; a demo's stages are in the demo's summary."""


def read_run(path: Path) -> RunReader:
    """Open a run directory; ValueError that says what was expected when `path` is not one."""
    if not path.is_dir():
        raise ValueError(f"{str(path)!r} is not a directory; give a run directory (the --out of a stage) or a demo's")
    return RunDir.read(path)


def read_demo(path: Path) -> DemoSummary | None:
    """The summary of a demo directory, or None when `path` is not one.

    Raises:
        ValueError: `summary.json` says that it is a demo but cannot be read; names the field.
    """
    file = path / SUMMARY
    if not file.is_file() or (path / "config.json").exists():
        return None
    try:
        return DemoSummary.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{str(file)!r} is not a demo's summary: {field}: {first['msg']}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{str(file)!r}, line {error.lineno}: not JSON ({error.msg})") from error


def runs_in(path: Path) -> list[LabelledRun]:
    """The run at `path`, or the runs of the demo at `path`."""
    demo = read_demo(path)
    if demo is None:
        return [LabelledRun(path.resolve().name, read_run(path), str(path), alone=True)]
    return [LabelledRun(label, read_run(path / run), run, alone=False) for label, run in demo.runs.items()]


def labelled_runs(dirs: Sequence[Path]) -> list[LabelledRun]:
    """All runs of run and demo directories, in order, under labels that differ."""
    runs: list[LabelledRun] = []
    for path in dirs:
        for found in runs_in(path):
            label, number = found.label, 1
            while label in {other.label for other in runs}:
                number += 1
                label = f"{found.label} ({number})"
            runs.append(found._replace(label=label))
    return runs
