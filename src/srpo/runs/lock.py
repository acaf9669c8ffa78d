"""One process per run directory.

The kernel drops the lock when its process dies, however it dies, so there are no stale locks to clean up.
"""

import errno
import fcntl
import os
from pathlib import Path

LOCK_NAME = ".lock"
_held: set[int] = set()


class Lock:
    """An exclusive lock on `directory/.lock`.

    Raises:
        ValueError: another process (or an unclosed run of this one) holds it.
    """

    def __init__(self, directory: Path) -> None:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ValueError(
                f"{str(directory)!r} is in use by process {holder}; wait for it to end, or choose another --out"
            ) from None
        except OSError as error:
            # Some network file systems have no locks; a run there works, it is just not protected from a second one.
            if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
                os.close(descriptor)
                raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        _held.add(descriptor)

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        if self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# A forked worker that outlives a killed run would otherwise keep the run's lock.
os.register_at_fork(after_in_child=_forget)
