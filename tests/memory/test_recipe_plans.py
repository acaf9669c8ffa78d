"""Recipes that say on what they fit: the plan beside each is what `srpo plan` says of it today, to 2%."""

import re
from pathlib import Path

import pytest

from srpo.cli.main import main

ROOT = Path(__file__).parents[2]
PLANS = sorted((ROOT / "recipes").glob("*/*.plan.txt"))
NUMBER = re.compile(r" *\d[\d,]*(?:\.\d+)?")
DO_NOT_FIT = {"rl.plan.txt"}
"""The paper's settings: they are of a cluster."""


@pytest.mark.slow
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_a_plan_beside_a_recipe_is_todays(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    recipe = path.with_name(path.name.replace(".plan.txt", ".yaml"))
    found = re.search(r"^#   srpo (plan .*)$", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "the recipe says how its plan is made"
    assert main(found[1].split()) == int(path.name in DO_NOT_FIT)
    today, beside = capsys.readouterr().out, path.read_text(encoding="utf-8")
    assert NUMBER.sub("", today) == NUMBER.sub("", beside)
    assert numbers(today) == pytest.approx(numbers(beside), rel=0.02, abs=0.15)


def numbers(text: str) -> list[float]:
    return [float(one.replace(",", "")) for one in NUMBER.findall(text)]


def test_every_recipe_for_one_gpu_has_its_plan() -> None:
    recipes = {path.name.removesuffix(".yaml") for path in (ROOT / "recipes/one_gpu").glob("*.yaml")}
    assert recipes == {path.name.removesuffix(".plan.txt") for path in PLANS if path.parent.name == "one_gpu"}
