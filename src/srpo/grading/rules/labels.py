"""What stands in front of an answer: `x =`, `AB =`, `f(x) =`, `The area of the triangle =`, `domain:`."""

import re

from srpo.grading.patterns import pattern

_NAME = r"[A-Za-zα-ωΑ-Ω∠△⊙°\u4e00-\u9fff]"
_LABEL = pattern(
    rf"(?:m\s?)?[(|]?\s?{_NAME}[A-Za-z0-9α-ωΑ-Ω∠△⊙°\u4e00-\u9fff_{{}}'()|,:;=<>\s.-]{{0,70}}$",
    yes="Area of ABC",
    no="5x",
    by="match",
)
_MINUS = pattern(r"(?<![A-Za-z]{2})-|-(?![A-Za-z]{2})", yes="x - y", no="right-hand")
_RATIO_OF_NAMES = pattern(
    r"\\frac\s?\{\s?[A-Za-z∠△_]{1,6}[\d']?\s?\}\s?\{\s?[A-Za-z∠△_]{1,6}[\d']?\s?\}$|[A-Z]{1,3}\s?/\s?[A-Z]{1,3}$",
    yes="AB/CD",
    no="a + b",
    by="match",
)
_POWER_OF_FUNCTION = pattern(r"(?:sin|cos|tan)\s?\^\s?\{?2\}?\s?[A-Za-zα-ω]$", yes="sin^2 x", no="x^2", by="match")
_INVERSE = pattern(r"[A-Za-z]\s?\^\s?\{?\s?-\s?1\s?\}?\s?\([^()]{1,20}\)$", yes="f^{-1}(3)", no="f(3)", by="match")
_SYMBOL = pattern(r"[A-Za-zα-ω](?:_?\{?\w{1,3}\}?)?'?$|[A-Z]{1,3}$", yes="x_1", no="perimeter", by="match")
_COLON_LABEL = pattern(
    r"([A-Za-z\u4e00-\u9fff][A-Za-z\u4e00-\u9fff ()']{1,40}):\s?(?=\S)", yes="domain: [0,1)", no="3:15", by="match"
)


def is_label(text: str) -> bool:
    """Is `text`, found left of an `=`, a name for the answer and not a part of it?"""
    text = text.strip()
    if not text or len(text) > 80:
        return False
    if _RATIO_OF_NAMES.match(text) or _POWER_OF_FUNCTION.match(text) or _INVERSE.match(text):
        return True
    return bool(_LABEL.match(text)) and not _MINUS.search(text)


def colon_label(text: str) -> tuple[str, str] | None:
    """Split `domain: [0,1)` into label and rest; None when there is no such label."""
    match = _COLON_LABEL.match(text)
    return (match.group(1), text[match.end() :]) if match else None


def _key(label: str) -> str:
    bare = re.sub(r"[\s{}|]", "", label)
    if re.fullmatch(r"[A-Z]{2,3}", bare):
        return "".join(sorted(bare))
    return bare.replace("_", "")


def contradict(gold: str, other: str) -> bool:
    """`x = 5` does not answer `y = 5`; words and missing labels contradict nothing."""
    if not gold or not other or not _SYMBOL.match(gold.strip()) or not _SYMBOL.match(other.strip()):
        return False
    if len(gold.strip()) > 2 and gold.strip().casefold() == other.strip().casefold():
        return False  # area and Area
    if len(gold.strip()) == 1 and len(other.strip()) == 1 and gold.isupper() != other.isupper():
        return False
    if gold.strip()[0] == other.strip()[0] and 1 in (len(gold.strip()), len(other.strip())):
        return False  # x and x_1
    return _key(gold) != _key(other)
