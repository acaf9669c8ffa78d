"""Processes that carry out one run together: who this one is among them, and those that the first one starts.

Under a launcher (`torchrun`) its variables say it. Without one, the process that has the run directory starts the
others as the same command with the same variables; they end with it, however it ends, and it says which of them ended
and why.
Their output is in `DIR/processes/rank-1.log` and so on. Who computes with them is in `policy/team.py`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from pydantic import BaseModel, ValidationError

from srpo.runs.directory import RunDir

_C = TypeVar("_C", bound=BaseModel)

HOST = "127.0.0.1"
PROCESSES = "processes"
"""Directory of a run with the configuration and the logs of its other processes; field of configurations."""
_PORT = "SRPO_TEAM_PORT"
"""Variable with the port at which processes of ours meet, and the one that started them: `29500 of 4711`."""
UNSET = "start all with torchrun, or unset RANK and WORLD_SIZE for a process by itself"
_POLL_S = 0.05
_GRACE_S = 20.0
"""How long others may take to end by themselves when the work is done, and to be found dead when a connection broke."""
_TAIL_BYTES = 64 * 1024
_ERROR = "srpo: error: "
_LOST = (
    "another process of this run is gone; what it said last says why. The same command goes on from the last checkpoint"
)


class PeerLostError(ValueError):
    """Somebody with whom a process was to exchange something is gone."""

    def __init__(self) -> None:
        super().__init__(_LOST)


class RunProcess(NamedTuple):
    """Which one a process is."""

    rank: int
    size: int
    local_rank: int
    """Its number on its machine."""


def launched_as() -> RunProcess | None:
    """What a launcher's variables say; None where there is none.

    Raises:
        ValueError: they are of no process that could meet others, as what a cluster's job left behind.
    """
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return None
    if not 0 <= rank < size:
        raise ValueError(f"RANK={rank} is no process of WORLD_SIZE={size}; {UNSET}")
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if size > 1 and missing and _port() is None:
        raise ValueError(f"WORLD_SIZE={size}, but no {' and no '.join(missing)} says where they meet; {UNSET}")
    return RunProcess(rank, size, int(os.environ.get("LOCAL_RANK", rank)))


def started_with(_place: RunProcess) -> int | None:
    """The port at which processes that we started meet; None under another launcher, whose variables say where."""
    return _port()


def _port() -> int | None:
    """What the process that started this one wrote; what another one's left behind counts for nothing."""
    port, _, parent = os.environ.get(_PORT, "").partition(" of ")
    return int(port) if port.isdecimal() and parent == str(os.getppid()) else None


def as_launched(config: _C) -> _C:
    """The configuration with the number of processes that a launcher started.

    Raises:
        ValueError: it names another one, or cannot be carried out by so many.
    """
    place = launched_as()
    named = getattr(config, PROCESSES, None)
    if place is None or PROCESSES not in type(config).model_fields or named == place.size:
        return config
    if named is None:
        return config if place.size == 1 else _carried_out_by(config, place.size)
    raise ValueError(
        f"processes: {named}, but the launcher started {place.size} (WORLD_SIZE); leave one of them out, or make them "
        "equal"
    )


def _carried_out_by(config: _C, size: int) -> _C:
    try:
        return type(config).model_validate(dict(config) | {PROCESSES: size})
    except ValidationError as error:
        why = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors(include_url=False))
        raise ValueError(f"WORLD_SIZE={size} says that a launcher started so many: {why}; {UNSET}") from None


class Followers:
    """The other processes of a run, as children of the one that leads."""

    def __init__(self, run: RunDir, config: str, size: int, *, port: int, threads: int) -> None:
        self._size = size
        folder = run.path / PROCESSES
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        self._logs = {rank: folder / f"rank-{rank}.log" for rank in range(1, size)}
        command = [
            sys.executable,
            "-m",
            "srpo.runs.child",
            run.stage,
            str(folder / "config.yaml"),
            "--out",
            str(run.path),
        ]
        # One machine: no name server, and no other interface, has a say.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        meeting = f"{port} of {os.getpid()}"
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        for rank, log in self._logs.items():
            place = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": size,
                _PORT: meeting,
                "OMP_NUM_THREADS": threads,
            }
            with log.open("wb") as out:
                # A session of its own: a Ctrl-C must reach us alone, who tell the others at the end of the step.
                self._children[rank] = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=out,
                    env=os.environ | {name: str(value) for name, value in place.items()},
                    start_new_session=True,
                )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for something that the others do; ValueError when one of them ends before."""
        while not ready():
            if any(child.poll() is not None for child in self._children.values()):
                raise PeerLostError
            time.sleep(_POLL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PeerLostError):
            self._wait(lambda: any(child.poll() is not None for child in self._children.values()))
            found = self._first_to_end()
            self._end()
            if found is not None:
                raise ValueError(found) from error
        elif kind is None:
            self._wait(lambda: all(child.poll() is not None for child in self._children.values()))
        self._end()

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + _GRACE_S
        while not ready() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)

    def _first_to_end(self) -> str | None:
        """Which process ended of itself; the others did because it was gone."""
        ended = {rank: code for rank, child in self._children.items() if (code := child.poll()) is not None}
        words = {rank: _last_words(self._logs[rank]) for rank in ended}
        own = [rank for rank, code in ended.items() if code < 0] or [rank for rank in ended if words[rank] != _LOST]
        if not own:
            return None
        rank = own[0]
        code = ended[rank]
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        said = f": {words[rank]}" if words[rank] else ""
        return (
            f"process {rank} of {self._size} ended {how}{said} (its log is {str(self._logs[rank])!r}); the others were "
            "ended too, and the same command goes on from the last checkpoint"
        )

    def _end(self) -> None:
        """End what still runs: a process of ours does so when its standard input closes (`runs/child.py`)."""
        for child in self._children.values():
            assert child.stdin is not None
            child.stdin.close()
        for child in self._children.values():
            try:
                child.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _last_words(log: Path) -> str:
    """What a process said last: of what was wrong, if it said so."""
    tail = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    lines = [line for line in tail.splitlines() if line.strip()]
    said = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return said[-1] if said else lines[-1].strip() if lines else ""
