"""What must never leave the process: keys of servers and passwords in addresses, hidden at every exit.

    keep_secret(key)
    hidden(f"HTTP 401: invalid key {key}")          # 'HTTP 401: invalid key ***'

A server may send back what it was sent: escaped, encoded, cut. Messages (`hidden`: stderr, errors, the event loop) are
therefore searched for pieces and encodings of a secret as well, data (`hidden_in_data`: journals, records, cached
answers) for long pieces only, so that no text is spoilt because it shares a word with somebody's dummy key.
"""

import base64
import contextlib
import io
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TextIO

MASK = "***"
_SHORTEST = 4
"""Shorter values are no secrets: they would be found everywhere."""
_SHORTEST_IN_DATA = 12
"""Dummies such as EMPTY are words of the data."""
_PASSWORD = re.compile(r"(://[^/\s:@\"'\\]{0,200}):[^/\s@\"'\\]{1,400}@")
_BEARER = re.compile(r"(bearer\s+)\S+", re.IGNORECASE)
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\(u[0-9a-fA-F]{0,3})?\Z")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class _Form(NamedTuple):
    """One way in which a secret may be written."""

    text: str
    unit: int
    """Characters that stand for one of the secret's."""


class _Needle(NamedTuple):
    """A piece of a form that gives it away."""

    text: str
    form: str
    start: int


class _Secrets:
    """The secrets of this process, with what to look for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: frozenset[str] = frozenset()
        self.in_messages: tuple[_Needle, ...] = ()
        self.in_data: tuple[_Needle, ...] = ()

    def add(self, secret: str) -> None:
        with self.lock:
            if secret in self.known:
                return
            self.known |= {secret}
            forms = list(_forms(secret))
            self.in_messages += tuple(_needles(forms, width=8 if len(secret) >= 16 else 6))
            if len(secret) >= _SHORTEST_IN_DATA and not secret.isdigit():
                # In JSON half an escape is an error.
                plain = [form for form in forms if '"' not in form.text and "\\" not in form.text]
                self.in_data += tuple(_needles(plain, width=min(len(secret), 16)))


_SECRETS = _Secrets()


def keep_secret(secret: str) -> None:
    """Hide `secret` from now on, whole, in pieces or encoded."""
    if len(secret.strip()) >= _SHORTEST:
        _SECRETS.add(secret.strip())


def keep_proxies_secret(environment: Mapping[str, str]) -> None:
    """Hide the passwords of the proxies that the environment names."""
    for name in _PROXIES:
        for value in (environment.get(name, ""), environment.get(name.upper(), "")):
            with contextlib.suppress(ValueError):
                if password := urllib.parse.urlsplit(value).password:
                    keep_secret(password)
                    keep_secret(urllib.parse.unquote(password))


def hidden(text: str) -> str:
    """A message without secrets, and without passwords in addresses."""
    text = _BEARER.sub(rf"\1{MASK}", _masked(text, _SECRETS.in_messages))
    return _PASSWORD.sub(rf"\1:{MASK}@", text) if "://" in text else text


def hidden_in_data(text: str) -> str:
    """Data without secrets; JSON stays JSON."""
    return _masked(text, _SECRETS.in_data)


@contextlib.contextmanager
def hiding_stderr() -> Iterator[None]:
    """Whatever is written to stderr in the block goes through `hidden`; a terminal that is gone does no harm."""
    with contextlib.redirect_stderr(_HidingStream(sys.stderr)):
        yield


class _HidingStream(io.TextIOBase):
    """Another stream's face, with a mask."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        # After SIGHUP nobody reads any more; the run still has to be saved.
        with contextlib.suppress(OSError):
            self._stream.write(hidden(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors


def _masked(text: str, needles: tuple[_Needle, ...]) -> str:
    spans = [span for needle in needles if needle.text in text for span in _spans(text, needle)]
    if not spans:
        return text
    pieces, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            pieces += [text[at:start], MASK]
        at = max(at, end)
    return "".join([*pieces, text[at:]])


def _spans(text: str, needle: _Needle) -> Iterator[tuple[int, int]]:
    """Where the needle's form stands in the text, as much of it as is there."""
    form, rest = needle.form, needle.form[needle.start + len(needle.text) :]
    for match in re.finditer(re.escape(needle.text), text):
        start, end = match.span()
        before = _num_alike(text[max(0, start - needle.start) : start][::-1], form[: needle.start][::-1])
        start -= before
        if escape := _ESCAPE.search(text, max(0, start - 8), start):
            # The rest of an escape belongs to the text, not to the secret behind it.
            start += 1 if escape[1] is None else 5 - len(escape[1])
        yield min(start, end), end + _num_alike(text[end : end + len(rest)], rest)


def _num_alike(one: str, other: str) -> int:
    """Length of what both begin with."""
    return next(
        (number for number, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def _needles(forms: list[_Form], width: int) -> Iterator[_Needle]:
    for form in forms:
        size = width * form.unit
        if len(form.text) <= size:
            yield _Needle(form.text, form.text, 0)
            continue
        starts = {*range(0, len(form.text) - size, max(1, size // 2)), len(form.text) - size}
        found = [_Needle(form.text[start : start + size], form.text, start) for start in sorted(starts)]
        telling = [needle for needle in found if _tells(needle.text)]
        # A dummy such as "not-needed" is hidden as a whole alone: its pieces are words.
        yield from telling or [_Needle(form.text, form.text, 0)]


def _tells(piece: str) -> bool:
    """Whether a piece looks like part of a key, and not like a word."""
    has_digit = any(character.isdigit() for character in piece)
    return has_digit or (piece.lower() != piece and piece.upper() != piece and not piece.istitle())


def _forms(secret: str) -> Iterator[_Form]:
    """The secret as it is and as it may come back."""
    seen = set[str]()
    for form in _spellings(secret):
        if form.text not in seen:
            seen.add(form.text)
            yield form


def _spellings(secret: str) -> Iterator[_Form]:
    data = secret.encode()
    yield _Form(secret, 1)
    if _tells(secret):
        yield _Form(secret.lower(), 1)
        yield _Form(secret.upper(), 1)
    yield _Form(urllib.parse.quote(secret, safe=""), 1)
    yield _Form(data.hex(), 2)
    yield _Form(data.hex().upper(), 2)
    yield _Form("".join(f"%{byte:02X}" for byte in data), 3)
    yield _Form("".join(f"\\u{ord(character):04x}" for character in secret), 6)
    yield _Form("".join(f"&#{ord(character)};" for character in secret), 5)
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data).decode()
        # What the neighbours of the secret have no part in.
        inner = encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
        yield _Form(inner, 1)
        yield _Form(inner.replace("+", "-").replace("/", "_"), 1)
