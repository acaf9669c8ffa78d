"""Serve the shipped tiny model with vLLM on loopback, for as long as a command runs.

    export SRPO_VLLM_PYTHON=/somewhere/bin/python                     # a python that has vLLM; docs/vllm.md says how
    python scripts/serve_tiny.py -- srpo reflect CONFIG.yaml ...      # the command finds it by $OPENAI_BASE_URL
    python scripts/serve_tiny.py                                      # prints the address and serves until Ctrl-C

The model is called `tiny` in requests. The exit code is the command's, or 1 when the server did not start. Nothing is
left running. Needs no package but srpo's own.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from srpo.rl.vllm.config import PYTHON_VARIABLE
from srpo.rl.vllm.server import Server, ServerError

ROOT = Path(__file__).parents[1]
TINY = ROOT / "src/srpo/assets/tiny-base"
STAND_IN = Path(__file__).parent / "torchvision_cpu"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; a tiny model needs no more
}
FLAGS = ("--dtype", "float32", "--max-num-seqs", "32", "--limit-mm-per-prompt", '{"image": 4, "video": 0}',
         "--enforce-eager", "--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096")  # fmt: skip
"""Eager, because compiling is not worth it for a minute of work. Prompts in one piece, because a request with a seed
whose prompt is cut ends vLLM 0.32's CPU engine (`RuntimeError: CPU Generator does not use offset`); srpo's requests
have seeds."""
_POLL_S = 0.5


def main(words: Sequence[str]) -> int:
    """Serve, and run the command behind `--` if there is one."""
    own, command = list(words), []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="%(prog)s [options] [-- COMMAND ...]")
    parser.add_argument(
        "--python", default=os.environ.get(PYTHON_VARIABLE, ""), help=f"python with vLLM (${PYTHON_VARIABLE})"
    )
    parser.add_argument("--model", type=Path, default=TINY, help="checkpoint directory (the shipped tiny model)")
    parser.add_argument("--port", type=int, default=8101, help="port on 127.0.0.1 (8101); 0 takes a free one")
    parser.add_argument("--log", type=Path, help="file for the server's output (a temporary one)")
    parser.add_argument("--wait", type=float, default=300.0, metavar="S", help="longest start in seconds (300)")
    options = parser.parse_args(own)
    log = options.log or Path(tempfile.gettempdir()) / f"srpo-vllm-{os.getpid()}.log"
    # A `kill` ends the block like Ctrl-C, so that the server never outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not options.python:
            raise ServerError(
                f"no python with vLLM: set {PYTHON_VARIABLE} or give --python; docs/vllm.md says how to get one"
            )
        server = _server(options.python, options.model, options.port, log, options.wait)
        try:
            started = time.monotonic()
            server.start()
            print(f"serve_tiny: ready after {time.monotonic() - started:.0f} s: {server.root}/v1", flush=True)
            code = _run(command, f"{server.root}/v1") if command else _wait(server)
            if not server.is_running:
                raise ServerError(f"the server ended by itself, with code {server.exit_code}; {server.last_words()}")
            return code
        finally:
            server.stop()
    except ServerError as error:
        print(f"serve_tiny: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _server(python: str, model: Path, port: int, log: Path, wait_s: float) -> Server:
    folders = [str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**SETTINGS, **os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    log.unlink(missing_ok=True)
    return Server(
        python, str(model), name="tiny", log=log, start_s=wait_s, words=FLAGS, environment=environment, port=port
    )


def _wait(server: Server) -> int:
    while server.is_running:
        time.sleep(_POLL_S)
    return 1


def _run(command: Sequence[str], address: str) -> int:
    """The command's exit code; the server stays until the command has ended, however it is told to."""
    child = subprocess.Popen(command, env={**os.environ, "OPENAI_BASE_URL": address})  # noqa: S603 - the user's
    # Ctrl-C reaches the command by itself, a `kill` does not.
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
