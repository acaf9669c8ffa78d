"""Settings from the command line: `--a.b value`, `--a.b=value`, `--switch`, `--no-switch`.

Dashes and underscores are the same. A value is read as YAML (`1e-4`, `null`, `[a, b]`); where a text is wanted it is
taken as it stands. Items of a list are reached by number: `--sources.0.path x`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pydantic import BaseModel

from srpo.config.fields import Field, fields_of
from srpo.config.nodes import ConfigError, Node, parse_yaml


class Flag(NamedTuple):
    """One setting."""

    keys: tuple[str, ...]
    node: Node


class Arguments(NamedTuple):
    """A command line, taken apart."""

    positionals: list[str]
    flags: list[Flag]
    flag_tokens: list[str]
    """The words without the positionals."""


def parse_arguments(cls: type[BaseModel], tokens: Sequence[str]) -> Arguments:
    """Take a command line apart; the tree `cls` says which flags are switches.

    Raises:
        ConfigError: a flag has no value.
    """
    fields = {field.path: field for field in fields_of(cls)}
    positionals: list[str] = []
    flags: list[Flag] = []
    flag_tokens: list[str] = []
    rest = iter(enumerate(tokens))
    for index, token in rest:
        if not token.startswith("--"):
            positionals.append(token)
            continue
        flag_tokens.append(token)
        name, equals, value = token.partition("=")
        path = _path(name, fields)
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if not equals:
            switched = _switch(path, following, fields)
            if switched is not None:
                path, value = switched
            elif following is None or following.startswith("--"):
                raise ConfigError(f"{name}: needs a value")
            else:
                value = following
                flag_tokens.append(value)
                next(rest)
        flags.append(Flag(tuple(path.split(".")), _value_node(value, name)))
    return Arguments(positionals, flags, flag_tokens)


def put(root: Node, flag: Flag) -> Node:
    """Return the tree with one more setting.

    Raises:
        ConfigError: the flag goes through something that has no fields.
    """
    return _put(root, flag.keys, flag.node)


def _put(node: Node, keys: Sequence[str], new: Node) -> Node:
    if not keys:
        return new
    key, rest = keys[0], keys[1:]
    if isinstance(node.value, list) and key.isdigit() and int(key) < len(node.value):
        items = list(node.value)
        items[int(key)] = _put(items[int(key)], rest, new)
        return replace(node, value=items)
    if node.value is None or isinstance(node.value, dict):
        mapping = dict(node.value or {})
        mapping[key] = _put(mapping.get(key, Node(value=None, place=new.place, key_place=new.place)), rest, new)
        return replace(node, value=mapping)
    what = f"a list of {len(node.value)}" if isinstance(node.value, list) else f"{node.value!r}, which has no fields"
    raise ConfigError(f"{new.place}: cannot set {key!r} in what {node.place} gives as {what}")


def _path(name: str, fields: dict[str, Field]) -> str:
    path = name.removeprefix("--")
    return path if path in fields else path.replace("-", "_")


def _switch(path: str, following: str | None, fields: dict[str, Field]) -> tuple[str, str] | None:
    """The path and value of a switch that stands without a value; None when it is something else."""
    if path in fields:
        has_value = following is not None and following.lower() in {"true", "false", "null", "yes", "no", "on", "off"}
        return (path, "true") if fields[path].is_switch and not has_value else None
    head, dot, leaf = path.rpartition(".")
    for opposite in (f"{head}{dot}{leaf.removeprefix('no_')}", path.removeprefix("no_")):
        if opposite != path and opposite in fields and fields[opposite].is_switch:
            return opposite, "false"
    return None


def _value_node(text: str, place: str) -> Node:
    literal = Node(value=text, place=place, key_place=place)
    try:
        node = parse_yaml(text, place, place=place)
    except ConfigError:
        return literal
    # An empty value, a comment, `a: b`, a text with a comment behind it: somebody's text, not YAML.
    is_text = (
        node is None
        or (isinstance(node.value, dict) and not text.lstrip().startswith("{"))
        or (isinstance(node.value, str) and not text.startswith(("'", '"')))
        or (node.raw is not None and node.raw != text)
    )
    return literal if node is None or is_text else replace(node, key_place=place)
