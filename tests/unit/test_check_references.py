"""`.ci/check_references.py`: what is named and is not there is found, what is there is left alone."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "check_references.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("check_references", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository in which every name is right."""
    files = {
        "Makefile": "test: install\n\tpytest\n",
        "README.md": "# Small\n\nRun `make test`, see [design](docs/design.md#the-reward).\n",
        "docs/design.md": "# Design\n\n## The reward\n\n`srpo rl`, or:\n\n    srpo data check FILE\n",
        "src/srpo/__init__.py": "",
        "src/srpo/cli/main.py": 'COMMANDS = {\n    "rl": "train",\n    "data check": "look",\n}\n',
        "src/srpo/core/rewards.py": '"""Pays (docs/design.md#the-reward)."""\n\ndef reward(): ...\n',
        "src/srpo/rl/config.py": "class RlConfig:\n    loss: int\n    clip: int\n",
        "tests/test_rewards.py": '"""Of `core.rewards`: `rewards.reward`, `srpo.core.rewards`, `loss.clip`."""\n',
        "recipes/rl.yaml": "# as in core/rewards.py and recipes/*.yaml\nmodel: runs/x\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_names_that_are_there_are_left_alone(root: Path) -> None:
    assert load().complaints(root) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("(DESIGN 2.1)", "points outside of the repository"),
        ("the issue asks for 30", "points outside of the repository"),
        ("as measured (notes, section 7)", "points outside of the repository"),
        ("docs/method.md", "there is no docs/method.md"),
        ("tests/golden/", "there is no tests/golden/"),
        ("recipes/*.json", "there is no recipes/*.json"),
        ("core/judge.py", "there is no file core/judge.py"),
        ("`prose_*.py`", "there is no file prose_*.py"),
        ("docs/design.md#the-loss", "docs/design.md has no section #the-loss"),
        ("srpo.core.judge", "there is no srpo.core.judge"),
        ("srpo.core.rewards.judge", "there is no srpo.core.rewards.judge"),
        ("`core.judge`", "there is no core.judge"),
        ("`rewards.judge(trace)`", "there is no rewards.judge"),
        ("from srpo.core.rewards import reward, judge", "srpo.core.rewards has no judge"),
        ("python -m srpo.core.judge", "there is no srpo.core.judge"),
        ("`srpo judge`", "there is no command srpo judge"),
        ("`srpo rl|judge`", "there is no command srpo judge"),
        ("`make judge`", "there is no target judge in the Makefile"),
    ],
)
@pytest.mark.parametrize("kind", ["docstring", "comment", "page", "recipe"])
def test_a_name_that_is_not_there_is_found(root: Path, line: str, what: str, kind: str) -> None:
    match kind:
        case "docstring":
            name, text = "src/srpo/core/new.py", f'"""New.\n\n{line}\n"""\n'
        case "comment":
            name, text = "src/srpo/core/new.py", f"\n\nx = 1  # {line}\n"
        case "page":
            name, text = "docs/new.md", f"# New\n\n{line}\n"
        case _:
            name, text = "recipes/new.yaml", f"model: x\n\n# {line}\n"
    (root / name).write_text(text, encoding="utf-8")
    found = load().complaints(root)
    assert any(one.startswith(f"{name}:3: ") and what in one for one in found), found


def test_a_link_that_leads_nowhere_is_found(root: Path) -> None:
    (root / "docs" / "new.md").write_text("[a](design.md) [b](gone.txt) [c](design.md#gone)", encoding="utf-8")
    assert load().complaints(root) == [
        "docs/new.md:1: the link gone.txt leads nowhere",
        "docs/new.md:1: the link design.md#gone leads nowhere",
        "docs/new.md:1: design.md has no section #gone",
    ]


def test_messages_of_the_package_are_texts_and_those_of_tests_are_not(root: Path) -> None:
    code = 'raise ValueError("see docs/method.md")\n'
    (root / "tests" / "test_new.py").write_text(code, encoding="utf-8")
    assert load().complaints(root) == []
    (root / "src" / "srpo" / "core" / "new.py").write_text(code, encoding="utf-8")
    assert load().complaints(root) == ["src/srpo/core/new.py:1: there is no docs/method.md"]
