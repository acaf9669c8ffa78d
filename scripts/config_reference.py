"""Write docs/config.md, every setting of every stage, from the docstrings of the configuration trees.

python scripts/config_reference.py            # writes the page; tests/docs says when that is due
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from srpo.cli.stage import StageOptions
from srpo.config.fields import Field, fields_of, limits_text, type_text
from srpo.config.help import default_text, render_doc
from srpo.eval.config import EvalConfig, ScoreConfig
from srpo.reflect.config import ReflectConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

PAGE = Path(__file__).parents[1] / "docs" / "config.md"
_TREES: dict[str, type[BaseModel]] = {
    "reflect": ReflectConfig,
    "sft": SftConfig,
    "rl": RlConfig,
    "eval": EvalConfig,
    "score": ScoreConfig,
}
_HEAD = """# Every setting

Written by `scripts/config_reference.py` from the docstrings that `srpo COMMAND --help` shows; a test holds it to them.
A setting is a field in the YAML file or a flag (`--optim.lr 1e-4`), and flags win. A tree that is `null` is off; naming
one of its fields switches it on.
"""


def reference() -> str:
    """The page."""
    shared = _shared()
    parts = [_HEAD, "## Flags of every stage\n", *_lines(StageOptions, shared)]
    for name, tree in _TREES.items():
        parts += [f"\n## srpo {name}\n", f"{render_doc(tree, width=10_000)}\n", *_lines(tree, shared)]
    for tree in shared:
        parts += [f"\n## {tree.__name__}\n", f"{render_doc(tree, width=10_000)}\n", *_lines(tree, shared)]
    return "\n".join(parts) + "\n"


def _shared() -> list[type[BaseModel]]:
    """Trees that stand in several places, which are told once."""
    places = Counter(field.model for tree in _TREES.values() for field in fields_of(tree) if field.model is not None)
    return sorted((tree for tree, count in places.items() if count > 1), key=lambda tree: tree.__name__)


def _lines(tree: type[BaseModel], shared: Sequence[type[BaseModel]]) -> Iterator[str]:
    skipped: tuple[str, ...] = ()
    for field in fields_of(tree):
        if field.path.startswith(skipped):
            continue
        told = _escaped(field.doc)
        if (below := field.model) is not None and below in shared:
            skipped = (*skipped, f"{field.path}.")
            own = field.default.model_dump(exclude_defaults=True) if isinstance(field.default, BaseModel) else {}
            told += f" Here `{default_text(own)}`." if own else ""
            told += f" See [{below.__name__}](#{below.__name__.lower()})."
        yield f"* `{field.positional or field.flags[0]}` ({_kind(field)})" + (f": {told.strip()}" if told else "")


def _escaped(text: str) -> str:
    """Names in angle brackets are text, which Markdown would take for tags and swallow."""
    return re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], text)


def _kind(field: Field) -> str:
    default = "required" if field.info.is_required() else f"default `{default_text(field.default)}`"
    if field.model is not None and not field.takes_text:
        return default if field.info.is_required() or field.default is None else "the fields below"
    kind = "text, or the fields below" if field.model is not None else type_text(field.info.annotation)
    limits = limits_text(field.info)
    return f"`{kind}{' ' + limits if limits else ''}`, {default}"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
