"""A results file that several runs add their parts to."""

import json
from pathlib import Path
from typing import Any

from srpo.runs.files import write_atomic
from srpo.runs.provenance import provenance


def keep(path: Path | None, part: str, result: dict[str, Any]) -> None:
    """Put the result of one part, and what made it, in place of an older one; None keeps nothing."""
    if path is None:
        return
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made = provenance()
    kept[part] = {"commit": made.commit, "system": made.system, "python": made.python, **result}
    write_atomic(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
