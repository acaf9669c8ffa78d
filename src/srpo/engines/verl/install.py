"""An environment of verl's own: its pins exclude srpo's, so neither is installed beside the other."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from srpo.engines.verl.gaps import VERSION
from srpo.policy.engine import default_python

_BESIDE = ("pydantic>=2.11", "PyYAML>=6", "math-verify>=0.9")
"""What our reward needs; a run brings srpo's code itself."""
_EXTRAS = {"vllm": f"verl[vllm,fsdp]=={VERSION}", "sglang": f"verl[sglang,fsdp]=={VERSION}", "none": f"verl=={VERSION}"}
_WITHOUT_SAMPLER = ("TransferQueue", "qwen_vl_utils", "fastapi", "uvicorn", "cachetools", "pyzmq", "msgspec", "nvtx")
"""What verl's base package does not ask for, and needs to put a configuration together."""
_CPU = ("torch==2.13.0", "torchvision==0.28.0")


def commands(environment: Path, sampler: str, program: Sequence[str]) -> list[list[str]]:
    """What makes the environment.

    Args:
        environment: Folder of the new environment.
        sampler: `vllm`, `sglang`, or `none` for one that puts configurations together and trains nothing.
        program: How packages are installed: uv where it is there, else Python's own tools.
    """
    wanted = [_EXTRAS[sampler], *_BESIDE]
    if sampler == "none":
        wanted = [*_CPU, *wanted, *_WITHOUT_SAMPLER]
    python = str(environment / "bin" / "python")
    if program[0].endswith("uv"):
        return [[*program, "venv", str(environment)], [*program, "pip", "install", "--python", python, *wanted]]
    return [[*program, "-m", "venv", str(environment)], [python, "-m", "pip", "install", *wanted]]


def run_commands(environment: Path, made_by: Sequence[Sequence[str]]) -> None:
    """Run the commands.

    Raises:
        ValueError: the folder exists, or one of them failed.
    """
    if environment.exists():
        raise ValueError(f"{str(environment)!r} exists; remove it, or choose another --venv")
    for command in made_by:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - commands of our own
        if code:
            raise ValueError(f"{' '.join(command)} ended with code {code}; remove {str(environment)!r} and try again")


def installer() -> list[str]:
    """Uv where it is there, which resolves these pins in seconds; else this interpreter."""
    found = shutil.which("uv")
    return [found] if found else [sys.executable]


def usual_place() -> Path:
    """Where `srpo` looks for it by itself."""
    return default_python("verl").parents[1]
