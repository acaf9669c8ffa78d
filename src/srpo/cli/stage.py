"""What `srpo reflect | sft | rl | eval` have in common: a configuration, a run directory, and what is printed.

def run(argv: list[str]) -> int:
    from srpo.sft.config import SftConfig

    return run_stage(argv, stage="sft", config_class=SftConfig, work=_work, limit_field="max_steps")


def _work(config: SftConfig, run: RunDir) -> None:
    from srpo.sft.run import run as train  # torch comes in only here

    train(config, run)
"""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from srpo.config.flags import parse_arguments
from srpo.config.help import render_fields
from srpo.config.load import ConfigError, load_config, to_yaml
from srpo.runs.directory import RunDir
from srpo.runs.progress import note
from srpo.runs.reader import RunReader

T = TypeVar("T", bound=BaseModel)


class StageArguments(NamedTuple):
    """The command line of a stage, taken apart."""

    config: Path | None
    overrides: list[str]
    dry_run: bool
    as_json: bool
    show_help: bool
    out: Path | None


class Planned(NamedTuple):
    """A dry run's findings."""

    text: str
    """For people."""
    values: BaseModel
    """For programs."""


def run_stage(
    argv: Sequence[str],
    *,
    stage: str,
    config_class: type[T],
    work: Callable[[T, RunDir], object],
    limit_field: str,
    show: Callable[[RunReader], str] | None = None,
    plan: Callable[[T], "Planned"] | None = None,
    may_change: Collection[str] = (),
) -> int:
    """Run one stage from its command line and return the exit code.

    Args:
        argv: Arguments after the stage's name.
        stage: Its name.
        config_class: Its configuration tree.
        work: The stage itself. It must end with `run.finish(summary)`; for an interrupt it raises `Stopped`.
        limit_field: Dotted field that `--limit N` sets.
        show: Renders a finished run for people; without it only the directory is named.
        plan: What a dry run finds out beyond the configuration.
        may_change: Dotted fields that a stopped run may go on with other values of.

    Raises:
        ValueError: bad configuration, or a run directory that belongs to something else.
    """
    arguments = parse_stage(argv, config_class, limit_field)
    if arguments.show_help:
        print(_help(stage, config_class, limit_field, has_plan=plan is not None))
        return 0
    config = load_config(config_class, arguments.config, arguments.overrides)
    if arguments.dry_run:
        _print_plan(config, plan(config) if plan else None, as_json=arguments.as_json)
        return 0
    out = arguments.out or default_out(stage, arguments.config)
    with RunDir.open(out, config, stage, may_change=may_change) as run:
        if run.finished:
            note(f"{run.path} is finished already; --out starts another run")
        else:
            checkpoint = run.latest_checkpoint()
            note(f"{run.path}: going on after step {checkpoint.step}" if checkpoint else f"{run.path}: starting")
            work(config, run)
            assert run.finished, f"stage {stage!r} returned without run.finish"
        if arguments.as_json:
            print(json.dumps(run.summary(), indent=1, ensure_ascii=False))
        else:
            print(show(run) if show else run.path)
    return 0


def parse_stage(argv: Sequence[str], config_class: type[BaseModel], limit_field: str) -> StageArguments:
    """Take a stage's command line apart.

    Raises:
        ConfigError: more than one configuration file, or a flag without its value.
    """
    switches = {"--dry-run": False, "--json": False, "--help": False}
    values: dict[str, str] = {}
    rest: list[str] = []
    tokens = iter(argv)
    for token in tokens:
        name, equals, value = token.partition("=")
        name = "--help" if name == "-h" else name
        if name in switches and not equals:
            switches[name] = True
        elif name in {"--out", "--limit"}:
            given = value if equals else next(tokens, "")
            if not given or given.startswith("--"):
                raise ConfigError(f"{name}: needs a value")
            values[name] = given
        else:
            rest.append(token)
    # Whoever asks for help may not know yet how to write the rest.
    positionals, _, overrides = parse_arguments(config_class, [] if switches["--help"] else rest)
    if len(positionals) > 1:
        raise ConfigError(f"one configuration file is expected, not {' and '.join(map(repr, positionals))}")
    if "--limit" in values:
        overrides += [f"--{limit_field}", values["--limit"]]
    return StageArguments(
        config=Path(positionals[0]) if positionals else None,
        overrides=overrides,
        dry_run=switches["--dry-run"],
        as_json=switches["--json"],
        show_help=switches["--help"],
        out=Path(values["--out"]) if "--out" in values else None,
    )


def default_out(stage: str, config: Path | None) -> Path:
    """Where a run goes without `--out`: `recipes/tiny/sft.yaml` writes `runs/tiny/sft`."""
    return Path("runs", config.parent.name, config.stem) if config is not None else Path("runs", stage)


def _print_plan(config: BaseModel, planned: Planned | None, *, as_json: bool) -> None:
    """The configuration alone, or with what the stage found out."""
    values = config.model_dump(mode="json")
    if as_json:
        both = {"config": values, "plan": planned.values.model_dump(mode="json")} if planned else values
        print(json.dumps(both, indent=1, ensure_ascii=planned is None))
        return
    print(to_yaml(config).rstrip())
    if planned is not None:
        print(f"\n{planned.text}")


def _help(stage: str, config_class: type[BaseModel], limit_field: str, *, has_plan: bool) -> str:
    doc = " ".join((config_class.__doc__ or "").split())
    return f"""usage: srpo {stage} [CONFIG.yaml] [--field value ...] [--out DIR] [--limit N] [--dry-run] [--json]

{doc}

  --out DIR    run directory (default: runs/<folder of CONFIG.yaml>/<its name>); one that was stopped goes on
  --limit N    short for --{limit_field} N
  --dry-run    print the resolved configuration{" and what the run would do and cost" if has_plan else ""}, and stop
  --json       print the result as JSON

Fields, in CONFIG.yaml or as flags (flags win; relative paths count from the current directory):

{render_fields(config_class)}"""
