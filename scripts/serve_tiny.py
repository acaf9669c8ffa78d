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
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TINY = ROOT / "src/srpo/assets/tiny-base"
STAND_IN = Path(__file__).parent / "torchvision_cpu"
VARIABLE = "SRPO_VLLM_PYTHON"
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
GRACE_S = 20.0
"""Time that vLLM gets to end by itself."""


class ServerError(RuntimeError):
    """The server did not start, or ended too early; the text says why."""


class Server(NamedTuple):
    """A server that is healthy."""

    address: str
    """Up to `/v1`."""
    process: "subprocess.Popen[bytes]"


@contextmanager
def serve(python: str, model: Path, port: int, log: Path, *, wait_s: float) -> Iterator[Server]:
    """Start the server, wait until it is healthy, and end it with all its processes behind the block.

    Args:
        python: a python that has vLLM.
        model: checkpoint directory.
        port: port on 127.0.0.1; 0 takes a free one.
        log: file for everything the server prints.
        wait_s: seconds until a server that is not healthy is given up.

    Raises:
        ServerError: no vLLM, a port that is taken, a server that ends or is not healthy in time.
    """
    port = _free(port)
    folders = [str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**SETTINGS, **os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), *FLAGS]
    with log.open("wb") as out:
        try:
            # Engine and workers are processes of their own: they end as one session.
            server = subprocess.Popen(  # noqa: S603 - the python that the user names
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
            )
        except OSError as error:
            raise ServerError(f"{python!r} cannot be run: {error.strerror}") from error
        try:
            _wait(server, port, log, wait_s)
            yield Server(f"http://127.0.0.1:{port}/v1", server)
        finally:
            _end(server)


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(f"port {port} of 127.0.0.1: {error.strerror}; choose another with --port") from error
        return int(probe.getsockname()[1])


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if (code := server.poll()) is not None:
            raise ServerError(f"the server ended with code {code} before it was ready; {_tail(log)}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise ServerError(f"the server was not ready after {wait_s:g} s (--wait gives it more); {_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    telling = [line for line in lines if "ERROR" in line or "Error:" in line] or lines
    shown = "".join(f"\n  {line}" for line in telling[-20:])
    return f"from {log}:{shown}"


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Ask the server to end, then make sure that none of its processes is left."""
    if server.poll() is None:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    with suppress(ProcessLookupError):  # all have ended, as they should
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def main(words: Sequence[str]) -> int:
    """Serve, and run the command behind `--` if there is one."""
    own, command = list(words), []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="%(prog)s [options] [-- COMMAND ...]")
    parser.add_argument("--python", default=os.environ.get(VARIABLE, ""), help=f"python with vLLM (${VARIABLE})")
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
            raise ServerError(f"no python with vLLM: set {VARIABLE} or give --python; docs/vllm.md says how to get one")
        started = time.monotonic()
        with serve(options.python, options.model, options.port, log, wait_s=options.wait) as server:
            print(f"serve_tiny: ready after {time.monotonic() - started:.0f} s: {server.address}", flush=True)
            code = _run(command, server.address) if command else server.process.wait()
            if server.process.poll() is not None:
                raise ServerError(f"the server ended by itself, with code {server.process.returncode}; {_tail(log)}")
            return code
    except ServerError as error:
        print(f"serve_tiny: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


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
