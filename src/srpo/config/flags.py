"""The words of a command line: `--a.b value`, `--a.b=value`, `--switch`, `--no_switch`, and what is given by its place.

Dashes and underscores are the same in names. A value is read as YAML (`1e-4`, `null`, `[a, b]`); where a text is wanted
it is taken as it stands. A list may be given by several words, `--names a b`, or by the flag several times; as long as
a positional argument has no word yet, a flag takes one word only. Items of a list of trees are reached by number:
`--sources.0.path x`. Everything behind `--` is positional.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pydantic import BaseModel

from srpo.config.fields import Field, fields_of, unknown_text
from srpo.config.nodes import COMMAND_LINE, ConfigError, Node, parse_yaml, problems_text


class Flag(NamedTuple):
    """One setting."""

    keys: tuple[str, ...]
    node: Node


def parse_arguments(words: Sequence[str], *classes: type[BaseModel]) -> list[list[Flag]]:
    """Take a command line apart: the settings of each tree, what is given by its place among them.

    Args:
        words: The command line.
        classes: The trees that are filled; no two of them have a field of the same name.

    Raises:
        ConfigError: a flag is unknown or has no value, or there is a word too many.
    """
    flags = _Parser([field for cls in classes for field in fields_of(cls)]).parse(words)
    return [[flag for flag in flags if flag.keys[0] in cls.model_fields] for cls in classes]


class _Parser:
    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = {flag: field for field in fields for flag in field.flags}
        self._heads = list(dict.fromkeys(flag.partition(".")[0] for flag in self._fields))
        self._open = deque(field for field in fields if field.positional)
        """Fields that take the next words without a flag."""
        self._stray = "is one argument too many" if self._open else "is not a flag"
        self._given: dict[str, Node] = {}
        """By path, in the order of the command line."""
        self._unknown: list[str] = []

    def parse(self, words: Sequence[str]) -> list[Flag]:
        rest = deque(words)
        while rest:
            word = rest.popleft()
            if word == "--":
                while rest:
                    self._take_word(rest.popleft())
            elif word.startswith("--"):
                self._take_flag(word, rest)
            elif re.match(r"-[^\W\d]", word):
                raise ConfigError(f"{word!r} is not a flag; settings look like --field value")
            else:
                self._take_word(word)
        if self._unknown:
            raise ConfigError(problems_text(COMMAND_LINE, self._unknown))
        return [Flag(tuple(path.split(".")), node) for path, node in self._given.items()]

    def _take_word(self, word: str) -> None:
        if not self._open:
            raise ConfigError(f"{word!r} {self._stray}; settings look like --field value")
        field = self._open[0]
        node = Node(value=word, place=field.positional, key_place=field.positional)
        if field.is_list:
            self._set(field, field.path, replace(node, value=[node]))
        else:
            self._set(field, self._open.popleft().path, node)

    def _take_flag(self, word: str, rest: deque[str]) -> None:
        name, equals, value = word.partition("=")
        path = self._path(name.removeprefix("--"))
        switched = None if equals else self._switch(path, rest[0] if rest else "")
        if switched is not None:
            path, value = switched
        field = self._field(path)
        values = [value] if equals or switched else self._values(field, rest)
        head = path.partition(".")[0]
        if head not in self._heads:
            self._unknown.append(f"{name}: {unknown_text(head, self._heads, self._fields)}")
        elif not values:
            raise ConfigError(f"{name}: needs a value")
        else:
            for one in values:
                self._set(field, field.path if field and path in field.flags else path, _value_node(one, name))

    def _set(self, field: Field | None, path: str, node: Node) -> None:
        earlier = self._given.pop(path, None)
        if field is not None and field.is_list and earlier is not None:
            node = replace(node, value=[*_items(earlier), *_items(node)], raw=None)
        self._given[path] = node

    def _values(self, field: Field | None, rest: deque[str]) -> list[str]:
        """The words that belong to a flag."""
        several = field is not None and field.is_list and all(field.path in self._given for field in self._open)
        words: list[str] = []
        while rest and not rest[0].startswith("--") and (several or not words):
            words.append(rest.popleft())
        return words

    def _field(self, path: str) -> Field | None:
        return self._fields.get(re.sub(r"\.\d+(?=\.|$)", ".N", path))

    def _path(self, name: str) -> str:
        """The name with underscores; keys of a mapping stay as they are written."""
        parts: list[str] = []
        inside = False
        for part in name.split("."):
            field = self._field(".".join(parts))
            inside = inside or (field is not None and field.is_mapping)
            parts.append(part if inside else part.replace("-", "_"))
        return ".".join(parts)

    def _switch(self, path: str, following: str) -> tuple[str, str] | None:
        """The path and value of a switch that stands without a value; None when it is something else."""
        field = self._field(path)
        if field is not None:
            has_value = following.lower() in {"true", "false", "null", "yes", "no", "on", "off"}
            return (path, "true") if field.is_switch and not has_value else None
        head, dot, leaf = path.rpartition(".")
        for opposite in (f"{head}{dot}{leaf.removeprefix('no_')}", path.removeprefix("no_")):
            field = self._field(opposite)
            if opposite != path and field is not None and field.is_switch:
                return opposite, "false"
        return None


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


def _items(node: Node) -> list[Node]:
    return node.value if isinstance(node.value, list) else [node]


def _value_node(text: str, place: str) -> Node:
    literal = Node(value=text, place=place, key_place=place)
    try:
        node = parse_yaml(text, place, place=place)
    except ConfigError:
        return literal
    # An empty value, a comment, `a: b`, `-`, a text with a comment behind it: somebody's text, not YAML.
    is_text = (
        node is None
        or (isinstance(node.value, dict | list) and not text.lstrip().startswith(("{", "[")))
        or (isinstance(node.value, str) and not text.startswith(("'", '"')))
        or (node.raw is not None and node.raw != text)
    )
    return literal if node is None or is_text else replace(node, key_place=place)
