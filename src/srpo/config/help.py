"""Help texts: every field with its type, default and docstring, straight from the tree."""

import inspect
import shutil
import textwrap
from typing import Any

from pydantic import BaseModel

from srpo.config.fields import Field, fields_of, limits_text, type_text
from srpo.config.nodes import dump_yaml


def render_fields(cls: type[BaseModel], *, width: int | None = None) -> str:
    """List all fields of a tree for `--help`: what is given by its place, then the flags."""
    fields = sorted(fields_of(cls), key=lambda field: not field.positional)
    return "\n".join(_render(field, _width(width)) for field in fields)


def render_doc(cls: type[BaseModel], *, width: int | None = None) -> str:
    """The docstring of a tree, its paragraphs filled."""
    paragraphs = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(text.split()), _width(width)) for text in paragraphs)


def usage_line(program: str, cls: type[BaseModel]) -> str:
    """How a command is called: what is given by its place, the flags that it needs, and that there are others."""
    words = [_usage_word(field) for field in fields_of(cls) if field.positional]
    needed = (field for field in fields_of(cls) if field.info.is_required() and "." not in field.path)
    words += [f"--{field.path} ..." for field in needed if not field.positional]
    return " ".join(["usage:", program, *words, "[--field value ...]"])


def _usage_word(field: Field) -> str:
    word = f"{field.positional}..." if field.is_list else field.positional
    return word if field.info.is_required() else f"[{word}]"


def _width(wanted: int | None) -> int:
    return min(wanted or shutil.get_terminal_size().columns, 100)


def _render(field: Field, width: int) -> str:
    doc = textwrap.indent(textwrap.fill(field.doc, width - 8), " " * 8) if field.doc else ""
    if field.model is not None and not field.takes_text:
        optional = "" if field.info.is_required() or field.default is not None else "  (default: null, which is off)"
        required = "  (required)" if field.info.is_required() else ""
        return "\n".join(line for line in (f"  {field.path}:{required}{optional}", doc) if line)
    limits = limits_text(field.info)
    short_form = getattr(field.model, "short_form", "text")
    kind = f"{short_form}, or the fields below" if field.model is not None else type_text(field.info.annotation)
    kind += f" {limits}" if limits else ""
    default = "required" if field.info.is_required() else f"default: {default_text(field.default)}"
    flag, *others = field.flags
    default += "".join(f"; also --{other}" for other in others)
    name = field.positional or f"--{flag}"
    head = f"  {name} {kind}  ({default})"
    if len(head) > width:
        kinds = textwrap.fill(f"one of {kind.replace('|', ' | ')}", width - 8, break_on_hyphens=False)
        head = f"  {name}  ({default})\n" + textwrap.indent(kinds, " " * 8)
    return "\n".join(line for line in (head, doc) if line)


def default_text(value: Any) -> str:
    """A default as it is written in YAML, in one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return f"[{', '.join(map(default_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool | int):
        return str(value).lower() if value is not None else "null"
    if isinstance(value, str):
        return value or "''"
    return dump_yaml(value).strip() if isinstance(value, dict) else str(value)
