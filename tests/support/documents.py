"""README and docs as tests see them: pages, fenced blocks, and what a block of commands asks for."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_HERE = re.compile(r"<<'?(\w+)'?")


class Block(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page.name}:{self.line}"


class Shown(NamedTuple):
    """A command of a `console` block, and the lines that the page shows below it."""

    command: str
    output: list[str]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, of one language or of all."""
    text = page.read_text(encoding="utf-8")
    found = [Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in _FENCE.finditer(text)]
    return [block for block in found if language in {None, block.language}]


def shown(text: str) -> list[Shown]:
    """Take a console block apart: commands after `$ `, with the lines that they go on over, and what they print.

    >>> shown("$ cat > a <<'X'\\n1\\nX\\n$ echo 2\\n2\\n")
    [Shown(command="cat > a <<'X'\\n1\\nX", output=[]), Shown(command='echo 2', output=['2'])]
    """
    found: list[Shown] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            found[-1].output.append(line)
            continue
        command = line.removeprefix("$ ")
        while command.endswith("\\"):
            command += "\n" + next(lines)
        if (here := _HERE.search(command)) is not None:
            for more in lines:
                command += "\n" + more
                if more == here[1]:
                    break
        found.append(Shown(command, []))
    return found


def missing(expected: list[str], printed: str) -> str | None:
    """The first line that was not printed, in order; `..` within a line stands for anything, a line `...` for others.

    >>> missing(["a .. z", "...", "end"], "begin\\na b z\\nmore\\nend"), missing(["end", "a"], "a\\nend")
    (None, 'a')
    """
    lines = iter(printed.splitlines())
    for wanted in expected:
        if wanted.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in wanted.split("..")))
        if not any(pattern.search(line) for line in lines):
            return wanted
    return None
