"""Good answers in every wrapping that proxies and servers put around them: read at the first try, none bought twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from srpo.models.meter import Meter
from tests.recipes.test_remote import SAMPLING, connected, echo, many
from tests.support.fault_server import Body, FaultServer

Shape = Callable[[dict[str, Any]], bytes]


class OddServer(FaultServer):
    """Sends each completion in one shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(echo)
        self._shape = shape

    def _completion(self, body: Body, key: str) -> bytes:
        return self._shape(json.loads(super()._completion(body, key)))


def streamed(reply: dict[str, Any]) -> bytes:
    lines = [": ping"]
    for choice in reply["choices"]:
        text = choice["message"]["content"]
        for piece in (text[:3], text[3:]):
            part = {"choices": [{"index": choice["index"], "delta": {"content": piece}}]}
            lines.append(f"data: {json.dumps(part)}")
        end = {"choices": [{"index": choice["index"], "delta": {}, "finish_reason": "stop"}], "usage": reply["usage"]}
        lines.append(f"data: {json.dumps(end)}")
    return "\r\n\r\n".join([*lines, "data: [DONE]", ""]).encode()


def with_fields(**fields: object) -> Shape:
    return lambda reply: json.dumps(reply | fields).encode()


def in_parts(reply: dict[str, Any]) -> bytes:
    for choice in reply["choices"]:
        choice["message"]["content"] = [{"type": "text", "text": choice["message"]["content"]}]
        choice["index"] = None
    return json.dumps(reply).encode()


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(streamed, id="a stream"),
        pytest.param(lambda reply: b"data: " + json.dumps(reply).encode() + b"\n\n", id="one event"),
        pytest.param(lambda reply: b": wait\n\n\n" + json.dumps(reply, indent=1).encode(), id="behind comments"),
        pytest.param(lambda reply: json.dumps(reply).encode("utf-16"), id="UTF-16"),
        pytest.param(lambda reply: json.dumps(reply).encode("utf-8-sig"), id="a byte-order mark"),
        pytest.param(with_fields(usage={"prompt_tokens": 1.5, "completion_tokens": "2"}), id="odd usage"),
        pytest.param(with_fields(usage=None, error=None), id="nulls"),
        pytest.param(in_parts, id="parts without an index"),
    ],
)
def test_a_good_answer_is_read_in_any_wrapping(shape: Shape) -> None:
    meter = Meter()
    with OddServer(shape) as server, connected(server, meter=meter, max_retries=0) as generator:
        found = generator.generate(many(6), SAMPLING)
        assert [(one.text, one.error) for (one,) in found] == [(f"problem {i} / 0", None) for i in range(6)]
        assert server.num_paid_twice == 0
    assert (meter.usage.num_requests, meter.usage.num_retries, meter.usage.num_lost) == (6, 0, 0)
