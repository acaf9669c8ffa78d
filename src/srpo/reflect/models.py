"""Policy, teacher, judge and captioner of one run, wherever they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from srpo.models.config import ServerConfig
from srpo.models.pool import ModelPool, open_pool
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.structured import ATTEMPT_BLOCKS
from srpo.reflect.config import ReflectConfig
from srpo.reflect.teacher import teacher_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectModels:
    """The models of one run."""

    policy: InspectingGenerator
    captioner: InspectingGenerator
    """The policy, asked for plain text."""
    teacher: Generator
    judge: Generator | None
    pool: ModelPool
    """Those of them that the config names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Generators in place of those that the config names."""

    policy: InspectingGenerator | None = None
    teacher: Generator | None = None
    judge: Generator | None = None


@contextmanager
def open_models(config: ReflectConfig, folder: Path, given: Overrides) -> Iterator[ReflectModels]:
    """Load or connect what the config names and `given` does not have; `folder` is the run directory.

    Raises:
        ValueError: a model that cannot be loaded, a key that is missing, or a limit on the money without a price.
    """
    with open_pool(config, folder) as pool:
        policy = given.policy or pool.open(config.model, ATTEMPT_BLOCKS)
        captioner = given.policy or pool.open(config.model)
        teacher: Generator
        match config.teacher.model:
            case _ if given.teacher is not None:
                teacher = given.teacher
            case "scripted":
                from srpo.models.scripted import ScriptedTeacher

                teacher = ScriptedTeacher(config.teacher.careless)
            case "policy" if isinstance(config.model, ServerConfig):
                teacher = given.policy or pool.open(config.model, teacher_blocks(config.form))
            case "policy":
                teacher = policy
            case model:
                teacher = pool.open(model, teacher_blocks(config.form))
        judge = given.judge
        if judge is None and config.judge is not None:
            judge = captioner if config.judge.model == "policy" else pool.open(config.judge.model)
        yield ReflectModels(policy=policy, captioner=captioner, teacher=teacher, judge=judge, pool=pool)
