"""How fast we may send, and how long we wait before we try again. Pure: the time is an argument."""

import email.utils
import math
import random
from collections.abc import Mapping

MAX_BACKOFF_S = 60.0
_BURST_S = 1.0


class Rate:
    """So many units a minute, spread evenly; whoever comes is told how long to wait.

    Amounts may be guesses, corrected afterwards. (aiolimiter's leaky bucket cannot be corrected, and lets a whole
    minute's amount through at the start.)
    """

    def __init__(self, per_minute: float) -> None:
        """Allow `per_minute` units a minute, at most a second's worth at once."""
        self._per_s = per_minute / 60
        self._free_at = -math.inf

    def take(self, amount: float, now: float) -> float:
        """Seconds from `now` until `amount` may be used; it counts as used from here on."""
        self._free_at = max(self._free_at, now - _BURST_S)
        wait_s = max(0.0, self._free_at - now)
        self._free_at += amount / self._per_s
        return wait_s

    def correct(self, more: float) -> None:
        """It was `more` than what was taken; negative when it was less."""
        self._free_at += more / self._per_s


def backoff_s(first_s: float, retry: int, key: bytes) -> float:
    """Seconds before retry number `retry` (from 0) of the request `key`: doubling, each with its own jitter."""
    whole = min(MAX_BACKOFF_S, first_s * math.pow(2, min(retry, 32)))
    # Requests that failed together must not come back together.
    return whole * random.Random(key + bytes([retry % 256])).uniform(0.5, 1.0)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What a server says about when to come back: seconds or an HTTP date; None when it says nothing readable.

    `now_s` is the time of day, in seconds since the epoch.
    """
    text = headers.get("retry-after-ms")
    if text is not None and (number := _number(text)) is not None:
        return number / 1000
    text = headers.get("retry-after", "")
    if (number := _number(text)) is not None:
        return number
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
