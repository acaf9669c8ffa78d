"""The base installation fits beside every engine, and says which extra brings what it lacks."""

import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from srpo.runs.extras import EXTRAS, what_is_missing
from tests.support.pins import ENGINES, read_pins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements_beside(pins: Mapping[str, str]) -> Iterator[Requirement]:
    """What the base asks for, and what those of its packages ask for that the engine does not bring."""
    todo, seen = [Requirement(line) for line in PROJECT["dependencies"]], set()
    while todo:
        found = todo.pop()
        yield found
        if (name := canonicalize_name(found.name)) not in seen and name not in pins:
            seen.add(name)
            inner = map(Requirement, requires(name) or ())
            todo += [one for one in inner if one.marker is None or one.marker.evaluate({"extra": ""})]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_base_asks_for_no_other_version_than_the_engine_has(engine: str) -> None:
    pins = read_pins(engine)
    asked = list(requirements_beside(pins))
    shared = [one for one in asked if canonicalize_name(one.name) in pins]
    assert {"pydantic", "numpy", "sympy"} <= {one.name for one in shared}
    refused = [
        f"{one} against {pins[canonicalize_name(one.name)]}"
        for one in shared
        if not one.specifier.contains(pins[canonicalize_name(one.name)], prereleases=True)
    ]
    assert refused == []


def test_extras_bring_what_the_hints_say() -> None:
    assert set(EXTRAS) | {"all", "dev", "real-shapes"} == set(PROJECT["optional-dependencies"])
    brought = {
        extra: {Requirement(one).name.lower() for one in PROJECT["optional-dependencies"][extra]} for extra in EXTRAS
    }
    dists = {"PIL": "pillow", "genai_prices": "genai-prices", "aiohttp": "openai"}
    indirect = {"tokenizers", "huggingface_hub"}  # transformers asks for them
    for extra, modules in EXTRAS.items():
        assert {dists.get(module, module) for module in modules} - indirect <= brought[extra], extra


def test_a_module_of_no_extra_is_no_business_of_ours() -> None:
    assert what_is_missing(ModuleNotFoundError(name="my_rewards")) is None
