"""From the bytes of a reply to its JSON, in whatever wrapping it came.

Proxies add a byte-order mark or another UTF, send comments to keep a connection alive, or stream although nobody asked
them to. A stream is joined to the completion that it would have been.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_FIELDS = ("event:", "id:", "retry:", ":")
"""Lines of a stream that hold nothing of the answer."""
_THINKING = ("reasoning_content", "reasoning")


def text_of_body(content: bytes) -> str:
    """The body's text in the UTF that it is written in; a byte that is none becomes a sign that one can see.

    >>> text_of_body('{"a": 1}'.encode("utf-16"))
    '{"a": 1}'
    """
    return content.decode(json.detect_encoding(content), errors="replace").removeprefix("\ufeff")


def json_of_body(content: bytes) -> Any:
    """The JSON of a reply; a stream becomes one completion.

    Raises:
        ValueError: there is none, or a stream that ends before its answer does.
    """
    text = text_of_body(content).strip()
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        if not text.startswith(("data:", *_FIELDS)):
            raise
    try:
        return _json_of_stream(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _json_of_stream(text: str) -> Any:
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip() and not line.startswith(_FIELDS)]
    events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    if not events:  # comments before a reply that is no stream
        return json.loads("\n".join(lines))
    is_whole = "[DONE]" in events
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    joined = _joined([chunk for chunk in chunks if isinstance(chunk, Mapping)])
    ends = [choice["finish_reason"] for choice in joined["choices"]]
    if not is_whole and not all(ends) and "error" not in joined:
        raise ValueError("the stream ends before its answer does")
    return joined


def _joined(chunks: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What a stream's chunks say together; an error among them stays one."""
    choices: dict[object, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for chunk in chunks:
        whole |= {name: chunk[name] for name in ("usage", "error", "object", "message", "detail") if chunk.get(name)}
        parts = chunk.get("choices")
        for place, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, Mapping):
                index = part.get("index")
                _add(choices.setdefault(place if index is None else str(index), _nothing(index)), part)
    return {**whole, "choices": list(choices.values())}


def _nothing(index: object) -> dict[str, Any]:
    return {"index": index, "finish_reason": None, "message": {}}


def _add(choice: dict[str, Any], part: Mapping[str, Any]) -> None:
    said = part.get("delta") or part.get("message") or {}
    for name, value in said.items() if isinstance(said, Mapping) else ():
        if name in ("content", "refusal", *_THINKING) and isinstance(value, str):
            choice["message"][name] = choice["message"].get(name, "") + value
    choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    if part.get("error"):
        choice["error"] = part["error"]
