"""`srpo doctor`: whether what is needed works here, and what to do where it does not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from srpo.cli import health
from srpo.cli.health import Finding, size
from srpo.cli.memory import STAGES, memory_plan
from srpo.cli.plan import stage_of_file
from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.config.load import fill_config
from srpo.core.records import Record

if TYPE_CHECKING:
    from pydantic import BaseModel

_SIGNS = {"fine": "ok", "note": "--", "broken": "!!"}


class DoctorOptions(Record):
    """Look at the environment: packages, GPU, disk, keys, ports, grading, a short generation. Nothing is sent anywhere.

    With a configuration also what that run needs: its model, keys and servers, and its memory. Exit code 1 when
    something that is needed does not work.
    """

    config: Annotated[Path | None, Positional("CONFIG.yaml")] = None
    """Configuration of a stage that is to run here."""
    generate: bool = True
    """Let a model write a few tokens: the configuration's, else the tiny one."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object."""


def examine(options: DoctorOptions) -> int:
    """Print what was found; 1 when something is broken."""
    findings = []
    for finding in _findings(options):
        findings.append(finding)
        if not options.as_json:
            print(f"{_SIGNS[finding.state]}  {finding.about:<18} {finding.what}", flush=True)
    broken = sum(one.state == "broken" for one in findings)
    if options.as_json:
        values = {"works": not broken, "findings": [one.model_dump() for one in findings]}
        print(json.dumps(values, indent=1, ensure_ascii=False))
    else:
        print(f"\n{broken} of {len(findings)} are broken" if broken else "\nall that is needed works")
    return 1 if broken else 0


def _findings(options: DoctorOptions) -> Iterator[Finding]:
    stage, config = (None, None) if options.config is None else _read(options.config)
    servers = () if config is None else getattr(config, "servers", ())
    local = isinstance(getattr(config, "model", None), str)
    wanted = {"data": stage is not None, "train": local, "remote": bool(servers), "qlora": _in_four_bits(config)}
    needed = [extra for extra, is_wanted in wanted.items() if is_wanted]
    yield from health.surroundings()
    yield from health.extras(needed)
    yield from health.gpu()
    yield from health.disk()
    yield from health.keys(servers)
    yield from health.ports(servers)
    yield from health.grading()
    if stage is not None and local:
        yield from _memory(stage, config)
    if options.generate:
        model, device = (config.model, config.device) if config is not None and local else ("tiny-base", "auto")
        yield from health.generation(model, device)


def _in_four_bits(config: Any) -> bool:
    return getattr(config, "quantize", None) is not None


def _read(path: Path) -> "tuple[str, Any]":
    stage, tree = stage_of_file(path)
    config: BaseModel = fill_config(tree, path, [])
    return stage, config


def _memory(stage: str, config: Any) -> Iterator[Finding]:
    """What the plan says of the run on the device of its configuration."""
    if stage not in STAGES:
        return
    try:
        plan = memory_plan(stage, config)
    except ValueError as error:
        yield Finding(about="memory plan", state="broken", what=str(error))
        return
    told = "" if plan.fits else "; `srpo plan` says what to lower"
    what = f"at most {size(plan.peak)} of the {size(plan.num_bytes)} of {plan.device}{told}"
    yield Finding(about="memory plan", state="fine" if plan.fits else "broken", what=what)


COMMAND = Command(DoctorOptions, examine)
