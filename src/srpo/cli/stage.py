"""What `srpo reflect | sft | rl | eval` have in common: a configuration, a run directory, and what is printed.

COMMAND = StageCommand("sft", SftConfig, _work)


def _work(config: SftConfig, run: RunDir) -> None:
    from srpo.sft.run import run as train  # torch comes in only here

    train(config, run)
"""

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from srpo.cli.memory import STAGES, explain_out_of_memory, is_out_of_memory, memory_plan
from srpo.config.command import asks_for_help
from srpo.config.fields import Positional, Spelling
from srpo.config.flags import parse_arguments
from srpo.config.help import render_doc, render_fields, usage_line
from srpo.config.load import fill_config, to_yaml
from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.followed import FollowedRun
from srpo.runs.interrupt import Stopped
from srpo.runs.json_events import json_events
from srpo.runs.processes import PROCESSES, as_launched, launched_as
from srpo.runs.progress import in_silence, note
from srpo.runs.reader import RunReader

_T = TypeVar("_T", bound=BaseModel)


class StageOptions(Record):
    """What is the same for every stage, beside its configuration."""

    config: Annotated[Path | None, Positional("CONFIG.yaml")] = None
    """File with the configuration."""
    out: Path | None = None
    """Run directory (null: runs/<folder of CONFIG.yaml>/<its name>); one that was stopped goes on."""
    dry_run: bool = False
    """Print the resolved configuration, what the run would ask servers and cost, and the memory that it would take on
    this machine; then stop."""
    gpu: str | None = None
    """Memory that a dry run plans with, e.g. `24GB`; null takes the device of the configuration."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the result as JSON; while the stage works, stderr has a JSON object per step and message."""


class Planned(NamedTuple):
    """A dry run's findings."""

    text: str
    """For people."""
    values: BaseModel
    """For programs."""


@dataclass(frozen=True, slots=True)
class StageCommand(Generic[_T]):
    """One stage as a command."""

    name: str
    config_class: type[_T]
    work: Callable[[_T, RunDir], object]
    """The stage itself. It must end with `RunDir.finish`; for an interrupt it raises `Stopped`."""
    show: Callable[[RunReader], str] | None = None
    """Renders a finished run for people; without it only the directory is named."""
    plan: Callable[[_T], Planned | None] | None = None
    """What a dry run finds out beyond the configuration, where there is something."""
    may_change: Collection[str] = ()
    """Dotted fields that a stopped run may go on with other values of."""
    may_grow: Collection[str] = ()
    """Dotted fields of which a stopped or finished run may go on with more."""

    def run(self, program: str, argv: Sequence[str]) -> int:
        """Run the stage from its command line and return the exit code; `program` is how it is called.

        Raises:
            ValueError: bad configuration, or a run directory that belongs to something else.
        """
        if asks_for_help(argv):
            print(_help(program, self.config_class))
            return 0
        ours, theirs = parse_arguments(argv, StageOptions, self.config_class)
        options = fill_config(StageOptions, None, ours)
        config = as_launched(fill_config(self.config_class, options.config, theirs))
        if options.gpu is not None and not (options.dry_run and self.name in STAGES):
            raise ValueError(f"gpu {options.gpu!r} is for --dry_run of {', '.join(STAGES)}; `device` says where to run")
        if options.dry_run:
            plan = self.plan(config) if self.plan else None
            _print_plan(config, plan, _planned_memory(self.name, config, options.gpu), as_json=options.as_json)
        else:
            with json_events(options.as_json):
                self._run(config, options)
        return 0

    def _run(self, config: _T, options: StageOptions) -> None:
        out = options.out or default_out(self.name, options.config)
        place = launched_as() if PROCESSES in self.config_class.model_fields else None
        if place is not None and place.rank > 0:
            # Process 0 says that the run was stopped, and how to go on.
            with in_silence(), suppress(Stopped):
                self._work(config, FollowedRun(out))
            return
        with RunDir.open(out, config, self.name, may_change=self.may_change, may_grow=self.may_grow) as run:
            if run.finished:
                longer = f"more {' or '.join(self.may_grow)} would go on with it, " if self.may_grow else ""
                note(f"{run.path} is finished already; {longer}--out starts another run")
                if place is not None:
                    self._work(config, run)  # the others that a launcher started wait to be told
            else:
                checkpoint = run.latest_checkpoint()
                note(f"{run.path}: going on after step {checkpoint.step}" if checkpoint else f"{run.path}: starting")
                self._work(config, run)
                assert run.finished, f"stage {self.name!r} returned without run.finish"
            if options.as_json:
                print(json.dumps(run.summary(), indent=1, ensure_ascii=False))
            else:
                print(self.show(run) if self.show else run.path)

    def _work(self, config: _T, run: RunDir) -> None:
        try:
            self.work(config, run)
        except (RuntimeError, MemoryError) as error:
            if self.name not in STAGES or not is_out_of_memory(error):
                raise
            raise ValueError(explain_out_of_memory(self.name, config, error)) from error


def default_out(stage: str, config: Path | None) -> Path:
    """Where a run goes without `--out`: `recipes/tiny/sft.yaml` writes `runs/tiny/sft`."""
    return Path("runs", config.parent.name, config.stem) if config is not None else Path("runs", stage)


def _planned_memory(stage: str, config: BaseModel, gpu: str | None) -> Planned | None:
    """What the run would keep in memory; where that cannot be known, a note says why."""
    if stage not in STAGES or getattr(config, "engine", None) not in (None, "local"):
        return None  # an engine's plan has its own memory
    try:
        plan = memory_plan(stage, config, gpu=gpu)
    except ValueError as error:
        note(f"srpo: no memory plan: {error}")
        return None
    from srpo.policy.plan import render_plan

    return Planned(render_plan(plan), plan)


def _print_plan(config: BaseModel, plan: Planned | None, memory: Planned | None, *, as_json: bool) -> None:
    """The configuration alone, or with what the stage found out."""
    found = {name: part for name, part in (("plan", plan), ("memory", memory)) if part is not None}
    values = config.model_dump(mode="json")
    if as_json:
        parts = {name: part.values.model_dump(mode="json") for name, part in found.items()}
        print(json.dumps({"config": values, **parts} if parts else values, indent=1, ensure_ascii=not parts))
        return
    print(to_yaml(config).rstrip())
    for part in found.values():
        print(f"\n{part.text}")


def _help(program: str, config_class: type[BaseModel]) -> str:
    return f"""{usage_line(program, StageOptions)}

{render_doc(config_class)}

{render_fields(StageOptions)}

Fields, in CONFIG.yaml or as flags (flags win; relative paths count from the current directory):

{render_fields(config_class)}"""
