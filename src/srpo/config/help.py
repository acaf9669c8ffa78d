"""The help text of a stage: every field with its type, default and docstring, straight from the tree."""

import shutil
import textwrap
from typing import Any

from pydantic import BaseModel

from srpo.config.fields import Field, fields_of, limits_text, type_text
from srpo.config.nodes import dump_yaml


def render_fields(cls: type[BaseModel], *, width: int | None = None) -> str:
    """List all fields of a tree as flags, for `--help`."""
    width = min(width or shutil.get_terminal_size().columns, 100)
    return "\n".join(_render(field, width) for field in fields_of(cls))


def _render(field: Field, width: int) -> str:
    doc = textwrap.indent(textwrap.fill(field.doc, width - 8), " " * 8) if field.doc else ""
    if field.model is not None and not field.takes_text:
        optional = "" if field.info.is_required() or field.default is not None else "  (default: null, which is off)"
        required = "  (required)" if field.info.is_required() else ""
        return "\n".join(line for line in (f"  {field.path}:{required}{optional}", doc) if line)
    limits = limits_text(field.info)
    kind = "text, or the fields below" if field.model is not None else type_text(field.info.annotation)
    kind += f" {limits}" if limits else ""
    default = "required" if field.info.is_required() else f"default: {_default_text(field.default)}"
    head = f"  --{field.path} {kind}  ({default})"
    if len(head) > width:
        head = f"  --{field.path}  ({default})\n" + textwrap.indent(textwrap.fill(f"one of {kind}", width - 8), " " * 8)
    return "\n".join(line for line in (head, doc) if line)


def _default_text(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return f"[{', '.join(map(_default_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool | int):
        return str(value).lower() if value is not None else "null"
    if isinstance(value, str):
        return value or "''"
    return dump_yaml(value).strip() if isinstance(value, dict) else str(value)
