"""Numbers and addresses as a page shows them."""

from typing import Final

_METRICS: Final = {
    "score": "score",
    "strict_score": "strict score",
    "loose_score": "loose score",
    "mean": "mean score",
}


_NOTHING = 1e-9


def number(value: float) -> str:
    """A metric's value as short text: three significant digits, no needless zeros; what nobody would tell from 0 is 0.

    >>> number(0.0004), number(1.06e-114), number(12345.6)
    ('0.0004', '0', '12,346')
    """
    if abs(value) < _NOTHING:
        return "0"
    return (f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}").replace("-", "−")


def is_linkable(url: str) -> bool:
    """Whether an address of a user's file may become a link."""
    return url.startswith(("https://", "http://"))


def points(value: float) -> str:
    """A share in percent, as it is shown and compared."""
    return f"{shown_value(value):.1f}"


def percent(share: float) -> str:
    """A share between 0 and 1 as text, e.g. `41.2%`."""
    return f"{100 * share:.1f}%"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, e.g. `+3.2` or `−1.0`; no sign before a zero."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def compact(count: float) -> str:
    """A large count as text, e.g. `1.3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 100 * size else f"{count / size:.0f}{unit}"
    return f"{count:.0f}"


def shown_value(value: float) -> float:
    """A share as it is shown and compared: in percent, to one decimal."""
    return round(100 * value + 1e-9, 1)


def metric_words(metric: str) -> str:
    """A metric's name as people write it."""
    return _METRICS.get(metric, metric.replace("_", " "))
