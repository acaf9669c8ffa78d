"""A dry run of the resolver: srpo beside each engine changes no other package."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.support.pins import ENGINES, pins_file, read_pins

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def resolve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", "-", "--quiet"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def index() -> None:
    """Skips where pip reaches no index."""
    probe = resolve("--no-deps", "--retries", "0", "--timeout", "20", "math-verify")
    if probe.returncode:
        pytest.skip(f"pip reaches no package index: {probe.stderr.strip()[-200:]}")


@pytest.mark.slow
@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("engine", ENGINES)
def test_installing_srpo_changes_no_package_of_the_engine(engine: str) -> None:
    found = resolve("--constraint", str(pins_file(engine)), *PROJECT["dependencies"])
    assert found.returncode == 0, found.stderr
    report: dict[str, Any] = json.loads(found.stdout)
    versions = {canonicalize_name(one["metadata"]["name"]): one["metadata"]["version"] for one in report["install"]}
    pins = read_pins(engine)
    assert {name: version for name, version in versions.items() if pins.get(name, version) != version} == {}
    assert "pydantic" in versions.keys() & pins.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_the_resolver_would_notice() -> None:
    refused = resolve("--constraint", str(pins_file("verl-sglang")), "openai[aiohttp]>=3")
    assert refused.returncode == 1
    assert "No matching distribution found for openai" in refused.stderr, refused.stderr
