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
    words_of,
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
        pytest.param({"message": "busy", "code": "overloaded"}, 500, "busy .overloaded.", id="word"),
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


def stream(*events: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([": keep-alive\n\n", *lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


def chunk(text: str = "", finish: str | None = None, index: int = 0, **delta: str) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text, **delta}, "finish_reason": finish}]}


def test_a_stream_that_nobody_asked_for_is_joined() -> None:
    parts = [chunk(role="assistant", reasoning_content="I "), chunk(reasoning_content="add"), chunk("hel"), chunk("lo")]
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    found = read_reply(stream(*parts, chunk(finish="stop"), usage), 1)
    assert found.choices[0].text == "<think>I add</think>\nhello"
    assert (found.choices[0].finish, found.num_in, found.num_out) == ("stop", 7, 3)
    two = read_reply(stream(chunk("b", "stop", 1), chunk("a\u2028", "length", 0)), 1)
    assert [(one.text, one.finish) for one in two.choices] == [("a\u2028", "length"), ("b", "stop")]


def test_a_whole_answer_as_one_event_or_behind_comments_is_read() -> None:
    whole = json.loads(reply("hello"))
    assert read_reply(stream(whole, done=False), 1).choices[0].text == "hello"
    assert read_reply(b": PROCESSING\n\n: PROCESSING\n\n" + reply("hello"), 1).choices[0].text == "hello"


@pytest.mark.parametrize(
    "content", [stream(chunk("hel"), done=False), b"data: {\n", b"data: 1\n\n", b": only comments"]
)
def test_a_stream_without_an_end_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedReplyError):
        read_reply(content, 1)


def test_an_error_in_a_stream_keeps_its_words() -> None:
    error = {"error": {"code": 429, "message": "slow down"}}
    with pytest.raises(ErrorReplyError, match="slow down") as caught:
        read_reply(stream(chunk("hel"), error, done=False), 1)
    assert caught.value.status == 429


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_body_in_any_utf_is_read(encoding: str) -> None:
    content = json.dumps(json.loads(reply("caf\xe9")), ensure_ascii=False).encode(encoding)
    assert read_reply(content, 1).choices[0].text == "caf\xe9"
    assert usage_of(json.dumps({"usage": {"prompt_tokens": 5}}).encode(encoding)) == (5, 0)
    error = json.dumps({"error": {"message": "caf\xe9 is closed"}}, ensure_ascii=False).encode(encoding)
    assert words_of(error) == "caf\xe9 is closed"


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"error": {"code": 429, "message": "slow down"}}, 429, "slow down", id="in the choice"),
        pytest.param({"error": {"code": "502", "message": "gone"}, "finish_reason": "error"}, 502, "gone", id="text"),
        pytest.param({"error": "invalid api key"}, 401, "invalid api key", id="words alone"),
        pytest.param({"finish_reason": "abort"}, 500, "ended the answer with 'abort'", id="broken off"),
    ],
)
def test_an_error_inside_of_a_choice_is_an_error(fields: dict[str, object], status: int, words: str) -> None:
    with pytest.raises(ErrorReplyError, match=words) as caught:
        read_reply(reply("half an", **fields), 1)
    assert caught.value.status == status


def test_a_choice_that_is_refused_leaves_the_others() -> None:
    good = {"index": 0, "message": {"content": "7"}, "finish_reason": "stop"}
    bad = {"index": 1, "error": {"code": 400, "message": "flagged"}, "message": {"content": ""}}
    found = read_reply(json.dumps({"choices": [bad, good]}).encode(), 1)
    assert [(one.text, one.refusal) for one in found.choices] == [("7", ""), ("", "flagged (400)")]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"object": "error", "message": "prompt too long", "code": 400}, 400, "prompt too long"),
        ({"detail": "Not authenticated"}, 500, "Not authenticated"),
        ({"base_resp": {"status_code": 1004, "status_msg": "unauthorized"}}, 401, "unauthorized"),
        ({"error": {"code": "insufficient_quota", "message": "no money"}}, 401, "no money"),
        ({"error": {"type": "invalid_request_error", "message": "no such field"}}, 400, "no such field"),
        ([{"error": {"code": 503, "message": "busy"}}], 503, "busy"),
        ({"error": {"code": 503, "message": "busy"}, "choices": [{"message": {"content": ""}}]}, 503, "busy"),
    ],
)
def test_errors_of_all_shapes_inside_of_a_200(body: object, status: int, words: str) -> None:
    with pytest.raises(ErrorReplyError, match=words) as caught:
        read_reply(json.dumps(body).encode(), 1)
    assert caught.value.status == status


def test_an_error_beside_an_answer_that_is_whole_loses_no_answer() -> None:
    whole = {**json.loads(reply("hello")), "error": {"message": "a warning"}}
    assert read_reply(json.dumps(whole).encode(), 1).choices[0].text == "hello"
