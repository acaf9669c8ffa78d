"""`srpo plan`: whether a run fits into a device's memory, before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from srpo.cli.memory import memory_plan
from srpo.config.command import asks_for_help
from srpo.config.fields import Positional, Spelling
from srpo.config.flags import parse_arguments
from srpo.config.help import render_doc, render_fields, usage_line
from srpo.config.load import fill_config
from srpo.config.nodes import read_yaml
from srpo.core.records import Record
from srpo.eval.config import EvalConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

_CONFIGS: dict[str, type[BaseModel]] = {"sft": SftConfig, "rl": RlConfig, "eval": EvalConfig}
_ONLY_RL = {"steps", "token_budget", "num_prompts", "group_size", "preset", "loss", "reward"}


class PlanOptions(Record):
    """Memory of every phase of a run, and what to lower where it does not fit. No weights are needed, and no GPU.

    The fields of the configuration can be given as flags, too: `srpo plan rl.yaml --gpu 24GB --micro_responses 2`.
    """

    config: Annotated[Path, Positional("CONFIG.yaml")]
    """Configuration of `srpo sft`, `srpo rl` or `srpo eval`."""
    stage: Literal["sft", "rl", "eval"] | None = None
    """Whose configuration it is; null goes by its fields."""
    gpu: str | None = None
    """Memory to plan with, e.g. `24GB`; null takes the device of the configuration."""
    shapes: Path | None = None
    """A model's config.json, or a directory that has one, in place of the configuration's model."""
    text_tokens: Annotated[int | None, Field(ge=1)] = None
    """Tokens of template, instruction and question in a prompt; null takes the longest of the data, where data and
    tokenizer are on this machine, else 512."""
    pictures: Annotated[int | None, Field(ge=0)] = None
    """Pictures in a prompt, each of the largest size that is allowed; null takes number and size from the data, else
    one of the largest."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object."""


@dataclass(frozen=True, slots=True)
class PlanCommand:
    """Options of its own, and those of the stage that the configuration is of."""

    options: type[PlanOptions] = PlanOptions

    def run(self, program: str, argv: Sequence[str]) -> int:
        """Print the plan; the exit code is 1 where the run does not fit.

        Raises:
            ValueError: bad configuration, or a model of which nothing is known.
        """
        if asks_for_help(argv):
            tree = self.options
            print(f"{usage_line(program, tree)}\n\n{render_doc(tree)}\n\n{render_fields(tree)}")
            return 0
        stage = _stage_of(argv)
        ours, theirs = parse_arguments(argv, self.options, _CONFIGS[stage])
        options = fill_config(self.options, None, ours)
        plan = memory_plan(
            stage,
            fill_config(_CONFIGS[stage], options.config, theirs),
            gpu=options.gpu,
            shapes=options.shapes,
            text_tokens=options.text_tokens,
            pictures=options.pictures,
        )
        from srpo.policy.plan import render_plan

        print(plan.model_dump_json(indent=1) if options.as_json else render_plan(plan))
        return 0 if plan.fits else 1


def _stage_of(argv: Sequence[str]) -> str:
    """The stage that is named, or whose fields the file has."""
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--stage":
            value = value if equals else next(iter(argv[place + 1 :]), "")
            return value if value in _CONFIGS else "eval"
    path = next((word for word in argv if not word.startswith("-")), None)
    return "eval" if path is None else _by_fields(Path(path), "eval")


def stage_of_file(path: Path) -> tuple[str, type[BaseModel]]:
    """The stage whose fields a file has, and the tree of its configuration."""
    stage = _by_fields(path, "reflect")
    if stage == "reflect":
        from srpo.reflect.config import ReflectConfig

        return stage, ReflectConfig
    return stage, _CONFIGS[stage]


def _by_fields(path: Path, with_a_teacher: str) -> str:
    given = read_yaml(path).value
    keys = set(given) if isinstance(given, dict) else set()
    if "teacher" in keys:
        return with_a_teacher
    return "sft" if "traces" in keys else "rl" if keys & _ONLY_RL else "eval"


COMMAND = PlanCommand()
