"""Files under 400 lines, functions under 60: what is longer is hard to hold in the head."""

import ast
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def too_long(path: Path) -> list[str]:
    """Name what is too long in one file; docstrings do not count, they are the reference."""
    text = path.read_text(encoding="utf-8")
    complaints = []
    if (num_lines := text.count("\n")) > MAX_FILE_LINES:
        complaints.append(f"{path}: {num_lines} lines, at most {MAX_FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = (ast.get_docstring(node) and first.end_lineno - first.lineno + 1) or 0
            if (num_lines := node.end_lineno - node.lineno + 1 - docstring) > MAX_FUNCTION_LINES:
                complaints.append(
                    f"{path}:{node.lineno}: {node.name} has {num_lines} lines, at most {MAX_FUNCTION_LINES}"
                )
    return complaints


def main() -> int:
    """Check everything under src; return the exit code."""
    complaints = [line for path in sorted(Path("src").rglob("*.py")) for line in too_long(path)]
    print("\n".join(complaints) or "sizes: fine")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
