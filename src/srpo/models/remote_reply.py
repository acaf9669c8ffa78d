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
from srpo.models.remote_request import count_tokens

MAX_TOKENS_BILLED = MOST_TOKENS
"""A usage beyond this is not believed."""

_CONTENT = re.compile(r'"(?:content|text|reasoning(?:_content)?)"\s*:\s*"((?:[^"\\]|\\.)*)')
_TAGS = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]{1,300}>", re.DOTALL | re.IGNORECASE)
_MOST_HTML = 8000


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
        reply: Any = json.loads(content.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise DamagedReplyError("damaged answer: not a chat completion") from error
    if not isinstance(reply, Mapping):
        raise DamagedReplyError("damaged answer: not a chat completion")
    choices = reply.get("choices")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        if reply.get("error"):
            raise _error_of(reply["error"])
        raise DamagedReplyError("damaged answer: not a chat completion")
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
        reply: Any = json.loads(content.decode("utf-8-sig", errors="replace"))
        usage = reply["usage"]
        return _number_of(usage.get("prompt_tokens"), 0), _number_of(usage.get("completion_tokens"), 0)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None


def text_left(content: bytes) -> str | None:
    """What a damaged reply still shows of an answer; None where nobody wrote one, as far as one can tell.

    >>> text_left(b'{"choices": [{"message": {"content": "3 + 4 is'), text_left(b"<html>Bad gateway</html>")
    ('3 + 4 is', None)
    """
    text = content.decode("utf-8-sig", errors="replace").lstrip()
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
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(_TAGS.sub(" ", text[:_MOST_HTML]).split())
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    if isinstance(value, Mapping):
        if detail := value.get("error") or value.get("detail") or value.get("errors"):
            return _words_in(detail)
        if value.get("message"):
            return _words_in(value)
    return " ".join(text.split())


def _words_in(error: object) -> str:
    if isinstance(error, Mapping) and "msg" in error:  # FastAPI
        place = ".".join(str(step) for step in error.get("loc") or ())
        return f"{place}: {error['msg']}"
    if isinstance(error, Mapping):
        found = [_text_of(error[name]) for name in ("message", "detail") if error.get(name)]
        codes = [str(error[name]) for name in ("code", "type", "status") if error.get(name)]
        return " ".join([*found, *(f"({', '.join(codes)})" for _ in codes[:1])]) or json.dumps(error, default=str)
    if isinstance(error, Sequence) and not isinstance(error, str):
        return "; ".join(_words_in(one) for one in error)
    return _text_of(error)


def _error_of(error: object) -> ErrorReplyError:
    if not isinstance(error, Mapping):
        return ErrorReplyError(str(error), 500)
    words = " ".join(str(error[name]) for name in ("code", "type", "message") if error.get(name))
    code = error.get("code", error.get("status"))
    status = _number_of(code, 500)
    return ErrorReplyError(words or "an error without words", status if 300 <= status < 600 else 500)


def _choice_of(one: object, place: int) -> tuple[int, Choice]:
    if not isinstance(one, Mapping):
        raise DamagedReplyError("damaged answer: a choice that is no object")
    message = one.get("message")
    message = message if isinstance(message, Mapping) else {}
    text = _text_of(message.get("content"))
    thinking = _text_of(message.get("reasoning_content")) or _text_of(message.get("reasoning"))
    if thinking and "<think>" not in text:
        text = f"<think>{thinking}</think>\n{text}"
    choice = Choice(text=text, finish=_text_of(one.get("finish_reason")), refusal=_text_of(message.get("refusal")))
    return _number_of(one.get("index"), place), choice


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
