"""Gold answers of multiple choice: letters in whatever brackets and separators, or the text of an option.

>>> sorted(gold_choice('["A", "C"]', (), "").letters), sorted(gold_choice("(A)(C)", (), "").letters)
(['A', 'C'], ['A', 'C'])
"""

import re
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.rules.choices import LETTERS, options_meant
from srpo.grading.rules.splitting import trim


class GoldChoice(NamedTuple):
    """What counts as right among options."""

    letters: frozenset[str]
    """All of them must be chosen; with `any_of`, one of them."""
    any_of: bool


_LETTER = pattern(r"[(\[]?\s?([A-Z])\s?[)\]]?[.:]?", yes="(B)", no="(BC)", by="fullmatch")
_BRACKETED = r"[(\[]\s?[A-Z]\s?[)\]]"
_LETTERS = pattern(
    r"(?:(?:options?|choices?|answers?|选项|答案)(?:\s?(?:are|is|是|为))?\s?:?\s?)?[(\[]{0,2}"
    rf"(?-i:{_BRACKETED}(?:\s?{_BRACKETED}){{1,9}}"
    r"|[(\[]?[A-Z][)\]]?(?:(?:\s?(?:,|;|&|/|\||and|和|与|及|\s)\s?(?:and )?|\.)[(\[]?[A-Z][)\]]?){1,9})"
    r"[)\]]{0,2}\s?(?:选项)?",
    re.IGNORECASE,
    yes="Options (A) and (C)",
    no="A cat",
    by="fullmatch",
)
_RUN = pattern(r"(?:选项|答案[是为:]?)?([A-H]{2,8})(?:选项)?", yes="ABD选项", no="AXY", by="fullmatch")
_LEAD = pattern(
    r"[(\[]([A-Z])[)\]][.:]?\s?\S|([A-Z])(?:[.)]|:(?=\s))\s?[^\s.]", yes="(B) a cat", no="Because", by="match"
)
_LOWER = pattern(r"\([a-j]\)", yes="(b)", no="b", by="fullmatch")
_ALONE = pattern(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", yes="A and C", no="Options")
_FEW_LETTERS = pattern(r"[a-h](?:\s?[,;/&|]\s?[a-h]){1,7}", yes="a,c", no="ac", by="fullmatch")
_QUOTES = str.maketrans("", "", "\"'{}⦃⦄")


def gold_choice(gold: str, choices: tuple[str, ...], kind: str) -> GoldChoice | None:
    """Read a gold answer as a choice; None when it is none."""
    text = trim(clean(gold.replace("\n", ", ")))
    if _LOWER.fullmatch(text):
        text = text.upper()
    multiple_choice = bool(choices) or kind in ("letter", "letters") or kind.startswith("mcq")
    limit = len(choices) or 26
    if kind == "option" and (meant := options_meant(gold, choices)):
        return GoldChoice(frozenset(LETTERS[i] for i in meant), any_of=True)
    bare = trim(text.translate(_QUOTES))
    match = _LETTER.fullmatch(bare.upper() if multiple_choice and len(bare) <= 3 else bare)
    if match and LETTERS.index(match.group(1)) < limit and (multiple_choice or match.group(1) in LETTERS[:10]):
        return GoldChoice(frozenset(match.group(1)), any_of=False)
    if choices:
        meant = options_meant(gold, choices)
        if meant:
            return GoldChoice(frozenset(LETTERS[i] for i in meant), any_of=True)
    letters = _letters(bare.upper() if multiple_choice and _FEW_LETTERS.fullmatch(bare) else bare)
    if letters:
        return GoldChoice(letters, any_of=False) if all(LETTERS.index(c) < limit for c in letters) else None
    if lead := _LEAD.match(text):
        letter = lead.group(1) or lead.group(2)
        if LETTERS.index(letter) < limit and (multiple_choice or letter in LETTERS[:10]):
            return GoldChoice(frozenset(letter), any_of=False)
    return None


def _letters(text: str) -> frozenset[str]:
    """The letters of a gold that is nothing but letters; empty when it says anything else."""
    run = _RUN.fullmatch(text)
    if run and list(run[1]) == sorted(set(run[1])):
        return frozenset(run[1])
    return frozenset(_ALONE.findall(text)) if _LETTERS.fullmatch(text) else frozenset()
