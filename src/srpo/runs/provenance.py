"""Which code, on which machine, made a result: it goes into `config.json`, `Origin` and evidence files."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from srpo import __version__
from srpo.core.records import Record

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pydantic", "math-verify")
"""Libraries whose version can change a result."""


class Provenance(Record):
    """Where and with what something was made."""

    srpo_version: str
    commit: str
    """Git commit of srpo's own checkout, `-dirty` appended when files differ from it; empty for an installed wheel."""
    command: tuple[str, ...]
    python: str
    system: str
    """Operating system, machine type and number of processors."""
    libraries: dict[str, str]
    """Installed versions of `LIBRARIES`."""


@cache
def commit() -> str:
    """The commit of srpo's own checkout; empty when the package does not run from one, or git is not there."""
    package = Path(__file__).resolve().parents[1]
    # A wheel inside some other project's checkout must not borrow that project's commit.
    if package.parent.name != "src" or not (package.parents[1] / ".git").exists():
        return ""
    try:
        head = _git(package, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(package, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def provenance() -> Provenance:
    """Describe this process."""
    return Provenance(
        srpo_version=__version__,
        commit=commit(),
        command=tuple(sys.argv),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        libraries={name: version for name in LIBRARIES if (version := _version(name)) is not None},
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(directory: Path, *arguments: str) -> str:
    result = subprocess.run(  # noqa: S603  a fixed program with our own arguments
        ["git", "-C", str(directory), *arguments],  # noqa: S607  from the user's PATH by intention
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return result.stdout.strip()
