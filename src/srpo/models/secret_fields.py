"""Fields and addresses that hold a key: a config names a variable of the environment there, `$NAME`, never the key.

    base_url: https://gateway.example/v1?api-key=$GATEWAY_KEY
    extra_body: {user_token: $USER_TOKEN}

Configs are copied into run directories, reports and messages. The variable's value goes into the request alone.
"""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import JsonValue

from srpo.runs.secrets import keep_secret

_SECRET_NAME = re.compile(
    r"key|token|(?:.*[-_])?(?:api|access|secret|subscription|private|auth)[-_]?key"
    r"|(?:.*[-_])?(?:api|access|auth|bearer|id|user|session|refresh|hf)[-_]?token"
    r"|(?:.*[-_])?(?:secret|passw(?:or)?d|pwd|credentials?|authori[sz]ation|sig|signature|cookie)",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"(?:\b(?:sk|rk|pk|gsk|hf|nvapi|xai|pplx|r8|ghp|glpat|tgp|fw|csk)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{16,}\.|(?i:\bbearer\s+\S))"
)
"""How the keys of vendors begin."""
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_SIGN_IN = re.compile(r"(?:\w+://)?[^/?#]*@")
"""An address with a name or password in front of the host."""


def check_no_key(value: JsonValue, place: str) -> None:
    """Raise ValueError, with the place and not the value, where a field holds a key."""
    for path, name, text in _texts(value, place, ""):
        if _holds_key(name, text):
            raise ValueError(
                f"{path} holds a key, which would end up in the run; export it and write $NAME in its place"
            )


def check_address(url: str, place: str) -> None:
    """Raise ValueError, without the address, where one holds a password or a key."""
    if _SIGN_IN.match(url):
        raise ValueError(f"{place} holds a name or password, which would end up in the run; use api_key_env")
    if _KEY.search(url) or any(_holds_key(name, text) for name, text in parse_qsl(urlsplit(url).query)):
        raise ValueError(
            f"{place} holds a key, which would end up in the run; use api_key_env, or export the key and write $NAME "
            "in its place"
        )


def filled(fields: Mapping[str, JsonValue], place: str) -> dict[str, JsonValue]:
    """Fields with the values of the variables that they name; what is no key stays as it is.

    Raises:
        ValueError: a variable is not there.
    """
    return {name: _filled(name, value, f"{place}.{name}") for name, value in fields.items()}


def filled_address(url: str, place: str) -> str:
    """An address with the values of the variables that its query names; raises ValueError as `filled` does."""
    parts = urlsplit(url)
    if not parts.query:
        return url
    fields = [_filled_in_query(field, place) for field in parts.query.split("&")]
    return parts._replace(query="&".join(fields)).geturl()


def without_keys(url: str) -> str:
    """An address without the keys in its query: the same for whoever asks, before and after a key is changed."""
    parts = urlsplit(url)
    fields = parts.query.split("&")
    kept = [field for field in fields if not _SECRET_NAME.fullmatch(field.partition("=")[0])]
    return url if kept == fields else parts._replace(query="&".join(kept)).geturl()


def _filled_in_query(field: str, place: str) -> str:
    name, _, text = field.partition("=")
    if not _SECRET_NAME.fullmatch(name):
        return field
    filling = _value_of(text, f"{place}'s {name}")
    return field if filling is None else f"{name}={quote(filling, safe='')}"


def _filled(name: str, value: JsonValue, place: str) -> JsonValue:
    if isinstance(value, dict):
        return filled(value, place)
    if isinstance(value, list):
        return [_filled(name, inner, place) for inner in value]
    if not isinstance(value, str) or not _SECRET_NAME.fullmatch(name):
        return value
    filling = _value_of(value, place)
    return value if filling is None else filling


def _value_of(text: str, place: str) -> str | None:
    """The value of the variable that a text names; None where it names none."""
    found = _VARIABLE.fullmatch(text)
    if found is None:
        return None
    value = os.environ.get(found[1], "").strip()
    if not value:
        raise ValueError(f"{place} names ${found[1]}, and the environment has none; export it")
    keep_secret(value)
    return value


def _holds_key(name: str, text: str) -> bool:
    if _VARIABLE.fullmatch(text) or not text:
        return False
    return _SECRET_NAME.fullmatch(name) is not None or _KEY.search(text) is not None


def _texts(value: JsonValue, path: str, name: str) -> Iterator[tuple[str, str, str]]:
    """All texts of a value with their paths and the names of their fields."""
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, Mapping):
        for inner_name, inner in value.items():
            # `{api_key:sk-1}` without a blank is a name without a value
            yield path, "", inner_name
            yield from _texts(inner, f"{path}.{inner_name}", inner_name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, path, name)
