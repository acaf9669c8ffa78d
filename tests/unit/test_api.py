"""What `from srpo import ..` offers is pinned: names, signatures and fields, as the source writes them.

A change here is a change for users. If it is meant: run this file as a script, which writes the pinned text again,
and say so in the changelog.
"""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import srpo

PINNED = Path(__file__).parents[1] / "golden" / "public_api.txt"


def surface() -> str:
    names = (name for name in srpo.__all__ if name != "__version__")
    return "\n".join("\n".join(describe(getattr(srpo, name))) for name in names) + "\n"


def describe(value: Any) -> list[str]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    if isinstance(node, ast.FunctionDef):
        return [signature(node)]
    assert isinstance(node, ast.ClassDef), value
    head = f"class {node.name}({', '.join(map(ast.unparse, node.bases))})"
    return [head, *(f"    {line}" for line in members(node))]


def members(node: ast.ClassDef) -> Iterator[str]:
    for one in node.body:
        if isinstance(one, ast.AnnAssign):
            yield ast.unparse(one)
        elif isinstance(one, ast.FunctionDef) and not re.match(r"_(?!_init__)", one.name):
            kinds = [f"@{ast.unparse(kind)} " for kind in one.decorator_list]
            yield "".join(kinds) + signature(one)


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"


def test_the_public_surface_is_as_it_was_pinned() -> None:
    assert surface() == PINNED.read_text(encoding="utf-8"), inspect.cleandoc(__doc__ or "")


def test_all_names_are_there_and_others_are_not() -> None:
    assert set(srpo.__all__) <= set(dir(srpo))
    with pytest.raises(AttributeError, match="module 'srpo' has no attribute 'garde'"):
        srpo.garde  # type: ignore[attr-defined]  # noqa: B018


def test_importing_srpo_is_light_and_grading_needs_no_torch() -> None:
    code = (
        "import sys, srpo\n"
        "assert [name for name in sys.modules if name.startswith('srpo')] == ['srpo']\n"
        "assert 'pydantic' not in sys.modules\n"
        "from srpo import Problem, grade, parse, render, reward\n"
        "assert not {'torch', 'numpy', 'PIL', 'rich', 'sympy', 'yaml'} & sys.modules.keys()\n"
        "assert srpo.grade is grade and 'grade' in vars(srpo)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_inside_names_come_from_where_they_are_defined() -> None:
    source = Path(srpo.__file__).parent
    taken = {
        name.strip()
        for path in source.rglob("*.py")
        for names in re.findall(r"^\s*from srpo import (.+)$", path.read_text(encoding="utf-8"), re.M)
        for name in names.split(",")
    }
    assert taken == {"__version__"}


def test_problems_by_the_short_form_of_a_source() -> None:
    found = srpo.load_problems("drawn:dev", limit=2)
    assert [type(one) for one in found.problems] == [srpo.Problem, srpo.Problem]
    assert srpo.grade_gold(found.problems[0]) is None


if __name__ == "__main__":
    PINNED.write_text(surface(), encoding="utf-8")
