"""Statements of geometry: `AB = CD` is `CD = AB`, `AB // CD` is `CD ∥ AB`, `the SAS criterion` is `SAS`.

>>> same_statement("AB = CD", "DC = AB"), same_statement("∠ABC = ∠1", "∠1 = ∠ACB"), same_statement("SAS", "ASA rule")
(True, False, False)
"""

import re

from srpo.grading.patterns import pattern
from srpo.grading.rules.splitting import split_top
from srpo.grading.rules.text import same_text

_SYMMETRIC = "=∥⊥≅∼≠"
_SEGMENT = pattern(r"[A-Z]{2}", yes="AB", no="ABC", by="fullmatch")
_ANGLE = pattern(r"∠\s?([A-Z])([A-Z])([A-Z])", yes="∠ABC", no="∠1", by="fullmatch")
_ANGLE_WORD = pattern(r"\bangle (?=[A-Z])", re.IGNORECASE, yes="angle ABC", no="angled")
_TRIANGLE_WORD = pattern(r"\btriangle (?=[A-Z])", re.IGNORECASE, yes="triangle ABC", no="triangles")
_RELATIONS = (
    (pattern(r"(?<=[\w)]) (?:is )?parallel to (?=[\w∠△(])", yes="AB is parallel to CD", no="parallel"), "∥"),
    (
        pattern(
            r"(?<=[\w)]) (?:is )?perpendicular to (?=[\w∠△(])", yes="AB is perpendicular to CD", no="perpendicular"
        ),
        "⊥",
    ),
    (pattern(r"(?<=[\w)]) (?:is )?congruent to (?=[\w∠△(])", yes="ABC is congruent to DEF", no="congruent"), "≅"),
    (pattern(r"(?<=[\w)]) (?:is )?similar to (?=[\w∠△(])", yes="ABC is similar to DEF", no="similar"), "∼"),
    (pattern(r"(?<=[A-Z\d)]) (?:equals|is equal to) (?=[A-Z∠△])", yes="AB equals CD", no="equals"), "="),
)
_SPELLED = pattern(
    r"(?:side|angle)(?:[ -](?:side|angle)){1,3}", re.IGNORECASE, yes="side-angle-side", no="side", by="fullmatch"
)
_PANEL = pattern(r"\b(?:sub-?plot|panel|sub-?figure)s?\b:?", re.IGNORECASE, yes="Subplot (c)", no="plotted")
_RULE = pattern(
    r"by ([A-Z]{2,4})|(?:by )?(?:the )?([A-Z]{2,4})"
    r"(?:[ -](?:congruence|similarity|triangles?|criteri(?:on|a)|theorem|postulate|rule|test|condition"
    r"|method|axiom|principle))+"
    r"|(?:判定定理|定理|全等|相似)?\(?([A-Z]{2,4})\)?(?:判定定理|定理|全等|相似)",
    yes="the SAS criterion",
    no="SAS",
    by="fullmatch",
)


def same_statement(gold: str, other: str) -> bool:
    """Are two clean texts the same statement? Sides of a symmetric sign may be exchanged, and letters of a segment."""
    if len(gold) > 200 or len(other) > 200:
        return False
    gold, other = _in_signs(gold), _in_signs(other)
    if same_text(_canonical(gold), _canonical(other)):
        return True
    for bare in (_acronym, _without_panel):
        if ((left := bare(gold)) != gold or bare(other) != other) and same_text(left, bare(other)):
            return True
    one, two = _sides(gold), _sides(other)
    if one is None or two is None or one[0] != two[0]:
        return False
    return _same_sides(one[1:], two[1:]) or _same_sides(one[1:], two[:0:-1])


def _in_signs(text: str) -> str:
    """`angle ABC`, `AB is parallel to CD` with the signs of geometry."""
    if "angle" in text:
        text = _TRIANGLE_WORD.sub("△", text)
        text = _ANGLE_WORD.sub("∠", text)
    for words, sign in _RELATIONS:
        text = words.sub(sign, text)
    return text


def _acronym(text: str) -> str:
    if _SPELLED.fullmatch(text):
        return "".join(c for c in text.upper().replace("SIDE", "S").replace("ANGLE", "A") if c in "SA")
    match = _RULE.fullmatch(text)
    return text if match is None else next(group for group in match.groups() if group)


def _without_panel(text: str) -> str:
    """`(c)` for `subplot (c)`."""
    return _PANEL.sub(" ", text).strip() or text


def _sides(text: str) -> tuple[str, ...] | None:
    """The sign and the two sides of a statement; None when there is not exactly one symmetric sign."""
    signs = [c for c in text if c in _SYMMETRIC]
    if len(signs) != 1:
        return None
    sides = [side.strip() for side in split_top(text, signs[0])]
    return (signs[0], *sides) if len(sides) == 2 and all(sides) else None


def _same_sides(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    return all(same_text(_canonical(a), _canonical(b)) for a, b in zip(left, right, strict=True))


def _canonical(side: str) -> str:
    if _SEGMENT.fullmatch(side):
        return "".join(sorted(side))
    if angle := _ANGLE.fullmatch(side):
        first, last = sorted((angle[1], angle[3]))
        return f"∠{first}{angle[2]}{last}"
    return side
