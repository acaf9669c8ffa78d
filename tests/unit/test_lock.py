"""What `make install` installs is pinned, and hashed but for torch."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
TORCH = (ROOT / "requirements-torch.lock").read_text(encoding="utf-8")


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_every_pin_has_hashes() -> None:
    entries = re.split(r"\n(?=[A-Za-z])", "\n".join(line for line in LOCK.splitlines() if not line.startswith("#")))
    assert len(entries) > 70
    bad = [entry for entry in entries if not re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n*", entry)]
    assert bad == []


def test_what_the_package_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    brought = [one for name in ("report", "remote", "data", "train", "dev") for one in extras[name]]
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"], *brought]
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==", LOCK + TORCH, re.MULTILINE)
    assert {name_of(one) for one in wanted} - {name_of(one) for one in pins} == {"srpo"}


def test_no_lock_names_an_address() -> None:
    assert "://" not in LOCK + TORCH
