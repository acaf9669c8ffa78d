"""Replies of every shape: what was billed is kept, numbers are not believed, errors keep their words."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srpo.models.remote_reply import (
    MAX_TOKENS_BILLED,
    DamagedReplyError,
    ErrorReplyError,
    read_reply,
    usage_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def reply(message: object = "hello you", usage: object = None, **fields: object) -> bytes:
    message = message if isinstance(message, dict) else {"content": message}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **fields}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("usage", "num_in", "num_out"),
    [
        pytest.param({"prompt_tokens": 7, "completion_tokens": 3}, 7, 3, id="numbers"),
        pytest.param({"prompt_tokens": 7.0, "completion_tokens": "3"}, 7, 3, id="float and text"),
        pytest.param(None, 11, None, id="null"),
        pytest.param({}, 11, None, id="empty"),
        pytest.param("a lot", 11, None, id="no object"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 1e300}, 11, None, id="absurd"),
        pytest.param({"prompt_tokens": True, "completion_tokens": [1]}, 11, None, id="of another type"),
    ],
)
def test_usage_is_read_or_estimated(usage: object, num_in: int, num_out: int | None) -> None:
    found = read_reply(reply(usage=usage), 11)
    assert found.choices[0].text == "hello you"
    assert found.num_in == num_in
    assert found.num_out == num_out if num_out is not None else 0 < found.num_out < 10


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param("plain", "plain", id="text"),
        pytest.param([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}], "in parts", id="parts"),
        pytest.param(["in ", "parts"], "in parts", id="parts that are texts"),
        pytest.param([{"type": "image_url"}, {"text": "x"}], "x", id="a part without text"),
        pytest.param(None, "", id="null"),
        pytest.param("half \ud83d pair", "half ? pair", id="lone surrogate"),
        pytest.param(
            {"content": "<answer>7</answer>", "reasoning_content": "I add"},
            "<think>I add</think>\n<answer>7</answer>",
            id="reasoning_content",
        ),
        pytest.param({"content": "7", "reasoning": "I add"}, "<think>I add</think>\n7", id="reasoning"),
        pytest.param(
            {"content": "<think>so</think>7", "reasoning_content": "I add"},
            "<think>so</think>7",
            id="thinking is there",
        ),
    ],
)
def test_content_of_every_shape(message: object, text: str) -> None:
    assert read_reply(reply(message), 1).choices[0].text == text


def test_bytes_that_are_not_quite_json() -> None:
    good = reply("caf\xe9")
    assert read_reply(b"\xef\xbb\xbf" + good, 1).choices[0].text == "caf\xe9"
    bad_byte = reply("one byte X").replace(b"X", b"\xff")
    assert read_reply(bad_byte, 1).choices[0].text == "one byte \ufffd"


def test_choices_come_in_the_order_of_their_indices_where_they_have_one() -> None:
    choices = [{"index": index, "message": {"content": str(index)}} for index in (2, 0, 1)]
    found = read_reply(json.dumps({"choices": choices}).encode(), 1)
    assert [one.text for one in found.choices] == ["0", "1", "2"]
    unnumbered = [{"index": None, "message": {"content": text}} for text in "abc"]
    found = read_reply(json.dumps({"choices": unnumbered}).encode(), 1)
    assert [one.text for one in found.choices] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": "abc"}',
        b'{"choices": [1]}',
        b"<html>502</html>",
        b"[" * 100_000,
    ],
)
def test_what_is_no_completion_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedReplyError, match="damaged answer"):
        read_reply(content, 1)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        pytest.param({"message": "no money", "code": 402}, 402, "no money", id="number"),
        pytest.param({"message": "no money", "code": "402"}, 402, "no money", id="text"),
        pytest.param({"message": "busy", "code": "overloaded"}, 500, "overloaded busy", id="word"),
        pytest.param({"message": "odd", "code": 200}, 500, "odd", id="no error code"),
        pytest.param("it burns", 500, "it burns", id="only words"),
    ],
)
def test_an_error_inside_of_a_200_keeps_its_words(error: Any, status: int, words: str) -> None:
    with pytest.raises(ErrorReplyError, match=words) as caught:
        read_reply(json.dumps({"error": error}).encode(), 1)
    assert caught.value.status == status


def test_what_a_damaged_reply_was_billed() -> None:
    assert usage_of(b'{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}') == (5, 2)
    assert usage_of(b'{"choices": []}') is None
    assert usage_of(b"{") is None


@given(JSON, JSON, JSON, JSON)
def test_no_reply_raises_anything_else(message: object, usage: object, index: object, finish: object) -> None:
    choice = {"index": index, "message": {"content": message, "reasoning": usage}, "finish_reason": finish}
    found = read_reply(json.dumps({"choices": [choice], "usage": {"completion_tokens": usage}}).encode(), 3)
    assert 0 <= found.num_out <= MAX_TOKENS_BILLED
    found.choices[0].text.encode()


@given(JSON | st.binary())
def test_no_body_raises_anything_else(body: object) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    usage_of(content)
    with contextlib.suppress(DamagedReplyError, ErrorReplyError):
        read_reply(content, 1)
