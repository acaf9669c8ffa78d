"""`srpo rl|sft CONFIG --engine verl --dry_run`: whether a run on verl would start, before anything is paid.

First what can be told here: what verl cannot do, the arithmetic of batches, the longest prompt, the problems that are
left out. Then what only verl can tell: its interpreter puts the configuration together and validates it, and looks up
names that neither does (`compose`). Where there is none, that is said.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

import srpo
from srpo.core.records import Record
from srpo.engines.verl.data import look_at_sft
from srpo.engines.verl.gaps import (
    VERSION,
    refuse,
    rl_differences,
    rl_gaps,
    sft_differences,
    sft_gaps,
    stays_frozen,
)
from srpo.engines.verl.hydra import overrides
from srpo.engines.verl.launch import copy_function, interpreter, verl_environment
from srpo.engines.verl.memory import GpuMemory, Learning, gpu_memory
from srpo.engines.verl.model import read_model
from srpo.engines.verl.rl_run import look_at_run, plugin_settings, rl_facts
from srpo.engines.verl.rl_settings import RL_ENTRY, rl_settings
from srpo.engines.verl.settings import PluginSettings
from srpo.engines.verl.sft_run import sft_facts, sft_plugin_settings
from srpo.engines.verl.sft_settings import SFT_ENTRY, longest, sft_settings
from srpo.engines.verl.shared_settings import is_float32, tokens_at_once
from srpo.policy.engine import EngineConfig
from srpo.policy.load import load_outline
from srpo.rl.config import RlConfig
from srpo.runs.progress import note
from srpo.sft.config import SftConfig

_RUN = Path("/RUN")
"""Stands for the run directory, which a dry run does not make."""
_TIMEOUT_S = 900


class Composed(Record):
    """What verl says of a configuration."""

    version: str
    problems: tuple[str, ...]
    """None where it would start."""
    changed: dict[str, tuple[JsonValue, JsonValue]]
    """Settings that are not verl's own: its value and ours."""


class EnginePlan(Record):
    """What a dry run found out."""

    num_train: int
    num_eval: int = 0
    prompt_tokens: int
    """Longest prompt, pictures included."""
    rejected: dict[str, dict[str, int]]
    differences: tuple[str, ...]
    """What verl does otherwise than this process would."""
    words: tuple[str, ...]
    """Every override."""
    composed: Composed | None
    """None where there is no verl on this machine."""
    memory: GpuMemory


def dry_run_rl(config: RlConfig) -> EnginePlan:
    """Everything that can be known of an RL run before it starts.

    Raises:
        ValueError: verl cannot do what the configuration asks for, or would refuse its settings.
    """
    assert config.engine is not None, "asked of runs on an engine alone"
    refuse(rl_gaps(config), "this run")
    model, _, data = look_at_run(config)
    facts = rl_facts(_RUN, _RUN / "engine" / "launch-001", model, data.prepared)
    words = overrides(*rl_settings(config, facts))
    return EnginePlan(
        num_train=data.prepared.num_train,
        num_eval=data.prepared.num_eval,
        prompt_tokens=data.prepared.prompt_tokens,
        rejected=data.prepared.rejected,
        differences=tuple(rl_differences(config)),
        words=words,
        composed=_composed(config.engine, RL_ENTRY, words, plugin_settings(config, model), config.reward),
        memory=gpu_memory(
            model,
            config.engine,
            _learning("rl", config, facts.prompt_tokens + config.max_tokens, keeps_reference=config.loss.kl_coef > 0),
        ),
    )


def dry_run_sft(config: SftConfig) -> EnginePlan:
    """The same of an SFT run."""
    assert config.engine is not None, "asked of runs on an engine alone"
    refuse(sft_gaps(config), "this run")
    model = read_model(config.model, config.lora)
    plan = look_at_sft(config, load_outline(config.model)).prepared
    facts = sft_facts(_RUN, _RUN / "engine" / "launch-001", model, plan)
    words = overrides(*sft_settings(config, facts))
    return EnginePlan(
        num_train=plan.num_train,
        prompt_tokens=plan.prompt_tokens,
        rejected=plan.rejected,
        differences=tuple(sft_differences(config)),
        words=words,
        composed=_composed(config.engine, SFT_ENTRY, words, sft_plugin_settings(config, model, plan)),
        memory=gpu_memory(model, config.engine, _learning("sft", config, longest(facts))),
    )


def _learning(stage: str, config: RlConfig | SftConfig, most: int, *, keeps_reference: bool = False) -> Learning:
    """How a run learns from prompts and answers that have `most` tokens together."""
    assert config.engine is not None, "asked of runs on an engine alone"
    return Learning(
        stage=stage,
        tokens=tokens_at_once(config.engine, most),
        value_bytes=4 if is_float32(config) else 2,
        recompute=config.recompute is not False,
        frozen=stays_frozen(config),
        lora_rank=config.lora.rank if config.lora else 0,
        # Under adapters the reference is the model without them.
        keeps_reference=keeps_reference and config.lora is None,
    )


def _composed(
    engine: EngineConfig, entry: str, words: Sequence[str], settings: PluginSettings, reward: str | None = None
) -> Composed | None:
    """What verl says; None where it is not on this machine. ValueError with every problem that it has."""
    if engine.interpreter is None and not engine.python:
        return None
    (found,) = compose(engine, [(entry, (*words, *engine.overrides))], settings, reward)
    if found.version != VERSION:
        note(f"srpo: {engine.interpreter} has verl {found.version}; srpo writes settings for {VERSION}")
    if found.problems:
        listed = "".join(f"\n  {problem}" for problem in found.problems)
        raise ValueError(f"verl {found.version} refuses these settings:{listed}")
    return found


def compose(
    engine: EngineConfig,
    asked: Sequence[tuple[str, Sequence[str]]],
    settings: PluginSettings,
    reward: str | None = None,
) -> list[Composed]:
    """Put configurations together in verl's interpreter, our plugin loaded.

    Raises:
        ValueError: that interpreter has no verl, or cannot load it.
    """
    python = interpreter(engine)
    with tempfile.TemporaryDirectory(prefix="srpo-verl-") as folder:
        package, file = Path(folder), Path(folder) / "settings.json"
        # One package of ours, and not what is installed beside it here.
        (package / "srpo").symlink_to(Path(srpo.__file__).parent)
        if reward is not None:
            copy_function(reward, package)
        file.write_text(settings.model_dump_json(), encoding="utf-8")
        done = subprocess.run(  # noqa: S603 - the python that the user names
            [python, "-m", "srpo.engines.verl.compose"],
            input=json.dumps([{"entry": entry, "words": list(words)} for entry, words in asked]),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, **verl_environment(engine, package, file)},
        )
    if done.returncode:
        raise ValueError(f"{python!r} cannot put a configuration of verl together:\n{done.stderr[-2000:].strip()}")
    return [Composed.model_validate(one) for one in json.loads(done.stdout)]


def render_dry_run(plan: EnginePlan, engine: EngineConfig) -> str:
    """For people."""
    held_out = f", {plan.num_eval:,} held out" if plan.num_eval else ""
    where = f"on verl {VERSION}: {engine.nodes} x {engine.gpus} GPUs"
    lines = [f"{where}, {plan.num_train:,} rows{held_out}, longest prompt {plan.prompt_tokens:,} tokens"]
    for where, reasons in plan.rejected.items():
        lines += [f"  left out, {where}: {number:,} {reason}" for reason, number in reasons.items()]
    lines += [f"  otherwise than here: {difference}" for difference in plan.differences]
    lines += ["", *plan.memory.lines()]
    lines += ["", f"{len(plan.words)} settings, in verl's words:", *(f"  {word}" for word in plan.words)]
    if plan.composed is None:
        missing = "not put together: there is no verl on this machine (`srpo engines install verl`, or engine.python)"
        return "\n".join([*lines, "", missing])
    lines += ["", f"verl {plan.composed.version} takes them; other than its own {len(plan.composed.changed)}:"]
    lines += [f"  {name}: {_short(old)} -> {_short(new)}" for name, (old, new) in plan.composed.changed.items()]
    return "\n".join(lines)


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple) else str(value)
