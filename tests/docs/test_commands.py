"""Every command of README and docs runs, page by page and in order, or says in its block why it does not.

```console
$ srpo grade answers.jsonl        a line after `$ ` is run; the lines below it must be printed
```

A block of `sh` is not run, and its first line is `# not run: REASON`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, blocks, missing, shown

COMMAND = re.compile(r"^    (srpo|make|python|pip|git|export|\.venv/bin/\w+) \S.*$", re.M)
LIMIT_S = 900


def desk(folder: Path) -> dict[str, str]:
    """A folder to work in as a user would: `srpo` is a command, recipes and examples lie there."""
    (folder / "bin").mkdir()
    for name, words in (("srpo", "-m srpo"), ("python", "")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    work = folder / "work"
    work.mkdir()
    for name in ("recipes", "examples", "benchmarks", "scripts"):
        (work / name).symlink_to(ROOT / name)
    paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(folder / "cache")}
    return os.environ | paths | {"COLUMNS": "100"}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    environment = desk(tmp_path)
    for block in blocks(page, "console"):
        for command, output in shown(block.text):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path / "work",
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # in the order in which a terminal shows it
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
            told = f"{block.place}: {command}\n{done.stdout}"
            assert done.returncode == 0, told
            assert (lost := missing(output, done.stdout)) is None, f"not printed: {lost}\n{told}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_are_not_run_say_why(page: Path) -> None:
    for block in blocks(page, "sh"):
        assert re.match(r"# not run: \w.{5,}\n", block.text), f"{block.place} gives no reason"
    bare = COMMAND.findall(re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S))
    assert not bare, f"{page.name} has commands outside of a console or sh block: {bare}"
