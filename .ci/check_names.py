"""One word for one thing: no public name has two meanings, but for those that AGENTS.md lists, five at most."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_LISTED = 5
_LISTED = re.compile(r"^Names with two meanings: (.*?)\.$", re.MULTILINE | re.DOTALL)


def public_names(path: Path) -> Iterator[str]:
    """Functions, classes and constants that a module defines for others."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found = [name]
            case ast.Assign(targets=targets):
                found = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case _:
                continue
        yield from (name for name in found if not name.startswith("_"))


def listed_names(page: str) -> list[str]:
    """The names that AGENTS.md admits."""
    found = _LISTED.search(page)
    return re.findall(r"`(\w+)`", found[1]) if found else []


def main() -> int:
    """Check the source; return the exit code."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(Path("src").rglob("*.py")):
        for name in public_names(path):
            places[name].append(str(path))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    listed = listed_names(Path("AGENTS.md").read_text(encoding="utf-8"))
    complaints = [f"{name} is defined in {', '.join(where)}" for name, where in twice.items() if name not in listed]
    complaints += [f"AGENTS.md lists {name!r}, which has one meaning" for name in listed if name not in twice]
    if len(listed) > MAX_LISTED:
        complaints.append(f"AGENTS.md lists {len(listed)} names with two meanings, at most {MAX_LISTED}")
    print("\n".join(complaints) or "names: fine")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
