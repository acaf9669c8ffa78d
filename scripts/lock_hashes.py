"""Write the hashes into requirements.lock: those of every wheel of its pins that `make install` may meet.

    python -m venv /tmp/tools && /tmp/tools/bin/pip install pip-tools
    /tmp/tools/bin/python scripts/lock_hashes.py

To change a version, change it in requirements.lock, run this, and `make clean install test`. The hashes are those that
pip's index names. Left out are wheels of Pythons below 3.11, of PyPy, and of systems on which nobody has run srpo.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
_PIN = re.compile(r"[A-Za-z0-9_.-]+==\S+")
_PYTHON = re.compile(r"-(py3|py2\.py3|cp31[1-4]|cp3\d+-abi3)-")
_SYSTEM = re.compile(r"(any|manylinux\S*_(x86_64|aarch64)|macosx_\S+_(arm64|x86_64|universal2))\.whl$")


def main() -> None:
    """Rewrite the lock; comments and pins stay."""
    repository = import_module("piptools.repositories.pypi").PyPIRepository(["-q"], cache_dir="/tmp/lock-hashes")  # noqa: S108
    lines = []
    with repository.allow_all_wheels():
        for line in LOCK.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                lines.append(line)
            elif pin := _PIN.match(line):
                lines.append(" \\\n".join([pin[0], *(f"    --hash={one}" for one in _hashes(repository, pin[0]))]))
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hashes(repository: Any, pin: str) -> list[str]:
    name, version = pin.split("==")
    found = [one.link for one in repository.find_all_candidates(name) if str(one.version) == version]
    wheels = [one for one in found if _PYTHON.search(one.filename) and _SYSTEM.search(one.filename)]
    hashes = sorted({f"sha256:{one.hash}" for one in wheels if one.hash_name == "sha256"})
    if not hashes:
        raise ValueError(f"{pin}: the index has no wheel with a hash; choose another version")
    return hashes


if __name__ == "__main__":
    main()
