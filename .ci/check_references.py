"""What a docstring, comment, message, recipe or page names is there: paths, modules, commands, targets, sections.

A name is looked for where it can be nothing else (`RULES`): paths that begin with a folder of this repository, files of
code and pages, dotted names that begin with `srpo` or (in backticks) with a room or a module, links and sections,
commands and targets in backticks or code, and words that point to papers outside of the repository.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cached_property
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

ROOMS = ("src", "tests", "docs", "benchmarks", "scripts", "recipes", "examples", ".ci", ".github")
THEIRS = frozenset({
    "calculate_score.py", "eval_utils.py", "auto_scoring_judge.py", "my_rewards.py", "datasets", "lmms_eval",
})  # fmt: skip
"""Files of a benchmark's authors or of a reader, and packages that are called as a module of ours is."""
_SUFFIXES = (
    "py",
    "md",
    "json",
    "jsonl",
    "yaml",
    "yml",
    "toml",
    "sqlite",
    "html",
    "parquet",
    "safetensors",
    "jinja",
    "lock",
)


class Text(NamedTuple):
    """Something that is read by people."""

    place: str
    line: int
    """Of its first line."""
    text: str


class Repository:
    """What there is to be named."""

    def __init__(self, root: Path) -> None:
        """`root` holds README.md and the rooms."""
        self.root = root
        rooms = [path for room in ROOMS for path in (root / room).rglob("*") if "__pycache__" not in path.parts]
        self.files = sorted(path for path in [*root.glob("*"), *rooms] if path.is_file())
        self.python = [path for path in self.files if path.suffix == ".py"]

    @cached_property
    def commands(self) -> set[str]:
        """First words of the commands of `srpo`."""
        found = re.search(r"^COMMANDS = ({.*?^})", self._read("src/srpo/cli/main.py"), re.DOTALL | re.MULTILINE)
        return {name.split()[0] for name in ast.literal_eval(found[1])} if found else set()

    @cached_property
    def targets(self) -> set[str]:
        """Of the Makefile."""
        return set(re.findall(r"^([a-z][\w-]*):", self._read("Makefile"), re.MULTILINE))

    @cached_property
    def names(self) -> dict[Path, set[str]]:
        """What each Python file defines, at any depth."""
        return {path: set(_defined(ast.parse(path.read_text(encoding="utf-8")))) for path in self.python}

    @cached_property
    def settings(self) -> set[str]:
        """Fields of the configuration trees."""
        configs = [path for path in self.python if path.name in {"config.py", "settings.py"}]
        return {name for path in configs for name in self.names[path]}

    def has_path(self, path: str) -> bool:
        """Whether a path from the root is there; it may be a pattern."""
        return any(True for _ in self.root.glob(path.rstrip("/")))

    def has_file(self, name: str) -> bool:
        """Whether a file is there whose path ends so; it may be a pattern."""
        return name.rpartition("/")[2] in THEIRS or any(
            fnmatch(f"/{path.as_posix()}", f"*/{name}") for path in self.files
        )

    def has_section(self, page: Path, section: str) -> bool:
        """Whether a page has a heading of this anchor."""
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) if page.is_file() else []
        return section in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def has_dotted(self, parts: list[str]) -> bool:
        """Whether a room, a module or what one defines is there: `srpo.grading.Grader`, `policy.threads`."""
        if parts[0] in ("benchmarks", "tests", "scripts") and len(parts) > 1:
            return self.root.joinpath(*parts[:-1], f"{parts[-1]}.py").is_file()
        inner = parts[1:] if parts[0] == "srpo" else parts
        place = self.root / "src" / "srpo"
        while inner and (place / inner[0]).is_dir():
            place, inner = place / inner[0], inner[1:]
        if not inner:
            return True
        if (module := place / f"{inner[0]}.py").is_file() and (len(inner) == 1 or self._defines([module], inner[1])):
            return True
        if parts[0] == "srpo":
            return self._defines([place / "__init__.py"], inner[0])
        named_so = [path for path in self.python if parts[0] == path.stem or path == place / "__init__.py"]
        return self._defines(named_so, inner[0] if len(inner) < len(parts) else parts[1])

    def is_ours(self, name: str) -> bool:
        """Whether a dotted name that begins so is one of ours: a room or a module."""
        source = self.root / "src" / "srpo"
        return (source / name).is_dir() or any(path.stem == name and source in path.parents for path in self.python)

    def is_setting(self, parts: list[str]) -> bool:
        """Whether it is a place in a configuration: `budget.max_usd`."""
        return all(part in self.settings for part in parts)

    def _defines(self, paths: list[Path], name: str) -> bool:
        return any(name in self.names.get(path, ()) for path in paths)

    def _read(self, path: str) -> str:
        file = self.root / path
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)


def texts(repository: Repository) -> Iterator[Text]:
    """Everything that people read: docstrings, comments and messages of code; other files as they are."""
    for path in repository.files:
        place = path.relative_to(repository.root).as_posix()
        if path.suffix == ".py":
            yield from _of_python(place, path.read_text(encoding="utf-8"))
        elif (
            path.suffix in {".md", ".yaml", ".yml", ".toml"} or path.name == "Makefile"
        ) and "assets" not in path.parts:
            yield Text(place, 1, path.read_text(encoding="utf-8"))


def _of_python(place: str, code: str) -> Iterator[Text]:
    tree = ast.parse(code)
    shown = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        # What the package says to its users is text too; elsewhere texts may be made up.
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (node in shown or place.startswith("src/"))
        ):
            yield Text(place, node.lineno, cleandoc(node.value))
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield Text(place, token.start[0], token.string)


def _elsewhere(found: re.Match[str], _: Text, __: Repository) -> str:
    return f"{found[0]!r} points outside of the repository; cite docs/design.md or the paper"


def _rooted(found: re.Match[str], _: Text, repository: Repository) -> str:
    return "" if repository.has_path(found[0]) else f"there is no {found[0]}"


def _file(found: re.Match[str], _: Text, repository: Repository) -> str:
    fine = found[0].startswith(ROOMS) or repository.has_file(found[0])
    return "" if fine else f"there is no file {found[0]}"


def _link(found: re.Match[str], one: Text, repository: Repository) -> str:
    if "://" in found[1] or not one.place.endswith(".md"):
        return ""
    page = repository.root / one.place
    target, _, section = found[1].partition("#")
    aim = page.parent / target if target else page
    fine = aim.exists() and (not section or repository.has_section(aim, section))
    return "" if fine else f"the link {found[1]} leads nowhere"


def _section(found: re.Match[str], one: Text, repository: Repository) -> str:
    folders = (repository.root, (repository.root / one.place).parent)
    fine = any(repository.has_section(folder / found[1], found[2]) for folder in folders)
    return "" if fine else f"{found[1]} has no section #{found[2]}"


def _dotted(found: re.Match[str], _: Text, repository: Repository) -> str:
    return "" if repository.has_dotted(found[1].split(".")) else f"there is no {found[1]}"


def _short(found: re.Match[str], one: Text, repository: Repository) -> str:
    parts = found[1].split(".")
    theirs = parts[0] == "srpo" or parts[0] in THEIRS or parts[-1] in _SUFFIXES or not repository.is_ours(parts[0])
    return "" if theirs or repository.is_setting(parts) else _dotted(found, one, repository)


def _import(found: re.Match[str], _: Text, repository: Repository) -> str:
    absent = [name for name in found[2].split(", ") if not repository.has_dotted([*found[1].split("."), name])]
    return f"{found[1]} has no {', '.join(absent)}" if absent else ""


def _command(found: re.Match[str], _: Text, repository: Repository) -> str:
    absent = [name for name in re.split(r" ?\| ?", found[1]) if name not in repository.commands]
    return f"there is no command srpo {', '.join(absent)}" if absent else ""


def _target(found: re.Match[str], _: Text, repository: Repository) -> str:
    return "" if found[1] in repository.targets else f"there is no target {found[1]} in the Makefile"


Rule = Callable[[re.Match[str], Text, Repository], str]
RULES: tuple[tuple[str, Rule], ...] = (
    (r"\bDESIGN \d|\bnotes?, section|\bthe (?:issue|brief) (?:asks|says|wants)|\bissue #?\d", _elsewhere),
    (r"(?<![\w.])/(?:home|root|Users|work)/\w", _elsewhere),
    (rf"(?<![\w./-])(?:{'|'.join(map(re.escape, ROOMS))})/[\w./*-]*[\w*/](?![<{{\w])", _rooted),
    (r"(?<![\w./*-])(?:[\w-]+/)*[\w-]+\*?\.(?:py|md)\b", _file),
    (r"\]\(([^)\s]+)\)", _link),
    (r"(?<![\w/])((?:[\w-]+/)*[\w-]+\.md)#([\w-]+)", _section),
    (r"(?<![\w./-])(srpo(?:\.[A-Za-z_]\w*)+)", _dotted),
    (r"`([a-z_]+(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`", _short),
    (r"\bfrom (srpo[\w.]*) import (\w+(?:, \w+)*)", _import),
    (r"\bpython3? -m ((?:srpo|benchmarks|tests|scripts)\b[\w.]*)", _dotted),
    (r"(?m)(?:`|^ {4,})srpo ([a-z]\w*(?: ?\| ?[a-z]\w*)*)", _command),
    (r"(?m)(?:`|^ {4,})make ([a-z][\w-]*)", _target),
)
"""Where a name can be nothing else, and what is wrong with it if anything is."""


def missing(one: Text, repository: Repository) -> Iterator[str]:
    """What a text names and is not there, with file and line."""
    for pattern, rule in RULES:
        for found in re.finditer(pattern, one.text):
            if what := rule(found, one, repository):
                yield f"{one.place}:{one.line + one.text.count(chr(10), 0, found.start())}: {what}"


def complaints(root: Path) -> list[str]:
    """Everything that is named and is not there, with file and line."""
    repository = Repository(root)
    return [line for one in texts(repository) for line in missing(one, repository)]


def main() -> int:
    """Check this repository; return the exit code."""
    found = complaints(Path())
    print("\n".join(found) or "references: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
