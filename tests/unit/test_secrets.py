"""What must never leave the process, and what must stay as it is."""

import base64
import io
import json
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srpo.runs import secrets
from srpo.runs.files import Journal, read_lines
from srpo.runs.secrets import hidden, hidden_in_data, hiding_stderr, keep_proxies_secret, keep_secret

KEY = "sk-proj-4fK9abcDEF12345qrs/Z+uvw6789mnoPQ"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_SECRETS", secrets._Secrets())


FORMS: list[Callable[[str], str]] = [
    lambda key: key,
    lambda key: key[3:],
    lambda key: key[:20] + "...",
    lambda key: key.upper(),
    lambda key: urllib.parse.quote(key, safe=""),
    lambda key: key.encode().hex(),
    lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    lambda key: base64.b64encode(key.encode()).decode(),
    lambda key: base64.b64encode(f"x{key}y".encode()).decode(),
    lambda key: base64.urlsafe_b64encode(f"Bearer: {key}".encode()).decode(),
]


def shows(text: str, form: str) -> bool:
    """Whether twelve characters in a row of the form stand in the text."""
    return any(form[start : start + 12] in text for start in range(len(form) - 11))


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_hidden_whole_in_part_and_encoded(form: Callable[[str], str]) -> None:
    keep_secret(KEY)
    message = f"HTTP 400: bad header {form(KEY)}, try again"
    assert not shows(hidden(message), form(KEY).removeprefix("eEJlYXJlcjog"))
    assert hidden(message).endswith(", try again")
    assert "***" in hidden_in_data(message) or "\\u" in message


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60), st.text())
def test_whatever_the_key_no_message_has_it_and_data_stays_json(key: str, around: str) -> None:
    secrets._SECRETS = secrets._Secrets()
    keep_secret(key)
    assert key not in hidden(f"{around} {key} {around}")
    for escaped in (True, False):
        json.loads(hidden_in_data(json.dumps([around, key, f"{around}{key}", 0.25], ensure_ascii=escaped)))


def test_dummies_spoil_no_text() -> None:
    for dummy in ("EMPTY", "none", "not-needed", "no-key-required", "token-abc123"):
        keep_secret(dummy)
    text = "The token is EMPTY, so no key is needed: none is required. abc123"
    assert hidden_in_data(text) == text
    assert hidden("field required, too many tokens needed") == "field required, too many tokens needed"


def test_passwords_in_addresses_and_of_proxies() -> None:
    keep_proxies_secret({"HTTPS_PROXY": "http://me:hunt%20er22@proxy:3128"})
    assert hidden("cannot reach https://you:secret@host/v1") == "cannot reach https://you:***@host/v1"
    assert hidden("proxy said hunt er22, hunt%20er22") == "proxy said ***, ***"
    assert hidden("sent 'authorization: Bearer sk-1'") == "sent 'authorization: Bearer ***"


def test_exits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(KEY)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with hiding_stderr():
        print(f"Traceback: headers={KEY!r}", file=sys.stderr)
    assert sys.stderr is stream
    assert stream.getvalue() == "Traceback: headers='***'\n"
    journal = Journal(tmp_path / "rejected.jsonl")
    journal.append([json.dumps({"detail": f"no such key: {KEY}"})])
    journal.close()
    assert [json.loads(line.text) for line in read_lines(tmp_path / "rejected.jsonl")] == [
        {"detail": "no such key: ***"}
    ]


def test_a_terminal_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    with hiding_stderr():
        print("saved", file=sys.stderr, flush=True)
