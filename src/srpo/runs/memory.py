"""How much memory this process has in use, for those who watch a run: of its GPU where it has one, else of the machine.

Only Linux and macOS say it; elsewhere, and where nobody knows, there is nothing to tell. The part about a GPU has not
been run on one.
"""

import resource
import sys
from pathlib import Path
from typing import NamedTuple

_STATM = Path("/proc/self/statm")


class Memory(NamedTuple):
    """Bytes."""

    now: int | None
    """In use; None where only the peak is known."""
    peak: int
    """The most so far."""
    where: str
    """`GPU` or `process`."""


def used_memory() -> Memory:
    """What is in use now, and what was at most."""
    torch = sys.modules.get("torch")  # who has not imported it has nothing on a GPU
    if torch is not None and torch.cuda.is_initialized():
        return Memory(torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated(), "GPU")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if not _STATM.exists():
        return Memory(None, peak, "process")
    now = int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return Memory(now, max(now, peak), "process")  # the kernel counts the two at different moments
