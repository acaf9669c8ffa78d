"""Processes that train one model together: each has all of it, samples and learns from its share, and steps alike.

What a share came to is told to all (`gather`), gradients are added up in the order of the processes (`add_up`), and so
all have the same sums, take the same decisions and keep the same weights. A process alone is a team too.

    with working_together(config, run_dir) as team:
        own = team.share(batch)
        ...
        team.add_up(weights)

Objects and gradients of a CPU go by gloo, those of GPUs by nccl (never run: docs/speed.md).
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from threading import Thread
from typing import Any, Protocol, Self, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor
from torch import distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from srpo.config.load import to_yaml
from srpo.policy.precision import pick_device
from srpo.runs.directory import RunDir
from srpo.runs.followed import FollowedRun
from srpo.runs.processes import HOST, UNSET, Followers, PeerLostError, RunProcess, launched_as, started_with

_T = TypeVar("_T")
_C = TypeVar("_C", bound="TeamConfig")
_S = TypeVar("_S", bound=BaseModel)

_PATIENCE = timedelta(days=7)
"""Who waits for another may wait for a long evaluation; that somebody died is noticed otherwise."""
MEETING = timedelta(minutes=10)
"""How long processes of a launcher wait for all to be there."""
_SMALL, _SIZE = 4096, 8
"""Bytes of a value that are sent at once, behind those of its size."""
_MOST_AT_ONCE = 2**22
"""Numbers of a gradient that are exchanged together: as many as that are held for every process."""


class TeamConfig(Protocol):
    """What the configs of `sft` and `rl` say of it."""

    @property
    def processes(self) -> int | None:
        """How many; None takes what a launcher started."""

    @property
    def device(self) -> str:
        """Torch device."""

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """The same with other values."""


class Team:
    """The processes of a run, as one of them sees it."""

    def __init__(self, rank: int = 0, size: int = 1, device: str | None = None) -> None:
        self.rank = rank
        """Number of this process."""
        self.size = size
        self._device = device

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def placed(self, config: _C) -> _C:
        """The configuration with the device of this process."""
        return config if self._device is None else config.model_copy(update={"device": self._device})

    def share(self, items: Sequence[_T], cost: Callable[[_T], float] | None = None) -> list[_T]:
        """What of the items is this process's: neighbours, or with `cost` about as much as the others have."""
        if self.size == 1:
            return list(items)
        if cost is None:
            ends = [rank * len(items) // self.size for rank in range(self.size + 1)]
            return list(items[ends[self.rank] : ends[self.rank + 1]])
        return [items[place] for place in divide([cost(item) for item in items], self.size)[self.rank]]

    def gather(self, value: _T) -> list[_T]:
        """Everybody's value, in the order of the processes; one's own is the same object."""
        if self.size == 1:
            return [value]
        return [value if rank == self.rank else found for rank, found in enumerate(self._exchanged(value))]

    def told(self, value: _T) -> _T:
        """The value of the process that leads; what others give does not count."""
        return self.gather(value)[0]

    def add_up(self, weights: Sequence[Tensor]) -> None:
        """Make each weight's gradient the sum of everybody's; one that nobody has stays away."""
        if self.size == 1:
            return
        own = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.uint8)
        found = [torch.empty_like(own) for _ in range(self.size)]
        with _or_lost():
            dist.all_gather(found, own)
        owned = torch.stack(found).any(0).tolist()
        wanted = [weight for weight, is_owned in zip(weights, owned, strict=True) if is_owned]
        for weight in wanted:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad.contiguous()
        with torch.no_grad(), _or_lost():
            for together in _batches([weight.grad.view(-1) for weight in wanted if weight.grad is not None]):
                self._add_up(together)

    def check_same(self, weights: Sequence[Tensor]) -> None:
        """Raise ValueError where processes no longer have the same weights, bit for bit."""
        if self.size == 1:
            return
        digests = self.gather([_digest(weight) for weight in weights])
        for rank, digest in enumerate(digests):
            if digest != digests[0]:
                raise ValueError(
                    f"processes 0 and {rank} of {self.size} do not have the same weights any more: their machines or "
                    "devices compute differently. Give the run devices of one kind; the last checkpoint is sound"
                )

    def _add_up(self, parts: list[Tensor]) -> None:
        own = torch.cat(parts)
        everybody = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(everybody, own)
        total = everybody[0].float()
        for one in everybody[1:]:
            total += one
        for part, added in zip(parts, total.split([part.numel() for part in parts]), strict=True):
            part.copy_(added)

    def _exchanged(self, value: object) -> list[Any]:
        out = BytesIO()
        _Pickler(out, protocol=5).dump(value)
        data = out.getvalue()
        # What is small goes together with its size; of what is not, the rest follows.
        heads = self._bytes_of_all(len(data).to_bytes(_SIZE) + data[:_SMALL], _SIZE + _SMALL)
        sizes = [int.from_bytes(head[:_SIZE]) for head in heads]
        rests = [b""] * self.size
        if max(sizes) > _SMALL:
            rests = self._bytes_of_all(data[_SMALL:], max(sizes) - _SMALL)
        # Written by processes of this run.
        return [
            pickle.loads((head[_SIZE:] + rest)[:size])  # noqa: S301
            for head, rest, size in zip(heads, rests, sizes, strict=True)
        ]

    def _bytes_of_all(self, own: bytes, length: int) -> list[bytes]:
        parts = [torch.empty(length, dtype=torch.uint8) for _ in range(self.size)]
        with _or_lost():
            dist.all_gather(parts, torch.frombuffer(bytearray(own.ljust(length, b"\0")), dtype=torch.uint8))
        return [part.numpy().tobytes() for part in parts]


ALONE = Team()
"""A process by itself."""


@contextmanager
def working_together(config: TeamConfig, run_dir: RunDir) -> Iterator[Team]:
    """The team of a run: processes that a launcher started, or that are started here; a finished run needs none.

    Raises:
        ValueError: too few GPUs, or another process ended.
    """
    launched = launched_as()
    size = config.processes or 1 if launched is None else launched.size
    if size == 1 or (launched is None and run_dir.finished):
        yield ALONE
    elif launched is None:
        with _leading(config, run_dir, size) as team:
            yield team
    else:
        with _joined(launched, config.device, started_with(launched)) as team:
            _begin(team, run_dir)
            yield team


def carried_out(config: _C, run_dir: RunDir, work: Callable[[_C, RunDir, Team], _S | None], summary: type[_S]) -> _S:
    """What a run came to: that of the process that leads, told to all, or the stored one of a finished run.

    Raises:
        ValueError: too few GPUs, or another process ended.
    """
    with working_together(config, run_dir) as team:
        if run_dir.finished:
            return summary.model_validate(run_dir.summary())
        found = team.told(work(team.placed(config), run_dir, team))
    assert found is not None, "whoever leads has it"
    return found


@contextmanager
def _leading(config: TeamConfig, run_dir: RunDir, size: int) -> Iterator[Team]:
    """Start the others, and end them."""
    own = RunProcess(0, size, 0)
    _device_of(config.device, RunProcess(size - 1, size, size - 1))
    threads = torch.get_num_threads()
    each = max(1, threads // size)
    store = TCPStore(HOST, 0, size, is_master=True, wait_for_workers=False, timeout=_PATIENCE)
    with Followers(run_dir, to_yaml(config), size, port=store.port, threads=each) as followers:  # type: ignore[arg-type]
        torch.set_num_threads(each)
        try:
            followers.wait_until(lambda: bool(store.check([_here(rank) for rank in range(1, size)])))
            with _joined(own, config.device, store) as team:
                _begin(team, run_dir)
                yield team
        finally:
            torch.set_num_threads(threads)


@contextmanager
def _joined(place: RunProcess, device: str, meeting: "Store | int | None") -> Iterator[Team]:
    """Meet at a store, at the port of one on this machine, or where the launcher's variables say."""
    device = _device_of(device, place)
    if isinstance(meeting, int):
        meeting = TCPStore(HOST, meeting, place.size, is_master=False, timeout=MEETING)
        meeting.set_timeout(_PATIENCE)
        meeting.set(_here(place.rank), "yes")
    elif meeting is None:
        meeting = _met(place)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    with _or_lost():
        _interruptible(
            lambda: dist.init_process_group(
                backend, timeout=_PATIENCE, store=meeting, rank=place.rank, world_size=place.size
            )
        )
    try:
        yield Team(place.rank, place.size, device)
    finally:
        dist.destroy_process_group()


def _met(place: RunProcess) -> "Store":
    """The store of a launcher, when all are there: variables that a job left behind must not be waited for for days."""
    try:
        store, _, _ = _interruptible(lambda: next(rendezvous("env://", place.rank, place.size, timeout=MEETING)))
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"process {place.rank} did not meet all {place.size} of WORLD_SIZE within {MEETING.total_seconds():.0f} "
            f"seconds; {UNSET}"
        ) from error
    store.set_timeout(_PATIENCE)
    return store  # type: ignore[no-any-return]


def _begin(team: Team, run_dir: RunDir) -> None:
    """Tell the others which run it is."""
    beginning = team.told(run_dir.beginning() if team.leads else None)
    if isinstance(run_dir, FollowedRun):
        assert beginning is not None, "the process that leads has the run directory"
        run_dir.begin(beginning)


def _device_of(device: str, place: RunProcess) -> str:
    """The device of one of the processes.

    >>> _device_of("cpu", RunProcess(1, 2, 1))
    'cpu'
    """
    picked = pick_device(device)
    if picked == "cpu":
        return picked
    if picked != "cuda":
        raise ValueError(
            f"device {device!r} is one, and {place.size} processes need one each; leave it at auto, or set cuda or cpu"
        )
    if place.local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"{place.size} processes need as many GPUs, and torch sees {torch.cuda.device_count()}; lower processes, "
            "or set device: cpu"
        )
    return f"cuda:{place.local_rank}"


def divide(costs: Sequence[float], size: int) -> list[list[int]]:
    """Places for each of `size` processes, with about equal sums of costs: the dearest first, to who has least.

    >>> divide([1.0, 5.0, 4.0, 1.0], 2)
    [[1, 3], [0, 2]]
    """
    shares: list[list[int]] = [[] for _ in range(size)]
    sums = [0.0] * size
    for place in sorted(range(len(costs)), key=lambda place: (-costs[place], place)):
        least = sums.index(min(sums))
        shares[least].append(place)
        sums[least] += costs[place]
    return [sorted(share) for share in shares]


def _batches(parts: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Slices of one type and device, so many numbers together."""
    batch: list[Tensor] = []
    room = _MOST_AT_ONCE
    for part in (piece for whole in parts for piece in whole.split(_MOST_AT_ONCE)):
        if batch and (part.numel() > room or (part.dtype, part.device) != (batch[0].dtype, batch[0].device)):
            yield batch
            batch, room = [], _MOST_AT_ONCE
        batch.append(part)
        room -= part.numel()
    if batch:
        yield batch


def _digest(weight: Tensor) -> int:
    """A sum of the bits, which no order of adding changes."""
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}.get(weight.element_size(), torch.uint8)
    return int(weight.detach().contiguous().view(-1).view(whole).sum(dtype=torch.int64))


def _interruptible(wait: Callable[[], _T]) -> _T:
    """What a wait inside torch comes to; a signal ends ours, which torch's own never hears of."""
    done: Future[_T] = Future()

    def work() -> None:
        try:
            done.set_result(wait())
        except BaseException as error:  # whoever waits gets it
            done.set_exception(error)

    # A daemon: the process does not wait for it at its end.
    Thread(target=work, daemon=True).start()
    return done.result()


def _here(rank: int) -> str:
    return f"here/{rank}"


@contextmanager
def _or_lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch.distributed raises has no narrower class
        raise PeerLostError from error


class _Pickler(pickle.Pickler):
    """Tensors as their own bytes: pickled by torch, a view brings along all that it is cut from."""

    def reducer_override(self, value: object) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        flat = value.detach().cpu().contiguous().reshape(-1)
        return _tensor, (flat.view(torch.uint8).numpy().tobytes(), value.dtype, tuple(value.shape))


def _tensor(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not data:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
