"""What a server sent back as an `Answer`, read leniently: what was billed is kept, whatever its shape.

Numbers from outside are bounded, a text may come as parts, an index may be missing, bytes may not be UTF-8. Thinking
that a reasoning model sends beside its answer is put before it, so that it stands where `<think>` is looked for.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from srpo.models.cache import MOST_TOKENS, Answer, Choice
from srpo.models.failures import kind_of, likely_status
from srpo.models.remote_body import json_of_body, text_of_body
from srpo.models.remote_request import count_tokens

MAX_TOKENS_BILLED = MOST_TOKENS
"""A usage beyond this is not believed."""

_CONTENT = re.compile(r'"(?:content|text|reasoning(?:_content)?)"\s*:\s*"((?:[^"\\]|\\.)*)')
_TAGS = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]{1,300}>", re.DOTALL | re.IGNORECASE)
_MOST_HTML = 8000
_WORDS = ("message", "detail", "error_msg", "msg", "status_msg")
_CODES = ("code", "type", "status", "status_code", "error_code")
_BROKEN_OFF = frozenset({"error", "abort", "cancelled"})
"""Ends of an answer that no model chose."""


class DamagedReplyError(ValueError):
    """Not a chat completion; it may have been billed all the same."""


class ErrorReplyError(ValueError):
    """An error inside a response that says 200."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status
        """The status that it should have had; 500 where it does not say."""


def read_reply(content: bytes, num_in: int) -> Answer:
    """Read a chat completion; `num_in` is what its prompt is estimated at, for servers that do not say.

    Raises:
        DamagedReplyError: it holds no choices.
        ErrorReplyError: it holds an error instead.
    """
    try:
        reply: Any = json_of_body(content)
    except ValueError as error:
        raise DamagedReplyError("damaged answer: not a chat completion") from error
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        raise _error_in(reply) or DamagedReplyError("damaged answer: not a chat completion")
    if reply.get("error") and not all(map(_is_whole, choices)):
        raise _error_of(reply["error"])
    found = [_choice_of(one, place) for place, one in enumerate(choices)]
    read = tuple(choice for _, choice in sorted(found, key=lambda pair: pair[0]))
    usage = reply.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    written = sum(count_tokens(choice.text) for choice in read)
    return Answer(
        choices=read,
        num_in=_number_of(usage.get("prompt_tokens"), num_in),
        num_out=_number_of(usage.get("completion_tokens"), written),
    )


def usage_of(content: bytes) -> tuple[int, int] | None:
    """Prompt and generated tokens that a damaged reply was billed; None where it does not say."""
    try:
        usage = json_of_body(content)["usage"]
        return _number_of(usage.get("prompt_tokens"), 0), _number_of(usage.get("completion_tokens"), 0)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def text_left(content: bytes) -> str | None:
    """What a damaged reply still shows of an answer; None where nobody wrote one, as far as one can tell.

    >>> text_left(b'{"choices": [{"message": {"content": "3 + 4 is'), text_left(b"<html>Bad gateway</html>")
    ('3 + 4 is', None)
    """
    text = text_of_body(content).lstrip()
    pieces = [match[1] for match in _CONTENT.finditer(text)]
    if pieces:
        return "\n".join(pieces)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "" if not text or text.startswith(("{", "data:", ":")) else None
    return None


def words_of(content: bytes) -> str:
    """Code, type and message of an error response, whatever form it has.

    >>> words_of(b'{"detail": [{"loc": ["body", "n"], "msg": "extra field"}]}'), words_of(b"<h1>Bad gateway</h1>")
    ('body.n: extra field', 'Bad gateway')
    """
    text = text_of_body(content).strip()
    try:
        value = json_of_body(content)
    except ValueError:
        return " ".join(_TAGS.sub(" ", text[:_MOST_HTML]).split())
    error = _error_part(value)
    return " ".join(text.split()) if error is None else _words_in(error)


def _error_part(reply: object) -> object:
    """What a reply says of an error; None where it says nothing of one."""
    if isinstance(reply, list) and len(reply) == 1:  # Gemini
        reply = reply[0]
    if not isinstance(reply, Mapping):
        return None
    for name in ("error", "detail", "errors", "base_resp"):  # the last is MiniMax's
        if reply.get(name):
            return reply[name]
    return reply if any(reply.get(name) for name in _WORDS) else None


def _words_in(error: object) -> str:
    if isinstance(error, Mapping) and "msg" in error and isinstance(error.get("loc"), list):  # FastAPI
        place = ".".join(map(str, error["loc"]))
        return f"{place}: {error['msg']}"
    if isinstance(error, Mapping):
        found = [_text_of(error[name]) for name in _WORDS if error.get(name)]
        codes = [str(error[name]) for name in _CODES if error.get(name)]
        return " ".join([*found, *(f"({', '.join(codes)})" for _ in codes[:1])]) or json.dumps(error, default=str)
    if isinstance(error, Sequence) and not isinstance(error, str):
        return "; ".join(_words_in(one) for one in error)
    return _text_of(error)


def _error_in(reply: object) -> ErrorReplyError | None:
    error = _error_part(reply)
    return None if error is None else _error_of(error)


def _error_of(error: object) -> ErrorReplyError:
    """The error with the status that it should have had."""
    words = _words_in(error)
    inner = error[0] if isinstance(error, list) and error else error
    codes = [inner[name] for name in _CODES if inner.get(name)] if isinstance(inner, Mapping) else []
    stated = [status for code in codes if 300 <= (status := _number_of(code, 0)) < 600]
    return ErrorReplyError(words or "an error without words", stated[0] if stated else likely_status(words))


def _is_whole(choice: object) -> bool:
    """Whether a choice holds an answer that came to its end."""
    if not isinstance(choice, Mapping):
        return False
    message = choice.get("message")
    has_text = isinstance(message, Mapping) and any(message.values())
    return has_text and _text_of(choice.get("finish_reason")) not in {"", *_BROKEN_OFF}


def _choice_of(one: object, place: int) -> tuple[int, Choice]:
    if not isinstance(one, Mapping):
        raise DamagedReplyError("damaged answer: a choice that is no object")
    number = _number_of(one.get("index"), place)
    finish = _text_of(one.get("finish_reason"))
    if one.get("error") or finish in _BROKEN_OFF:
        error = _error_of(one.get("error") or f"the server ended the answer with {finish!r}")
        if kind_of(error.status, str(error)) != "request":
            raise error
        return number, Choice(text="", finish=finish, refusal=str(error))
    message = one.get("message")
    message = message if isinstance(message, Mapping) else {}
    text = _text_of(message.get("content"))
    thinking = _text_of(message.get("reasoning_content")) or _text_of(message.get("reasoning"))
    if thinking and "<think>" not in text:
        text = f"<think>{thinking}</think>\n{text}"
    return number, Choice(text=text, finish=finish, refusal=_text_of(message.get("refusal")))


def _text_of(value: object) -> str:
    """A text, or the texts of its parts; half surrogates, which no file can hold, become a sign that one can see."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in value]
        value = "".join(part for part in parts if isinstance(part, str))
    if value is None:
        return ""
    return str(value).encode("utf-8", errors="replace").decode("utf-8")


def _number_of(value: object, otherwise: int) -> int:
    """A count that somebody else states, in whatever form; `otherwise` where it is none or not to be believed."""
    try:
        number = float(str(value))
    except ValueError:
        return otherwise
    return int(number) if math.isfinite(number) and 0 <= number <= MAX_TOKENS_BILLED else otherwise
