"""Settings as verl's command line takes them: Hydra's overrides."""

from collections.abc import Iterable, Mapping, Sequence

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
Settings = Mapping[str, Value]
"""Dotted names, and what they are set to; a `+` before a name adds what verl's own files do not have."""


def overrides(*parts: Settings) -> tuple[str, ...]:
    r"""All settings as words of a command line; no name may come twice.

    >>> overrides({"data.shuffle": True, "trainer.logger": ["console", "file"]}, {"+data.note": "it's"})
    ('data.shuffle=true', "trainer.logger=['console','file']", "+data.note='it\\'s'")
    """
    names = [name for part in parts for name in part]
    assert len(set(names)) == len(names), f"twice: {sorted(name for name in names if names.count(name) > 1)}"
    return tuple(f"{name}={written(value)}" for part in parts for name, value in part.items())


def written(value: Value) -> str:
    """A value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _quoted(value)
        case Mapping():
            return "{" + ",".join(f"{name}:{written(inner)}" for name, inner in value.items()) + "}"
        case _:
            return "[" + ",".join(map(written, value)) + "]"


def _quoted(text: str) -> str:
    # A backslash counts before a quote alone, and the closing one is such.
    body = text.replace("\\'", "\\\\'").replace("'", "\\'")
    return "'" + body + ("\\" if body.endswith("\\") else "") + "'"


def names(words: Iterable[str]) -> list[str]:
    """The names that overrides set, without marks."""
    return [word.partition("=")[0].lstrip("+~") for word in words]
