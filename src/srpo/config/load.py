"""Fill a frozen configuration tree from a YAML file and flags, and say exactly what is wrong with it.

    sft.yaml: 2 problems
      sft.yaml:3:3: optim.leraning_rate: unknown field; fields here: name, lr, muon_lr, ...
      sft.yaml:7:13: batch_size: 0 is not allowed: should be greater than or equal to 1

Flags beat the file, the file beats the defaults. Where only some fields of a tree inside the tree are given, the others
keep the values of that tree's own default (`optim: {lr: 1e-5}` changes the learning rate of the stage's default
optimizer and nothing else). Relative paths count from the current directory, wherever the file is.

A tree inside the tree may be the name of a YAML file that holds it (`judge: judge.yaml`).

Why not tyro: a parser generated from the tree knows neither places in a file nor trees that are filled from two
sources; with both written here, it would only be left to print the help, which `config/help.py` does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from srpo.config.fields import fields_of, first_sentence, model_at, model_of, unknown_text
from srpo.config.flags import Flag, parse_arguments, put
from srpo.config.hints import suggest
from srpo.config.nodes import COMMAND_LINE, ConfigError, Node, dump_yaml, problems_text, read_yaml

__all__ = ["ConfigError", "fill_config", "load_config", "to_yaml"]

_T = TypeVar("_T", bound=BaseModel)


class _Problem(NamedTuple):
    place: str
    field: str
    text: str


def load_config(cls: type[_T], path: Path | None, overrides: Sequence[str] = ()) -> _T:
    """Fill `cls` from a file and flags.

    Args:
        cls: A frozen pydantic tree that forbids unknown fields.
        path: YAML file; None when everything comes from flags and defaults.
        overrides: `--a.b value`, `--a.b=value`, `--switch`, `--no_switch` or words of positional fields.

    Raises:
        ConfigError: everything that is wrong, each with its place, field, value and what is allowed there.
    """
    (flags,) = parse_arguments(overrides, cls)
    return fill_config(cls, path, flags)


def fill_config(cls: type[_T], path: Path | None, flags: Sequence[Flag]) -> _T:
    """As `load_config`, from a command line that was taken apart before."""
    root = read_yaml(path) if path is not None else Node(value={}, place=COMMAND_LINE)
    for flag in flags:
        root = put(root, _spelled_out(cls, flag))
    while True:
        try:
            return cls.model_validate(_with_defaults(cls, root.plain))
        except ValidationError as error:
            details = error.errors(include_url=False)
            mended = _mend(root, details)
            if mended is root:
                raise ConfigError(_message(cls, root, details, path)) from None
            root = mended


def _spelled_out(cls: type[BaseModel], flag: Flag) -> Flag:
    """`--engine verl` as `--engine.kind verl`, which leaves what the file says of an engine's other fields."""
    named_by = getattr(model_at(cls, flag.keys), "named_by", None)
    return flag._replace(keys=(*flag.keys, named_by)) if named_by and isinstance(flag.node.value, str) else flag


def to_yaml(config: BaseModel) -> str:
    """Write a configuration as YAML that `load_config` reads back to an equal one."""
    return dump_yaml(config.model_dump(mode="json"))


def _with_defaults(cls: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(given)
    for name, info in cls.model_fields.items():
        model = model_of(info.annotation)
        if model is None or not isinstance(given.get(name), dict):
            continue
        default = info.get_default(call_default_factory=True, validated_data={})
        inner = given[name]
        if isinstance(default, model):
            inner = _merge(default.model_dump(exclude_unset=True), inner)
        filled[name] = _with_defaults(model, inner)
    return filled


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merged[name] = _merge(base[name], value)
    return merged


def _find(root: Node, location: Sequence[int | str]) -> tuple[Node, list[int | str]]:
    """The deepest node on the way to `location`, and the way to it (pydantic also names union members: skipped)."""
    node, way = root, list[int | str]()
    for part in location:
        if isinstance(node.value, dict) and part in node.value:
            node = node.value[str(part)]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            continue
        way.append(part)
    return node, way


def _mend(root: Node, details: Sequence[ErrorDetails]) -> Node:
    """Take numbers as texts where texts are wanted, one flag's value as a list of one where a list is wanted, and the
    name of a YAML file as the tree in it.
    """
    for detail in details:
        node, way = _find(root, detail["loc"])
        is_flag_scalar = node.place.startswith("--") and isinstance(node.value, str | int | float)
        if detail["type"] in {"string_type", "path_type"} and node.raw is not None:
            root = _replaced(root, way, replace(node, value=node.raw, raw=None))
        elif detail["type"] in {"tuple_type", "list_type", "set_type"} and is_flag_scalar:
            root = _replaced(root, way, replace(node, value=[node], raw=None))
        elif detail["type"] == "model_type" and isinstance(node.value, str) and node.value.endswith((".yaml", ".yml")):
            root = _replaced(root, way, replace(read_yaml(Path(node.value)), key_place=node.key_place))
    return root


def _replaced(node: Node, way: Sequence[int | str], new: Node) -> Node:
    if not way:
        return new
    if isinstance(node.value, dict):
        key = str(way[0])
        return replace(node, value={**node.value, key: _replaced(node.value[key], way[1:], new)})
    assert isinstance(node.value, list)
    items = list(node.value)
    items[int(way[0])] = _replaced(items[int(way[0])], way[1:], new)
    return replace(node, value=items)


def _message(cls: type[BaseModel], root: Node, details: Sequence[ErrorDetails], path: Path | None) -> str:
    problems: dict[tuple[str, str], list[str]] = {}
    for detail in details:
        problem = _problem(cls, root, detail)
        problems.setdefault((problem.place, problem.field), []).append(problem.text)
    # Members of a union complain one by one about the same value.
    lines = [
        ": ".join(
            part for part in (place, "" if _names(place, field) else field, " or ".join(dict.fromkeys(texts))) if part
        )
        for (place, field), texts in sorted(problems.items(), key=lambda item: _order(item[0][0]))
    ]
    return problems_text(str(path or "configuration"), lines)


def _names(place: str, field: str) -> bool:
    """Whether the place is a flag that says which field it is."""
    return place.removeprefix("--").replace("-", "_") == field


def _order(place: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in place.split(":")]


def _problem(cls: type[BaseModel], root: Node, detail: ErrorDetails) -> _Problem:
    node, way = _find(root, detail["loc"])
    dotted = ".".join(map(str, way))
    match detail["type"]:
        case "extra_forbidden":
            return _Problem(node.key_place or node.place, dotted, _unknown(cls, way))
        case "missing":
            return _missing(cls, node, way, str(detail["loc"][-1]))
        case "value_error":
            what = detail["msg"].removeprefix("Value error, ")
            if isinstance(node.value, dict) or node is root:
                return _Problem(node.key_place or node.place, dotted, what)
        case _:
            what = detail["msg"].removeprefix("Input ")
    return _Problem(node.place, dotted, f"{node.plain!r:.80} is not allowed: {what}{_meant_value(node, detail)}")


def _missing(cls: type[BaseModel], node: Node, way: Sequence[int | str], name: str) -> _Problem:
    dotted = ".".join([*map(str, way), name])
    field = next((one for one in fields_of(cls) if one.path == re.sub(r"\.\d+\.", ".N.", dotted)), None)
    if field is not None and node.place == COMMAND_LINE:
        dotted = field.positional or f"--{field.flags[0]}"
    doc = first_sentence(field.doc) if field is not None else ""
    return _Problem(node.place, dotted, f"is missing, and it has no default. {doc}".strip())


def _unknown(cls: type[BaseModel], way: Sequence[int | str]) -> str:
    keys = [str(part) for part in way]
    model = model_at(cls, keys[:-1])
    return unknown_text(keys[-1], list(model.model_fields) if model else [], (field.path for field in fields_of(cls)))


def _meant_value(node: Node, detail: ErrorDetails) -> str:
    if detail["type"] != "literal_error" or not isinstance(node.value, str):
        return ""
    allowed = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    return suggest(node.value, allowed, before="; ")
