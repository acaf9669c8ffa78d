"""The fields of a configuration tree, flat: for help texts, flags and suggestions."""

import re
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from srpo.config.hints import did_you_mean, suggest

_LISTS = frozenset({tuple, list, Sequence})


@dataclass(frozen=True, slots=True)
class Positional:
    """Marks a field that a command line gives by its place: `Annotated[Path, Positional("RUN")]`.

    A field that holds a list takes all words. In a tree inside another tree the mark means nothing.
    """

    word: str
    """What usage texts call it."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """Marks a field whose flag is not its name: `Annotated[bool, Spelling("json")]`."""

    flag: str
    also: str = ""
    """Another flag that is understood."""


class Field(NamedTuple):
    """One field of a tree."""

    path: str
    """Dotted, from the root: `optim.lr`; `N` stands for the number of an item in a list."""
    info: FieldInfo
    default: Any
    """What holds when nothing is given; not meaningful when the field is required."""
    model: type[BaseModel] | None
    """The tree below, for a field that has fields of its own."""

    @property
    def doc(self) -> str:
        """The field's docstring as one line."""
        return " ".join((self.info.description or "").split())

    @property
    def flags(self) -> tuple[str, ...]:
        """What it is called on the command line; the first one is the way to write it."""
        head, dot, name = self.path.rpartition(".")
        mark = next((mark for mark in self.info.metadata if isinstance(mark, Spelling)), Spelling(name))
        return tuple(f"{head}{dot}{flag}" for flag in (mark.flag, mark.also) if flag)

    @property
    def positional(self) -> str:
        """The word that usage texts have for it; empty for fields that are given by flag."""
        marks = (mark.word for mark in self.info.metadata if isinstance(mark, Positional))
        return "" if "." in self.path else next(marks, "")

    @property
    def is_switch(self) -> bool:
        """True for fields that are on or off, which need no value on the command line."""
        return bool in (_members(self.info.annotation) or (self.info.annotation,))

    @property
    def is_list(self) -> bool:
        """True for fields that take several values."""
        annotation = self.info.annotation
        return any(get_origin(member) in _LISTS for member in (*_members(annotation), annotation))

    @property
    def is_mapping(self) -> bool:
        """True for fields whose keys the user chooses."""
        return get_origin(self.info.annotation) is dict

    @property
    def takes_text(self) -> bool:
        """True for fields that take a text as well as a tree."""
        return str in _members(self.info.annotation) or hasattr(self.model, "short_form")


def fields_of(cls: type[BaseModel], prefix: str = "", defaults: BaseModel | None = None) -> Iterator[Field]:
    """Yield all fields of a tree, each tree before the fields in it, in the order in which they are written."""
    for name, info in cls.model_fields.items():
        path = f"{prefix}{name}"
        if defaults is not None:
            default = getattr(defaults, name)
        else:
            default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
        model = model_of(info.annotation)
        yield Field(path, info, default, model)
        if model is not None:
            yield from fields_of(model, f"{path}.", default if isinstance(default, model) else None)
        elif (item := item_model_of(info.annotation)) is not None:
            yield from fields_of(item, f"{path}.N.")


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The tree that a field of this type holds, if it is one (or one or None, or one or a text that stands for it)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    members = [member for member in _members(annotation) if member not in {types.NoneType, str}]
    return model_of(members[0]) if len(members) == 1 else None


def item_model_of(annotation: Any) -> type[BaseModel] | None:
    """The tree that each item of a list of this type holds, if it is one."""
    is_list = get_origin(annotation) in _LISTS
    return model_of(get_args(annotation)[0]) if is_list and get_args(annotation) else None


def model_at(cls: type[BaseModel], keys: Sequence[str]) -> type[BaseModel] | None:
    """The tree to which the dotted path `keys` leads; None when it leads elsewhere."""
    model: type[BaseModel] | None = cls
    items: type[BaseModel] | None = None
    for key in keys:
        if items is not None and key.isdigit():
            model, items = items, None
        elif model is not None and key in model.model_fields:
            annotation = model.model_fields[key].annotation
            model, items = model_of(annotation), item_model_of(annotation)
        else:
            return None
    return model


def type_text(annotation: Any) -> str:
    """Write a type for people.

    >>> type_text(Literal["all", "right"]), type_text(int | None), type_text(tuple[str, ...])
    ('all|right', 'int|null', '[text, ...]')
    """
    if annotation is types.NoneType:
        return "null"
    if get_origin(annotation) is Literal:
        return "|".join(str(value) for value in get_args(annotation))
    if members := _members(annotation):
        return "|".join(type_text(member) for member in members)
    if get_origin(annotation) in {*_LISTS, set, frozenset}:
        items = ["..." if item is Ellipsis else type_text(item) for item in get_args(annotation)]
        return f"[{', '.join(items if get_origin(annotation) is tuple else [*items, '...'])}]"
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return f"{{{type_text(key)}: {type_text(value)}}}"
    names = {str: "text", bool: "true|false", Path: "path", float: "number"}
    return names.get(annotation) or str(getattr(annotation, "__name__", annotation))


def limits_text(info: FieldInfo) -> str:
    """Write a field's bounds, e.g. `>= 0, < 1`; empty when it has none."""
    signs = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
    return ", ".join(
        f"{sign} {getattr(limit, name)}" for limit in info.metadata for name, sign in signs if hasattr(limit, name)
    )


def unknown_text(name: str, here: Sequence[str], everywhere: Iterable[str]) -> str:
    """Say that there is no such field, and which one may be meant.

    Args:
        name: What was given.
        here: The names that may stand there.
        everywhere: Dotted paths of all fields; those that end in `name` may be meant when nothing here is alike.
    """
    elsewhere = [path for path in everywhere if path.rpartition(".")[2] == name]
    listed = f" (fields here: {', '.join(here)})" if here else ""
    hint = suggest(name.replace("-", "_"), here, before="; ") or did_you_mean(elsewhere, before="; ")
    return f"unknown field{hint or listed}"


def first_sentence(text: str) -> str:
    """Everything up to the first full stop that ends a sentence."""
    return re.split(r"(?<=\.)(?<!e\.g\.)\s", text, maxsplit=1)[0]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, without what is annotated to them."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    members = get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else ()
    return tuple(get_args(member)[0] if get_origin(member) is Annotated else member for member in members)
