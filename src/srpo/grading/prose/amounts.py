"""The numbers of a statement, and how much speaks for each of them as the answer.

What is an operand (`4/2` in `4/2 = 2`), a bound (`more than 10`), a label (`Figure 2`), part of a range or of a formula
answers nothing. A result behind `=`, what stands behind `is`, and what is counted (`3 objects`) are likely answers.

>>> [(float(found.value), found.score) for found in amounts("there are 4/2 = 2 dots in each group")]
[(4.0, -1), (2.0, -1), (2.0, 4)]
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of
from srpo.grading.prose.words import asked, content, stem, stems
from srpo.grading.rules.numerals import plain_digits, word_number

_MAX_DIGITS = 40
"""Longer numbers answer no question here."""


class Amount(NamedTuple):
    """One number of a statement."""

    value: Fraction
    start: int
    end: int
    score: int
    """How much speaks for it; below 0 it answers nothing."""


class Wanted(NamedTuple):
    """What a question asks for."""

    question: str
    """The sentence that asks."""
    words: frozenset[str]
    """Its words that carry meaning."""
    head: str
    """The first of them: `difference` in `the difference between the largest and ..`."""
    nouns: frozenset[str]
    """Stems of what is counted or measured."""
    year: bool
    labels: frozenset[str]
    """`week` in `in which week`: what has the wanted number for its name."""
    given: frozenset[Fraction]
    """Numbers that the question itself names."""


# -- what a question asks for

_HOW_MANY = pattern(
    r"\b(?:how (?:many|much)|number of|count of)\s([\w'-]+(?:\s[\w'-]+){0,7})",
    re.IGNORECASE,
    yes="How many red cars are left?",
    no="How are you?",
)
_AFTER_NOUN = any_of(
    "are; is; was; were; do; does; did; can; could; has; have; had; will; would; left; in; on; at; with; that; who",
    "which; than; of; between; for; from; there",
)
_PHRASE_END = pattern(rf"\b{_AFTER_NOUN}\b", re.IGNORECASE, yes="cars are left", no="cars")
_BLANK = pattern(r"\(_+\)\s+([\w'-]+)", yes="(__) apples", no="() apples")
_YEAR = pattern(
    r"\bwhat (?:is|was) the year\b|\b(?:which|what|whose) (?:\w+ )?years?\b|^when\b"
    r"|\bin (?:which|what) (?:\w+ )?(?:year|decade)",
    re.IGNORECASE,
    yes="in which year",
    no="how many apples",
)
_WHICH = pattern(r"\b(?:which|what)\s(\w+)", re.IGNORECASE, yes="Which week", no="Who")


@lru_cache(maxsize=2048)
def wanted_by(question: str, unit: str = "") -> Wanted:
    """What `question` asks for; `unit` is what the data set says that the number counts."""
    asking = asked(clean(question))
    nouns = {stem(word) for word in unit.split()}
    for match in _HOW_MANY.finditer(asking):
        phrase = match.group(1)
        end = _PHRASE_END.search(phrase)
        nouns |= content(phrase[: end.start()] if end else phrase)
    nouns |= {stem(match.group(1)) for match in _BLANK.finditer(asking)}
    carrying = content(asking)
    return Wanted(
        question=asking,
        words=carrying,
        head=next((made for made in stems(asking) if made in carrying), ""),
        nouns=frozenset(nouns),
        year=bool(_YEAR.search(asking)),
        labels=frozenset(stem(match.group(1)) for match in _WHICH.finditer(asking)),
        given=frozenset(amount.value for amount in amounts(clean(question))),
    )


# -- numbers

_NUMBER = pattern(
    r"(?<![A-Za-z0-9_.^])(?<!\^\{)(?<!_\{)(?<![A-Za-z]\()"
    r"(?P<sign>[-+](?=[¤€£¥]?\s?[\d.]))?[¤€£¥]?\s?(?P<digits>\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s?/\s?(?P<below>\d+)(?!\d|\s?[=/*+]))?(?P<power>\s?\*\s?10\s?\^\s?\{?\s?-?\d{1,3}\s?\}?|[eE][-+]?\d{1,3})?",
    yes="has 4/2 cats",
    no="x_2",
)
_FRACTION = pattern(
    r"(?P<sign>-)?\\frac\s?\{\s?(?P<above>-?\d+(?:\.\d+)?)\s?\}\s?\{\s?(?P<below>\d+(?:\.\d+)?)\s?\}",
    yes=r"\frac{1}{2}",
    no=r"\frac{a}{2}",
)
_RATIO = pattern(r"(?<![\d:.])(\d{1,9})\s?:\s?(\d{1,9})(?![\d:.]\d|\s?[ap]\.?m)", yes="2:3", no="x:3")
POINT = pattern(r"(?<![A-Za-z])\(\s?(-?\d+(?:\.\d+)?)\s?,\s?(-?\d+(?:\.\d+)?)\s?\)", yes="(1, -2)", no="f(1, 2)")
_WORDS = any_of(
    "zero; one; two; three; four; five; six; seven; eight; nine; ten; eleven; twelve; thirteen; fourteen; fifteen",
    "sixteen; seventeen; eighteen; nineteen; twenty; thirty; forty; fifty; sixty; seventy; eighty; ninety; hundred",
)
_WORD_NUMBER = pattern(
    rf"(?<![\w-]){_WORDS}(?:[\s-](?:and[\s-])?{_WORDS})*(?!\w)", re.IGNORECASE, yes="twenty-one cats", no="someone"
)
_PRONOUN_BEFORE = pattern(
    r"\b(?:the|this|that|each|every|any|which|other|another|no|last|first|the only)\s$",
    re.IGNORECASE,
    yes="the ",
    no="with ",
)
_PRONOUN_AFTER = pattern(
    r"\s(?:of|can|another|who|that|which|is|must|should|has|would)\b",
    re.IGNORECASE,
    yes=" of them",
    no=" cat",
    by="match",
)
RANGE = pattern(
    r"\b(?:between|from)\s(?:about\s)?[¤€£¥]?-?\d[\d.]*%?(?:\s\w+)?\s(?:and|to)\s[¤€£¥]?-?\d[\d.]*"
    r"|(?<![\d.=]\s)(?<![A-Za-z0-9_.-])\d[\d.]*%?\s?(?:-|to)\s?\d[\d.]*(?!\s?[=\d])",
    re.IGNORECASE,
    yes="between 3 and 5",
    no="3 - 5 = -2",
)
EITHER = pattern(
    rf"(?:\d[\d.]*\s?[°%]?|\b{_WORDS})(?:\s\w+)?\sor\s(?:\w+\s)?(?:\d|{_WORDS}\b)",
    re.IGNORECASE,
    yes="3 or 4 cats",
    no="3 cats",
)


def amounts(text: str, wanted: Wanted | None = None) -> list[Amount]:
    """The numbers of a cleaned statement in order; those that cannot answer have a score below 0."""
    text = plain_digits(text, decimal_comma=False)
    found = [*_compound(text, wanted), *_spoken(text, wanted)]
    taken = [match.span() for pattern in (_FRACTION, POINT, _RATIO) for match in pattern.finditer(text)]
    for match in _NUMBER.finditer(text):
        if len(match["digits"]) > _MAX_DIGITS or any(start <= match.start() < end for start, end in taken):
            continue
        value, start = _value(match), match.start()
        if match["sign"] == "-" and _MINUS.search(text[max(0, start - 3) : start]):
            value, start = abs(value), start + 1
        found.append(_amount(text, value, (start, match.end()), wanted))
    ranges = [match.span() for match in RANGE.finditer(text)]
    return [
        amount._replace(score=-1) if any(start <= amount.start < end for start, end in ranges) else amount
        for amount in sorted(found, key=lambda amount: amount.start)
    ]


def _compound(text: str, wanted: Wanted | None) -> list[Amount]:
    found = [
        _amount(text, Fraction(int(match[1]), int(match[2])), match.span(), wanted)
        for match in _RATIO.finditer(text)
        if int(match[2])
    ]
    for match in _FRACTION.finditer(text):
        below = Fraction(match["below"][:_MAX_DIGITS])
        if below:
            value = Fraction(match["above"][:_MAX_DIGITS]) / below
            found.append(_amount(text, -value if match["sign"] else value, match.span(), wanted))
    return found


def _spoken(text: str, wanted: Wanted | None) -> list[Amount]:
    return [
        _amount(text, spoken.value, match.span(), wanted)
        for match in _WORD_NUMBER.finditer(text)
        if (spoken := word_number(match.group())) is not None and not _is_pronoun(text, match)
    ]


def _value(match: re.Match[str]) -> Fraction:
    value = Fraction(match["digits"])
    if match["below"] and len(match["below"]) <= _MAX_DIGITS and int(match["below"]):
        value /= int(match["below"])
    if power := match["power"]:
        exponent = int(re.findall(r"[-+]?\d+", power.replace("10", "", 1) if "*" in power else power)[-1])
        value *= Fraction(10) ** exponent
    return -value if match["sign"] == "-" else value


def _is_pronoun(text: str, match: re.Match[str]) -> bool:
    """`the smallest one`, `one of them` count nothing; `one object` and `there is one` do."""
    if match.group().lower() != "one":
        return False
    before, after = text[max(0, match.start() - 24) : match.start()], text[match.end() :]
    if _PRONOUN_BEFORE.search(before) or _PRONOUN_AFTER.match(after):
        return True
    return not (_BEHIND_IS.search(before) or re.match(r"\s[a-z]", after))


# -- what stands around a number

_COPULAS = any_of(
    r"\b(?:is|are|was|were|be|been|equals?|becomes?|reach(?:es|ed)?|gets?|got|gives?|yields?|costs?|spends?|spent)",
    r"\b(?:pays?|needs?|has|have|had|contains?|measures?|weighs?|shows?|reads?|holds?|to|of|at|answer|remain(?:s|ing)?)",
    r"\b(?:leav(?:es|ing)|left with)",
    "[=≈:∼]",
)
_FILLERS = any_of(
    r"\s; equal to; equals?; an?\b; the\b; only; about; approximately; approx\.?; around; roughly; nearly; almost",
    r"exactly; at\b; estimated; to be; total; of\b; value; sum; still; now; currently; just; likely; probably; as",
    "=; ≈; :; \"; '; \\(",
)
_BEHIND_IS = pattern(rf"{_COPULAS}{_FILLERS}*$", re.IGNORECASE, yes="the sum is about ", no="and ")
_RESULT = pattern(r"[=≈]\s?[({¤€£¥]*\s?$", yes="2 + 3 = ", no="2 + 3")
_MORE = any_of("more; less; greater; fewer; larger; smaller; higher; lower; older; younger; longer; shorter; other")
_BOUNDS = any_of(
    rf"{_MORE} than(?: or equal to)?; below; above; over; under; at least; at most; up to; between; exceed(?:s|ing)?",
    "beyond; within; before; after; until; since; from; not; n't; (?:ranging|ranges?) (?:from|between); out of",
    "for every; of (?:the|all|these|those|its|their|his|her); (?:subtract|remov|tak)(?:e|es|ing)(?: away| out)?; minus",
    "eliminat(?:e|es|ing)",
)
_BOUND = pattern(rf"\b{_BOUNDS}(?:\s(?:the|a|an|about))?\s?$|[<>≤≥]\s?$", re.IGNORECASE, yes="more than ", no="is ")
_LABELS = any_of(
    "figure; fig\\.?; step; question; problem; equation; option; table; case; part; example; method; section; choice",
    "hint; group; image",
)
_LABEL = pattern(rf"\b{_LABELS}\s?#?\(?$", re.IGNORECASE, yes="see Figure ", no="the ")
_ROOT = pattern(r"(?:sqrt|√)\s?[{(]?\s?$", yes="√", no="x")
_ORDINAL = pattern(r"(?:st|nd|rd|th)\b", re.IGNORECASE, yes="rd row", no=" rows", by="match")
_OPERATOR_BEFORE = pattern(r"[+*/^÷]\s?\(?[¤€£¥]?$|(?:[\d)%}]|\b[A-Za-z])\s?-\s?[¤€£¥]?\(?$", yes="3 + ", no="is ")
_MINUS = pattern(r"(?:[\d)%}]|\b[A-Za-z])\s?$", yes="3 ", no="is ")
_OPERATOR_AFTER = pattern(
    r"\s?%?\s?(?:[A-Za-z]{1,12}\s)?\)?\s?(?:[+*/÷^]|-\s?[¤€£¥]?[\d(]|-\s[a-zA-Z(\\]|=|≈|(?:minus|plus|times)\b)",
    yes=" + 3",
    no=" cats",
    by="match",
)
_VARIABLE = pattern(
    r"\s?(?:\\?sqrt|√|π|\^|\\frac)|(?![mgsNJVACLhKWk])[A-Za-z](?![A-Za-z])|\s[xyz](?![A-Za-z])|\(",
    yes="x",
    no=" cats",
    by="match",
)
_NAMED = pattern(r"([A-Za-z]+)\s(?:number\s|no\.\s|#)?$", yes="week number ", no="is: ")
_DATED = pattern(r"\b(?:in|of|year|during|for|by|and|,)\s$", yes="in ", no="sold ")
_YEARS = range(1500, 2101)


def _amount(text: str, value: Fraction, span: tuple[int, int], wanted: Wanted | None) -> Amount:
    start, end = span
    before, after = text[max(0, start - 60) : start], text[end : end + 60]
    result = bool(_RESULT.search(before))
    on_the_way = _OPERATOR_AFTER.match(after) or _VARIABLE.match(after)
    if not result:
        on_the_way = on_the_way or _ORDINAL.match(after) or _ROOT.search(before) or _OPERATOR_BEFORE.search(before)
        on_the_way = on_the_way or _LABEL.search(before) or _BOUND.search(before)
    if on_the_way:
        return Amount(value, start, end, -1)
    score = 4 if result else 3 if _BEHIND_IS.search(before) else 1
    return Amount(value, start, end, score if wanted is None else _fitting(score, value, before, after, wanted))


def _fitting(score: int, value: Fraction, before: str, after: str, wanted: Wanted) -> int:
    """The score of a number in the light of what is asked for."""
    near = [stem(word) for word in re.findall(r"[A-Za-z]+", after)[:4]]
    named = _NAMED.search(before)
    score += 2 * bool(wanted.nouns.intersection(near)) + 3 * bool(named and stem(named[1]) in wanted.labels)
    year = value.denominator == 1 and value in _YEARS and not after.lstrip().startswith("%")
    if wanted.year:
        return score + (2 if year else -1)
    if value in wanted.given:
        return 0 if score > 1 else -1
    return -1 if year and _DATED.search(before) else score
