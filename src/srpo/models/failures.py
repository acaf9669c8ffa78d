"""From whom a failure comes, decided in one place: this request, the account or address, or this moment.

* `RequestRefused`: of this request (its content is refused, it is too long). It becomes a reject with the server's
  words.
* `AccountError`: of the account or the address (no such key, model or path; no money). Every request to come would
  meet it, so the run stops at once, and no batch that holds one is recorded.
* `UnavailableError`: of this moment (connection, 5xx, 429, a damaged answer), for longer than patience lasts. The run
  stops; it never becomes a reject, and the same command goes on. The exception is a request that fails by itself
  (`models.remote_controls`): it is of the first kind after all.
"""

import re
from typing import Literal

FailureKind = Literal["request", "account", "moment"]

_MOMENT = frozenset({408, 409, 425, 429})
_ACCOUNT = frozenset({401, 402, 403, 404, 405, 407, 410})
_ACCOUNT_WORDS = re.compile(
    r"insufficient.?quota|billing|invalid.?api.?key|api.?key.?(?:not.?valid|invalid)|model.?not.?found|authentication"
    r"|account.?(?:deactivated|suspended)|permission.?denied",
    re.IGNORECASE,
)
_ACCOUNT_WORDS_ALONE = re.compile(
    r"unauthori[sz]ed|forbidden|payment.?required|insufficient.?(?:balance|credit)", re.IGNORECASE
)
_REQUEST_WORDS = re.compile(
    r"(?:invalid|bad|malformed).?request|context.?(?:length|window)|too.?(?:long|large|many.?tokens)|unsupported"
    r"|content.?(?:filter|policy)|moderation|safety",
    re.IGNORECASE,
)
_CONTENT_WORDS = re.compile(r"content.?(?:filter|policy)|moderation|safety", re.IGNORECASE)


class RequestRefused(Exception):  # noqa: N818  an outcome, told as `Completion.error`
    """The request failed for good; the text says why and holds no key."""


class AccountError(ValueError):
    """The server refuses this account, address or model, and so everything that would be asked."""


class UnavailableError(ValueError):
    """The server did not answer for as long as patience lasts."""


def kind_of(status: int, words: str) -> FailureKind:
    """From whom an error response comes, by its status and the words of its code, type and message.

    >>> kind_of(400, "maximum context length exceeded"), kind_of(429, "insufficient_quota"), kind_of(503, "")
    ('request', 'account', 'moment')
    >>> kind_of(403, "flagged by moderation"), kind_of(302, "")
    ('request', 'account')
    """
    if _ACCOUNT_WORDS.search(words) and status < 500:
        return "account"
    if status in _MOMENT or status >= 500:
        return "moment"
    if status in _ACCOUNT:
        return "request" if status == 403 and _CONTENT_WORDS.search(words) else "account"
    # An address that redirects would get our key and our pictures at another place.
    return "account" if status < 400 else "request"


def likely_status(words: str) -> int:
    """The status of an error that came without one, by its words.

    >>> likely_status("invalid api key"), likely_status("maximum context length exceeded"), likely_status("overloaded")
    (401, 400, 500)
    """
    if _ACCOUNT_WORDS.search(words) or _ACCOUNT_WORDS_ALONE.search(words):
        return 401
    return 400 if _REQUEST_WORDS.search(words) else 500
