"""Who writes: policy, teacher, judge and captioner of one run, wherever they are, and what they cost together."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from srpo.config.reflect import LOCAL, ReflectConfig
from srpo.config.server import ServerConfig
from srpo.core.budget import Price
from srpo.core.records import Record, Sampling
from srpo.eval import intake
from srpo.models.cache import ResponseCache
from srpo.models.local import InspectingGenerator, PromptInfo
from srpo.models.meter import Meter
from srpo.models.prices import find_price
from srpo.models.protocol import Completion, Generator, Request
from srpo.models.remote import RemoteGenerator
from srpo.models.structured import ATTEMPT_BLOCKS
from srpo.reflect.teacher import teacher_blocks
from srpo.runs.progress import note

RESPONSES = "responses.sqlite"
"""Every answer that was paid for, in the run directory."""
_AHEAD = 4
"""Requests in the batches under way, for each that a server takes at once: batches end raggedly."""
_MOST_BATCHES = 64


class Spend(Record):
    """What one served model was asked, over all processes of the run."""

    model: str
    requests: int
    """Answers paid for."""
    tokens_in: int
    tokens_out: int
    usd: float
    """0 where the price is not known."""


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
        return self.policy.turn if isinstance(self.policy, OneAtATime) else contextlib.nullcontext()

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
        opener = _Opener(config, folder, stack)
        policy = given.policy or opener.open(config.model, ATTEMPT_BLOCKS)
        captioner = given.policy or opener.open(config.model, ())
        teacher: Generator
        match config.teacher.model:
            case _ if given.teacher is not None:
                teacher = given.teacher
            case "scripted":
                from srpo.models.scripted import ScriptedTeacher  # brings the drawn problems

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


def batches_under_way(config: ReflectConfig) -> int:
    """How many batches keep the busiest server busy; 1 when all models are on this machine."""
    most = max((server.concurrency for server in config.servers), default=0)
    # The smallest batch has one request for each of its problems.
    return min(_MOST_BATCHES, math.ceil(_AHEAD * most / config.batch_size) + 1) if most else 1


class OneAtATime:
    """A generator on this machine for many threads: each waits for its turn."""

    def __init__(self, generator: InspectingGenerator) -> None:
        self._generator = generator
        self.turn = threading.RLock()
        """Held during every call; hold it longer where calls belong together."""

    @property
    def name(self) -> str:
        """That of the generator."""
        return self._generator.name

    def inspect(self, request: Request) -> PromptInfo:
        """Ask the generator."""
        with self.turn:
            return self._generator.inspect(request)

    def count_tokens(self, text: str) -> int:
        """Ask the generator; tokenizers are not safe under threads either."""
        with self.turn:
            return self._generator.count_tokens(text)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Ask the generator."""
        with self.turn:
            return self._generator.generate(requests, sampling)


class _Opener:
    """Opens each model once for each way of asking it."""

    def __init__(self, config: ReflectConfig, folder: Path, stack: ExitStack) -> None:
        self._config = config
        self._stack = stack
        self.window = batches_under_way(config)
        self.meters: list[Meter] = []
        self._remote: list[tuple[ServerConfig, Sequence[str], RemoteGenerator]] = []
        self._local: dict[str, InspectingGenerator] = {}
        self._cache = stack.enter_context(ResponseCache(folder / RESPONSES)) if config.servers else None

    def open(self, model: str | ServerConfig, blocks: Sequence[str]) -> InspectingGenerator:
        """The model behind a server or in a directory; `blocks` are what its texts are made of."""
        if isinstance(model, str):
            return self._open_local(model.removeprefix(LOCAL))
        # Only a server that is told to write JSON has to be asked in different ways.
        blocks = blocks if model.structured else ()
        for server, asked_for, generator in self._remote:
            if (server, asked_for) == (model, blocks):
                return generator
        generator = RemoteGenerator(model, cache=self._cache, meter=self._meter(model), blocks=blocks)
        self._remote.append((model, blocks, self._stack.enter_context(generator)))
        return generator

    def spend(self) -> tuple[Spend, ...]:
        """By model, over all processes of the run."""
        paid = self._cache.paid() if self._cache is not None else {}
        return tuple(
            Spend(
                model=model,
                requests=one.num_requests,
                tokens_in=one.num_in,
                tokens_out=one.num_out,
                usd=round(one.usd, 6),
            )
            for model, one in sorted(paid.items())
        )

    def cancel(self) -> None:
        """Let nobody wait for a server any more."""
        for _, _, generator in self._remote:
            generator.cancel()

    def _open_local(self, directory: str) -> InspectingGenerator:
        if directory not in self._local:
            config = self._config
            found: InspectingGenerator = intake.load_generator(
                directory, device=config.device, dtype=config.dtype, max_pixels=config.max_pixels
            )
            self._local[directory] = OneAtATime(found) if self.window > 1 else found
        return self._local[directory]

    def _meter(self, server: ServerConfig) -> Meter:
        price = price_of(server, needed=self._config.budget.max_usd is not None)
        if self.meters:
            meter = self.meters[0].share(price)
        else:
            spent_usd = math.fsum(one.usd for one in self.spend())
            meter = Meter(price, self._config.budget.max_usd, spent_usd=spent_usd)
        self.meters.append(meter)
        return meter


def price_of(server: ServerConfig, *, needed: bool) -> Price | None:
    """The server's price; where it is not known, None and a note, or ValueError when it is `needed` for a limit."""
    try:
        return find_price(server)
    except ValueError as error:
        if needed:
            raise
        note(f"srpo: {error}; what is shown counts it as nothing")
        return None
