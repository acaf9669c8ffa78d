"""Policy, teacher, judge and captioner of one run, wherever they are."""

from dataclasses import dataclass

from srpo.models.config import ServerConfig
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.relay.work import Opener
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Generators in place of those that the config names."""

    policy: InspectingGenerator | None = None
    teacher: Generator | None = None
    judge: Generator | None = None


def open_models(config: ReflectConfig, pool: Opener, given: Overrides) -> ReflectModels:
    """Load or connect what the config names and `given` does not have.

    Raises:
        ValueError: a model that cannot be loaded, a key that is missing, or a limit on the money without a price.
    """
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
    return ReflectModels(policy=policy, captioner=captioner, teacher=teacher, judge=judge)
