"""A vLLM server on this machine's loopback, as long as it is wanted. Needs no torch.

server = Server("/somewhere/bin/python", "checkpoints/base", log=Path("vllm.log"), name="policy", start_s=600)
server.start()
...
server.stop()
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from srpo.rl.vllm import keeper

_HOST = "127.0.0.1"
_POLL_S = 0.5
_LAST_LINES = 20


class ServerError(ValueError):
    """The server did not start, or ended too early; the text says why."""


class Server:
    """Starts a server, again if need be, and ends it with all its processes."""

    def __init__(
        self,
        python: str,
        model: str,
        *,
        name: str,
        log: Path,
        start_s: float,
        words: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            python: A python that has vLLM.
            model: Checkpoint that it serves.
            name: What the checkpoint is called in requests.
            log: File to which everything that it prints is added.
            start_s: Seconds until a server that is not healthy is given up.
            words: Further words of its command line.
            environment: Variables beyond those of this process.
            port: Port on loopback; 0 takes a free one, each time anew.
        """
        self._python = python
        self._command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        self._command += ["--served-model-name", name, "--host", _HOST, *words]
        self._log = log
        self._start_s = start_s
        self._environment = environment or {}
        self._port = port
        self._root = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> str:
        """Address before `/v1`."""
        return self._root

    @property
    def pid(self) -> int | None:
        """The process that keeps it; None where none was started."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it is healthy.

        Raises:
            ServerError: no such python, a port that is taken, a server that ends or is not healthy in time.
        """
        self.stop()
        if shutil.which(self._python) is None:
            raise ServerError(f"{self._python!r} cannot be run: no such program; it must be a python that has vLLM")
        port = _free(self._port)
        self._root = f"http://{_HOST}:{port}"
        with self._log.open("ab") as out:
            began_at = out.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the python that the user names
                [sys.executable, keeper.__file__, *self._command, "--port", str(port)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        try:
            self._wait(began_at)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and all its processes; nothing where none runs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(2 * keeper.GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_words(self, began_at: int = 0) -> str:
        """What the log says, errors first of all."""
        with self._log.open("rb") as file:
            file.seek(began_at)
            lines = file.read().decode(errors="replace").splitlines()
        telling = [line for line in lines if "ERROR" in line or "Error:" in line] or lines
        return f"from {self._log}:" + "".join(f"\n  {line}" for line in telling[-_LAST_LINES:])

    def _wait(self, began_at: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._start_s
        while time.monotonic() < deadline:
            if (code := self._process.poll()) is not None:
                raise ServerError(
                    f"the vLLM server ended with code {code} before it was ready; {self.last_words(began_at)}"
                )
            if is_healthy(self._root):
                return
            time.sleep(_POLL_S)
        raise ServerError(f"the vLLM server was not ready after {self._start_s:g} s; {self.last_words(began_at)}")


def is_healthy(root: str) -> bool:
    """Whether a server answers there and says that it is well."""
    try:
        with urllib.request.urlopen(f"{root}/health", timeout=5):  # noqa: S310 - http or https, as configs must say
            return True
    except (urllib.error.URLError, OSError):
        return False


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ServerError(f"port {port} of {_HOST}: {error.strerror}; choose another with --port") from error
        return int(probe.getsockname()[1])
