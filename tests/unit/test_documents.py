"""What README and docs show as Python runs, and gives what the comment behind it says."""

import ast

import pytest
import yaml

from srpo import __version__
from tests.support.documents import PAGES, ROOT, blocks


def shown_in(language: str) -> list[tuple[str, str]]:
    """All fenced blocks of a language, each with its place."""
    return [(block.place, block.text) for page in [*PAGES, ROOT / "AGENTS.md"] for block in blocks(page, language)]


def run(source: str) -> list[tuple[str, str]]:
    """Run a block; for each expression with a comment behind it, its value and the comment.

    What begins with `# not run: REASON` needs what is not here; tests/docs looks at its imports.
    """
    if source.startswith("# not run: "):
        return []
    lines, names, shown = source.splitlines(), dict[str, object](), list[tuple[str, str]]()
    for statement in ast.parse(source).body:
        code = ast.unparse(statement)
        if isinstance(statement, ast.Expr):
            value = eval(code, names)
            _, _, comment = lines[(statement.end_lineno or 1) - 1].rpartition("  # ")
            if comment:
                shown.append((str(value), comment.strip()))
        else:
            exec(code, names)
    return shown


@pytest.mark.parametrize(("place", "source"), shown_in("python"))
def test_python_in_documents_runs(place: str, source: str) -> None:
    for value, comment in run(source):
        assert value == comment, place


@pytest.mark.parametrize(("place", "source"), shown_in("yaml"))
def test_yaml_in_documents_can_be_read(place: str, source: str) -> None:
    assert yaml.safe_load(source), place


def test_a_comment_that_is_wrong_is_seen() -> None:
    assert run("x = 3\nx + 4  # 7\nx  # 4\n") == [("7", "7"), ("3", "4")]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2506.01713"


def test_workflows_run_what_has_to_pass() -> None:
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    job = checks["jobs"]["checks"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert [step["run"].split()[:2] for step in job["steps"] if "run" in step] == [["make", "test"], ["make", "check"]]
