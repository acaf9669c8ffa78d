"""Starts verl: as a process of this machine, or as a job of a Ray cluster; nothing of it is imported here.

    job = start(config.engine, Launch(..))
    while job.exit_code is None: ...
    job.stop()

Everything that verl's processes need of srpo is copied into the run directory, so that an environment of verl's own
needs no srpo, and a run goes on with the code that it began with.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import srpo
from srpo.engines.verl.merge import METRICS
from srpo.engines.verl.settings import PLUGIN, SETTINGS_VARIABLE
from srpo.policy.engine import VERL_PYTHON_VARIABLE, EngineConfig, default_python
from srpo.rl.reward import load_function
from srpo.rl.vllm import keeper

LOG, WORDS, JOB, SETTINGS = "log", "overrides.txt", "job.json", "settings.json"
_LAST_LINES = 25
_ALIVE = ("PENDING", "RUNNING")
_NO_TOKEN = "Missing authentication token"  # noqa: S105 - what Ray says
_TOKEN_HINT = "\nRAY_AUTH_MODE=token makes Ray send the cluster's token, from RAY_AUTH_TOKEN or ~/.ray/auth_token"  # noqa: S105


class Launch(NamedTuple):
    """What is started."""

    folder: Path
    """Where it logs, on a disk that every machine sees."""
    package: Path
    """Folder on PYTHONPATH with a copy of srpo."""
    entry: str
    """Module of verl."""
    words: tuple[str, ...]


class EngineJob(Protocol):
    """A start that goes on elsewhere."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""

    def stop(self) -> None:
        """End it and all its processes."""


def interpreter(engine: EngineConfig) -> str:
    """The python that has verl.

    Raises:
        ValueError: none is named, or it cannot be run.
    """
    found = engine.interpreter
    if found is None:
        raise ValueError(
            "engine 'verl' needs a python that has it: run `srpo engines install verl`, or name one in engine.python "
            f"or {VERL_PYTHON_VARIABLE} (looked for {str(default_python(engine.kind))!r})"
        )
    if shutil.which(found) is None:
        raise ValueError(f"engine.python {found!r} cannot be run: no such program")
    return found


def verl_environment(engine: EngineConfig, package: Path, settings: Path, launch: Path | None = None) -> dict[str, str]:
    """The variables that verl's processes get beside those of the machine that they run on."""
    further = engine.environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return {
        "HYDRA_FULL_ERROR": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **engine.environment,
        "PYTHONPATH": os.pathsep.join([str(package), *([further] if further else [])]),
        # Behind those of the user: a platform has to be there before our plugin loads verl's workers.
        "VERL_USE_EXTERNAL_MODULES": ",".join(
            [*filter(None, engine.environment.get("VERL_USE_EXTERNAL_MODULES", "").split(",")), PLUGIN]
        ),
        SETTINGS_VARIABLE: str(settings),
        **({"VERL_FILE_LOGGER_PATH": str(launch / METRICS)} if launch else {}),
    }


def copy_package(folder: Path) -> Path:
    """Copy srpo's code to where verl's processes find it, and nothing else of this environment."""
    source = Path(srpo.__file__).parent
    target = folder / "srpo"
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("assets", "__pycache__"))
    return folder


def copy_function(name: str, folder: Path) -> None:
    """Copy the module or package of `module:function` beside srpo's; what is installed has to be in verl's environment.

    Raises:
        ValueError: there is no such function, or its module is no file.
    """
    load_function(name)
    top = name.partition(":")[0].partition(".")[0]
    file = sys.modules[top].__file__
    if file is None:
        raise ValueError(f"reward {name!r}: {top!r} is a folder without __init__.py, which cannot be copied; add one")
    source = Path(file).resolve()
    installed = {Path(sysconfig.get_path(place)).resolve() for place in ("stdlib", "purelib", "platlib")}
    if installed.isdisjoint(source.parents):
        shutil.rmtree(folder / top, ignore_errors=True)
        if source.name == "__init__.py":
            shutil.copytree(source.parent, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / source.name)


def start(engine: EngineConfig, launch: Launch) -> EngineJob:
    """Start verl.

    Raises:
        ValueError: the interpreter is missing.
    """
    python = interpreter(engine)
    variables = verl_environment(engine, launch.package, launch.folder / SETTINGS, launch.folder)
    (launch.folder / WORDS).write_text("\n".join(launch.words) + "\n", encoding="utf-8")
    command = [python, "-m", launch.entry, *launch.words, *engine.overrides]
    if not engine.address:
        return _Process(command, launch.folder, {**os.environ, **variables})
    return _RayJob(python, engine.address, command, launch.folder, variables)


class _Process:
    """A process of this machine, which ends with this one however that goes (`rl/vllm/keeper.py`)."""

    def __init__(self, command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
        with (folder / LOG).open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 - the python that the user names
                [sys.executable, keeper.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=folder,
                env=dict(variables),
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it and all its processes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(2 * keeper.GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _RayJob(_Process):
    """A job of a cluster. The process here shows its log, and ends when it does."""

    def __init__(
        self, python: str, address: str, command: list[str], folder: Path, variables: Mapping[str, str]
    ) -> None:
        self._ray = [python, "-m", "ray.scripts.scripts", "job"]
        self._address = address
        # A cluster knows every name once, and many runs are called `rl`.
        self._name = f"srpo-{folder.parents[1].name}-{folder.name}-{secrets.token_hex(4)}"
        (folder / JOB).write_text(json.dumps({"address": address, "job": self._name}), encoding="utf-8")
        wrapped = [
            *self._ray, "submit", "--address", address, "--submission-id", self._name,
            "--runtime-env-json", json.dumps({"env_vars": dict(variables)}), "--", *command,
        ]  # fmt: skip
        super().__init__(wrapped, folder, os.environ)

    def stop(self) -> None:
        """End the job on the cluster, then the process here."""
        command = [*self._ray, "stop", "--address", self._address, self._name]
        subprocess.run(command, capture_output=True, timeout=120, check=False)  # noqa: S603 - as above
        super().stop()


def check_no_job_runs(engine: EngineConfig, launch: Path) -> None:
    """Raise ValueError when the job of an earlier start is still at work on its cluster."""
    file = launch / JOB
    if not file.is_file():
        return
    job = json.loads(file.read_text(encoding="utf-8"))
    ray = [interpreter(engine), "-m", "ray.scripts.scripts", "job", "status"]
    command = [*ray, "--address", job["address"], job["job"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - as above
    if any(word in done.stdout for word in _ALIVE):
        raise ValueError(
            f"job {job['job']!r} of this run is still at work on {job['address']}; end it first: "
            f"ray job stop --address {job['address']} {job['job']}"
        )


def last_words(launch: Path) -> str:
    """What the log says, errors first of all."""
    file = launch / LOG
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    # verl begins with a warning for each engine that it was not installed with, an error's name in it.
    telling = [line for line in lines if "Error" in line and "UserWarning" not in line] or lines
    hint = _TOKEN_HINT if any(_NO_TOKEN in line for line in telling) else ""
    return f"from {file}:" + "".join(f"\n  {line[:400]}" for line in telling[-_LAST_LINES:]) + hint
