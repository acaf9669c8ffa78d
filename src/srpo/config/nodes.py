"""Configuration values that remember where they were written.

YAML is read with the rules of YAML 1.2 (its core schema), not with PyYAML's 1.1: `1e-4` is a number, `no`, `on` and
`2026-11-22` are texts. Keys that stand twice in one mapping are errors.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LONGEST_FILE = 4 << 20
"""Bytes of a configuration, as it is written and with its aliases written out: nine levels of nine make gigabytes."""
_NODE_BYTES = 100
"""Of a value beside its text."""
COMMAND_LINE = "command line"
"""The place of what no flag gave."""


class ConfigError(ValueError):
    """What is wrong with a configuration: one line for each problem, with its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value of a configuration."""

    value: "dict[str, Node] | list[Node] | str | float | bool | None"
    place: str
    """Where the value stands: `file:line:column`, or the flag."""
    key_place: str = ""
    """Where its key stands."""
    raw: str | None = None
    """How a number or truth value was spelt, for fields that want a text; None for everything else."""

    @property
    def plain(self) -> Any:
        """The value as plain lists, dictionaries and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value


# YAML 1.2.2, section 10.3.2; the second entry are the characters that such a scalar can start with.
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own attribute: without 1.1's rules


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write equal values out each time; aliases confuse readers."""
        return True


for _tag, _pattern, _first in _CORE_SCHEMA:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def read_yaml(path: Path) -> Node:
    """Read a file whose top level is a mapping.

    Raises:
        ConfigError: it cannot be read, is not YAML, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise ConfigError(f"{path}: longer than {LONGEST_FILE:,} bytes")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    node = parse_yaml(text, str(path)) or Node(value={}, place=f"{path}:1:1")
    if not isinstance(node.value, dict):
        raise ConfigError(f"{node.place}: the top level must be `field: value` lines, not {node.plain!r:.60}")
    return node


def parse_yaml(text: str, name: str, *, place: str | None = None) -> Node | None:
    """Parse one YAML document; None when it is empty.

    Args:
        text: The document.
        name: File name for messages.
        place: What to give as the place of every value instead of `name:line:column` (the flag that it came from).

    Raises:
        ConfigError: not YAML, or a key stands twice.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        return None if root is None else _Converter(name, place).convert(root, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = place or (f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}: not valid YAML: {what}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{place or name}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{place or name}: not valid YAML: nested too deeply") from error


def problems_text(name: str, lines: Sequence[str]) -> str:
    """One problem as it is, several below a line that counts them."""
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{name}: {len(lines)} problems", *lines])


def dump_yaml(tree: Any) -> str:
    """Write plain lists, dictionaries and scalars so that `parse_yaml` reads the same values back."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Converter:
    def __init__(self, name: str, place: str | None) -> None:
        self._name, self._place = name, place
        self._open: list[yaml.Node] = []
        self._num_bytes = 0

    def convert(self, node: yaml.Node, key_place: str) -> Node:
        place = self._where(node)
        self._num_bytes += _NODE_BYTES + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self._num_bytes > LONGEST_FILE:
            raise ConfigError(f"{place}: more than {LONGEST_FILE:,} bytes with its aliases written out")
        if any(node is outer for outer in self._open):
            raise ConfigError(f"{place}: an alias inside of what it stands for")
        if isinstance(node, yaml.ScalarNode):
            scalar = _scalar(node.tag, node.value, place)
            raw = node.value if isinstance(scalar, bool | int | float) and node.style is None else None
            return Node(value=scalar, place=place, key_place=key_place, raw=raw)
        self._open.append(node)
        try:
            value = self._mapping(node) if isinstance(node, yaml.MappingNode) else self._sequence(node)
        finally:
            self._open.pop()
        return Node(value=value, place=place, key_place=key_place)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key_place = self._where(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{key_place}: a field name must be a plain text")
            key = key_node.value
            if key in mapping:
                raise ConfigError(f"{key_place}: {key!r} stands twice; the first one is at {mapping[key].key_place}")
            mapping[key] = self.convert(value_node, key_place)
        return mapping

    def _sequence(self, node: yaml.Node) -> list[Node]:
        return [self.convert(item, "") for item in node.value]

    def _where(self, node: yaml.Node) -> str:
        return self._place or f"{self._name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _scalar(tag: str, text: str, place: str) -> str | float | bool | None:
    # PyYAML's own constructors would read 010 as 8 and 1:30 as 90, which is YAML 1.1 again.
    try:
        match tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise ConfigError(f"{place}: {text!r} does not fit its tag {tag!r}") from error
    raise ConfigError(f"{place}: tag {tag!r} is not allowed in a configuration")
