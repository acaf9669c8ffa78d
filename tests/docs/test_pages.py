"""Links lead somewhere, the reference is current, every page is in the navigation, and the site builds."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from scripts.config_reference import PAGE, reference
from tests.support.documents import PAGES, ROOT

OTHERS = [ROOT / name for name in ("AGENTS.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
BUILDER = os.environ.get("SRPO_DOCS_PYTHON") or (sys.executable if find_spec("mkdocs") else "")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)|<img [^>]*src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = []
    for match in LINK.finditer(text):
        target = next(part for part in match.groups() if part)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A part, or two\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md#a-part-or-two) [b](gone.md) [c](there.md#none) ![d](x.png) [e](https://x.y) `[f](g)`")
    assert dead_links(page) == ["gone.md", "there.md#none", "x.png"]


def test_the_reference_of_the_settings_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python scripts/config_reference.py"


def test_every_page_is_in_the_navigation() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r"'([\w-]+\.md)'", str(site["nav"]))
    assert len(listed) == len(set(listed))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= set(listed)


@pytest.mark.slow
@pytest.mark.skipif(not BUILDER, reason="SRPO_DOCS_PYTHON names no python that has mkdocs; `make docs-test` makes one")
@pytest.mark.parametrize("generator", ["mkdocs", "zensical"])
def test_the_site_builds_without_a_warning(generator: str, tmp_path: Path) -> None:
    # zensical has other themes than mkdocs, and always writes beside its configuration.
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "mkdocs.yml").write_text(
        settings if generator == "mkdocs" else re.sub(r"^theme:.*\n", "", settings, flags=re.M)
    )
    command = [BUILDER, "-m", generator, "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    if generator == "zensical" and "No module named" in built.stderr:
        pytest.skip("zensical is not installed beside mkdocs")
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stdout + built.stderr
    pages = {page.stem for page in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= pages
