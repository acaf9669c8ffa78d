"""Files under 400 lines, functions under 60: what is longer is hard to hold in the head."""

import ast
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
ROOMS = ("src", "tests", "benchmarks", "scripts", "recipes", ".ci")


def too_long(path: Path) -> list[str]:
    """Name what is too long in one file; docstrings do not count, they are the reference."""
    text = path.read_text(encoding="utf-8")
    complaints = []
    if (num_lines := text.count("\n")) > MAX_FILE_LINES:
        complaints.append(f"{path}: {num_lines} lines, at most {MAX_FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = _lines(node.body[0]) if ast.get_docstring(node) else 0
            if (num_lines := _lines(node) - docstring) > MAX_FUNCTION_LINES:
                complaints.append(
                    f"{path}:{node.lineno}: {node.name} has {num_lines} lines, at most {MAX_FUNCTION_LINES}"
                )
    return complaints


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    """Check all code; return the exit code."""
    paths = [path for room in ROOMS for path in sorted(Path(room).rglob("*.py"))]
    complaints = [line for path in paths for line in too_long(path)]
    print("\n".join(complaints) or "sizes: fine")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
