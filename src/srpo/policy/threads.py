"""Thread settings for CPU work; importable, and to be called, before torch is.

OpenMP threads that spin while they wait made training steps 4-10 times slower on a busy two-core machine, and the
OpenMP runtime reads these variables only once, when torch loads it.

    >>> configure_threads(1)
    1
"""

import os
import sys


def configure_threads(num_threads: int | None = None) -> int:
    """Set the OpenMP variables for this process and its children; return the number of threads.

    Args:
        num_threads: threads for tensor operations; None takes OMP_NUM_THREADS, else the CPUs this process may use.

    Raises:
        ValueError: `num_threads` is below 1.

    """
    if num_threads is None:
        inherited = os.environ.get("OMP_NUM_THREADS", "")
        num_threads = int(inherited) if inherited.isdecimal() and int(inherited) > 0 else usable_cpus()
    if num_threads < 1:
        raise ValueError(f"threads must be at least 1, got {num_threads!r}")
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    # A user who set these knows the machine better than we do.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # The Rust tokenizer warns about its thread pool whenever a process forks after using it.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(num_threads)
    return num_threads


def usable_cpus() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
