"""Who writes: policy, teacher, judge and captioner of one run, wherever they are, and what they cost together."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from srpo.models.cache import ResponseCache
from srpo.models.config import ServerConfig
from srpo.models.meter import Meter, Spend
from srpo.models.pool import RESPONSES, Opener, batches_under_way, turn_of
from srpo.models.protocol import Generator, InspectingGenerator
from srpo.models.structured import ATTEMPT_BLOCKS
from srpo.reflect.config import ReflectConfig
from srpo.reflect.teacher import teacher_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Writers:
    """The models of one run."""

    policy: InspectingGenerator
    captioner: InspectingGenerator
    """The policy, asked for plain text."""
    teacher: Generator
    judge: Generator | None = None
    window: int = 1
    """Batches that may be under way at once."""
    meters: tuple[Meter, ...] = ()
    """One for each way of asking a server; all draw on the same money."""
    spend: Callable[[], tuple[Spend, ...]] = tuple
    """By model, over all processes of the run."""
    cancel: Callable[[], object] = lambda: None
    """Waiting requests end soon with an exception; answers on their way are kept."""

    @property
    def policy_turn(self) -> AbstractContextManager[object]:
        """To be held from inspecting to sampling, where the policy does one thing at a time."""
        return turn_of(self.policy)

    @property
    def cost_money(self) -> bool:
        """Whether any of them has a price."""
        return any(meter.usd(1, 1) > 0 for meter in self.meters)

    @property
    def spent_usd(self) -> float:
        """So far, over all processes of the run."""
        return self.meters[0].spent_usd if self.meters else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """Generators in place of those that the config names."""

    policy: InspectingGenerator | None = None
    teacher: Generator | None = None
    judge: Generator | None = None


@contextmanager
def open_writers(config: ReflectConfig, folder: Path, given: StandIns) -> Iterator[Writers]:
    """Load or connect what the config names and `given` does not have.

    Raises:
        ValueError: a model that cannot be loaded, a key that is missing, or a limit on the money without a price.
    """
    with ExitStack() as stack:
        cache = stack.enter_context(ResponseCache(folder / RESPONSES)) if config.servers else None
        opener = Opener(
            stack,
            cache=cache,
            window=batches_under_way(config.servers, config.batch_size),
            max_usd=config.budget.max_usd,
            device=config.device,
            dtype=config.dtype,
            max_pixels=config.max_pixels,
        )
        policy = given.policy or opener.open(config.model, ATTEMPT_BLOCKS)
        captioner = given.policy or opener.open(config.model, ())
        teacher: Generator
        match config.teacher.model:
            case _ if given.teacher is not None:
                teacher = given.teacher
            case "scripted":
                from srpo.models.scripted import ScriptedTeacher

                teacher = ScriptedTeacher()
            case "policy" if isinstance(config.model, ServerConfig):
                teacher = given.policy or opener.open(config.model, teacher_blocks(config.form))
            case "policy":
                teacher = policy
            case model:
                teacher = opener.open(model, teacher_blocks(config.form))
        judge = given.judge
        if judge is None and config.judge is not None:
            own = config.judge.model == "policy"
            judge = captioner if own else opener.open(config.judge.model, ())
        yield Writers(
            policy=policy,
            captioner=captioner,
            teacher=teacher,
            judge=judge,
            window=opener.window,
            meters=tuple(opener.meters),
            spend=opener.spend,
            cancel=opener.cancel,
        )
