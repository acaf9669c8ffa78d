"""Every pattern of the grader finds its `yes` and leaves its `no` alone."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import srpo.grading
from srpo.grading.patterns import PATTERNS, PatternRow

MODULES = [module.name for module in pkgutil.walk_packages(srpo.grading.__path__, "srpo.grading.")]
for _name in MODULES:
    if not _name.endswith("symbolic_worker"):
        importlib.import_module(_name)


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: f"{row.yes!r:.30} not {row.no!r:.30}")
def test_a_pattern_finds_its_yes_and_leaves_its_no_alone(row: PatternRow) -> None:
    assert row.finds(row.yes), f"{row.regex.pattern} does not find {row.yes!r} by {row.by}"
    assert not row.finds(row.no), f"{row.regex.pattern} finds {row.no!r} by {row.by}"


def test_no_pattern_stands_without_its_texts() -> None:
    for file in Path(srpo.grading.__file__).parent.rglob("*.py"):
        # one pattern is made of the options of a question
        if file.name not in ("patterns.py", "recited.py"):
            assert "re.compile(" not in file.read_text(encoding="utf-8"), file
    assert len(PATTERNS) >= 170
    assert all(isinstance(row.regex, re.Pattern) for row in PATTERNS)
