"""Models opened for a run: checkpoints on this machine and servers, with one cache and one limit of money for all."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from srpo.core.budget import Price
from srpo.core.records import Sampling
from srpo.models.cache import ResponseCache
from srpo.models.config import LOCAL, BudgetConfig, ServerConfig
from srpo.models.local import load_generator
from srpo.models.meter import Meter, Spend
from srpo.models.prices import find_price
from srpo.models.protocol import Completion, Generator, InspectingGenerator, PromptInfo, Request
from srpo.models.remote import RemoteGenerator
from srpo.policy.precision import Attention, AutoDtype
from srpo.runs.progress import note

RESPONSES = "responses.sqlite"
"""Every answer that was paid for, in the run directory."""
_AHEAD = 4
"""Requests in the batches under way, for each that a server takes at once: batches end raggedly."""
_MOST_BATCHES = 64


class ModelSettings(Protocol):
    """What the configurations of the stages say alike about their models."""

    @property
    def servers(self) -> Sequence[ServerConfig]:
        """The servers that the run asks, each once."""

    @property
    def batch_size(self) -> int:
        """Problems per batch."""

    @property
    def budget(self) -> BudgetConfig:
        """How much money the run may spend."""

    @property
    def device(self) -> str:
        """Torch device."""

    @property
    def dtype(self) -> AutoDtype:
        """Type of the weights."""

    @property
    def attention(self) -> Attention:
        """Kernel of the vision tower's attention."""

    @property
    def max_pixels(self) -> int | None:
        """Area to which pictures are scaled down for a local model."""


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


def turn_of(generator: Generator) -> AbstractContextManager[object]:
    """To be held from inspecting to sampling, where the generator does one thing at a time."""
    return generator.turn if isinstance(generator, OneAtATime) else nullcontext()


class ModelPool:
    """Opens each model once for each way of asking it.

    All servers draw on the same money, and what earlier processes of the run paid counts against its limit.
    """

    def __init__(
        self,
        stack: ExitStack,
        *,
        cache: ResponseCache | None,
        window: int = 1,
        max_usd: float | None = None,
        device: str = "auto",
        dtype: AutoDtype = "auto",
        attention: Attention = "auto",
        max_pixels: int | None = None,
    ) -> None:
        """What is opened ends with `stack`; `window` is how many threads will ask at once."""
        self._stack = stack
        self._cache = cache
        self._max_usd = max_usd
        self._device: str = device
        self._dtype, self._attention = dtype, attention
        self._max_pixels = max_pixels
        self.window = window
        self.meters: list[Meter] = []
        """One for each way of asking a server."""
        self.cancelled = threading.Event()
        """Set by `cancel`."""
        self._remote: list[tuple[ServerConfig, Sequence[str], RemoteGenerator]] = []
        self._local: dict[str, InspectingGenerator] = {}

    def open(self, model: str | ServerConfig, blocks: Sequence[str] = ()) -> InspectingGenerator:
        """The model behind a server or in a directory; `blocks` are what its texts are made of.

        Raises:
            ValueError: it cannot be loaded, a key is missing, or there is a limit on the money without a price.
        """
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
                lost=one.num_lost,
                lost_usd=round(one.lost_usd, 6),
            )
            for model, one in sorted(paid.items())
        )

    @property
    def cost_money(self) -> bool:
        """Whether any of the models has a price."""
        return any(meter.usd(1, 1) > 0 for meter in self.meters)

    @property
    def spent_usd(self) -> float:
        """So far, over all processes of the run."""
        return self.meters[0].spent_usd if self.meters else 0.0

    def cancel(self) -> None:
        """Let nobody wait for a server any more."""
        self.cancelled.set()
        for _, _, generator in self._remote:
            generator.cancel()

    def _open_local(self, directory: str) -> InspectingGenerator:
        if directory not in self._local:
            found: InspectingGenerator = load_generator(
                directory,
                device=self._device,
                dtype=self._dtype,
                max_pixels=self._max_pixels,
                attention=self._attention,
            )
            self._local[directory] = OneAtATime(found) if self.window > 1 else found
        return self._local[directory]

    def _meter(self, server: ServerConfig) -> Meter:
        price = price_of(server, needed=self._max_usd is not None)
        if self.meters:
            meter = self.meters[0].share(price)
        else:
            spent_usd = math.fsum(one.usd + one.lost_usd for one in self.spend())
            meter = Meter(price, self._max_usd, spent_usd=spent_usd)
        self.meters.append(meter)
        return meter


@contextmanager
def open_pool(config: ModelSettings, folder: Path) -> Iterator[ModelPool]:
    """An empty pool for the run in `folder`, which keeps the answers of servers."""
    with ExitStack() as stack:
        yield ModelPool(
            stack,
            cache=stack.enter_context(ResponseCache(folder / RESPONSES)) if config.servers else None,
            window=batches_under_way(config.servers, config.batch_size),
            max_usd=config.budget.max_usd,
            device=config.device,
            dtype=config.dtype,
            attention=config.attention,
            max_pixels=config.max_pixels,
        )


def batches_under_way(servers: Sequence[ServerConfig], batch_size: int) -> int:
    """How many batches keep the busiest server busy; 1 when all models are on this machine."""
    most = max((server.concurrency for server in servers), default=0)
    # The smallest batch has one request for each of its problems.
    return min(_MOST_BATCHES, math.ceil(_AHEAD * most / batch_size) + 1) if most else 1


def price_of(server: ServerConfig, *, needed: bool) -> Price | None:
    """The server's price; where it is not known, None and a note, or ValueError when it is `needed` for a limit."""
    try:
        return find_price(server)
    except ValueError as error:
        if needed:
            raise
        note(f"srpo: {error}; what is shown counts it as nothing")
        return None
