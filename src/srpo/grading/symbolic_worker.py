"""The worker process of `symbolic`: questions in, one line of JSON each; verdicts out. It is started with `-m`.

Each question comes with its CPU time. A question that spends it ends the process, whatever sympy is doing. Otherwise
it ends when nobody asks any more: a signal to the whole process group is the parent's affair, which may still need
verdicts to finish its step.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MEMORY_BYTES = 4 << 30
_READ = 512
"""Texts that are kept as formulas."""
_FOR_THE_PARENT = ("SIGINT", "SIGTERM", "SIGHUP")


def _leave_signals_to_the_parent() -> None:
    for name in _FOR_THE_PARENT:
        if hasattr(signal, name):  # not on every platform
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _limit_memory() -> None:
    try:
        import resource  # not on every platform
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _limit_cpu(seconds: float) -> None:
    """End this process after so much CPU time from now on; 0 takes the limit off."""
    if hasattr(signal, "setitimer"):  # not on every platform; there the parent's patience is the limit
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _reader(math_verify: Any) -> Callable[[str], list[Any]]:
    """Reads a text; those of late are kept, for the answers of a group share their gold, and repeat each other."""
    config = [math_verify.LatexExtractionConfig()]

    @lru_cache(maxsize=_READ)
    def read(text: str) -> list[Any]:
        found: list[Any] = math_verify.parse(f"${text}$", extraction_config=config, parsing_timeout=None)
        return found

    return read


def _verify(gold: str, prediction: str, read: Callable[[str], list[Any]], math_verify: Any) -> bool | None:
    # Nobody may change what is kept.
    found = [list(read(gold)), list(read(prediction))]
    return bool(math_verify.verify(*found, timeout_seconds=None)) if all(found) else None


def _serve() -> None:
    _leave_signals_to_the_parent()
    _limit_memory()
    import logging

    import math_verify  # 1.5 s

    logging.disable(logging.CRITICAL)
    read = _reader(math_verify)
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not be taken for an answer
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        gold, prediction, cpu_s = json.loads(line)
        verdict: bool | None = None
        _limit_cpu(cpu_s)
        # sympy raises nearly everything, RecursionError and MemoryError included; none of it is an answer
        with contextlib.suppress(Exception):
            verdict = _verify(gold, prediction, read, math_verify)
        _limit_cpu(0)
        print(json.dumps(verdict), file=out, flush=True)


if __name__ == "__main__":
    _serve()
