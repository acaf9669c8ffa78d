"""`python -m srpo.runs.child rl ...`: `srpo rl ...` in a process that ends with the one that started it.

The parent holds the other end of standard input and writes nothing. When it is gone, however it went, the pipe
closes, and this process ends at once: a killed command is killed as a whole, and holds no run directory that the next
one wants.
"""

import os
import runpy
import threading

ABANDONED = 1


def _end_with_the_parent() -> None:
    # Not through sys.stdin: a thread that holds its lock when the interpreter ends would be the end of it.
    while os.read(0, 1):
        pass
    os._exit(ABANDONED)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    runpy.run_module("srpo", run_name="__main__", alter_sys=True)
