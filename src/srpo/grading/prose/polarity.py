"""Whether a statement affirms or denies what a question asks.

Three things turn a statement round: a negation, a word of measure with the other sign (`fewer` for `more`, `minimum`
for `maximum`), and the exchange of the two sides of a comparison. A measure belongs to its subject: `The right one is
larger` denies that the left one is, and `The middle one is larger` says nothing about it.

>>> polarity("there are fewer dogs than cats", "Are there fewer cats than dogs?")
'no'
>>> polarity("there are more dogs than cats", "Are there fewer cats than dogs?")
'yes'
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words
from srpo.grading.prose.amounts import amounts
from srpo.grading.prose.text import Statement
from srpo.grading.prose.words import asked, content, stem, stems
from srpo.grading.rules.text import YesNo

NEGATIONS = frozenset(
    words(
        "not no never neither none nor cannot nothing nobody nowhere without isn't aren't wasn't weren't doesn't don't "
        "didn't can't won't couldn't wouldn't shouldn't hasn't haven't hadn't fails unable impossible incorrect false "
        "wrong untrue lacks hardly"
    )
)
_MORE = words(
    "more greater larger higher high bigger taller longer older exceed exceeds exceeded surpass surpasses outnumber "
    "outnumbers stronger heavier warmer hotter wider many"
)
_LESS = words("fewer less smaller lower low shorter younger weaker lighter colder cooler narrower few")
_MOST = words("most greatest largest highest biggest tallest longest oldest maximum max maximal")
_LEAST = words("least fewest smallest lowest shortest youngest minimum min minimal")
_LARGE, _SMALL = [*_MORE, *_MOST], [*_LESS, *_LEAST]
_UP = words("increase increases increasing increased rise rises rising rose grew")
_DOWN = words("decrease decreases decreasing decreased fall falls falling fell dropped")
_SAME, _DIFFERENT = words("same equal identical similar"), words("different unequal differ distinct")
_OTHER_OPPOSITES = """
    roughest rough rougher / smoothest smooth smoother
    front / behind back
    before earlier / after later
    day daytime / night nighttime
    fast faster fastest / slow slower slowest
    top upper / bottom
    above over / below under beneath
    odd / even
    positive / negative
    continuous / discontinuous
    left / right
    inside / outside
    convex / concave
    possible / impossible
    open / closed
    first / last
"""
_OPPOSITES = [
    (_LARGE, _SMALL),
    (_SAME, _DIFFERENT),
    (_UP, _DOWN),
    *(
        (one.split(), other.split())
        for one, other in (line.split("/") for line in _OTHER_OPPOSITES.strip().splitlines())
    ),
]
_SIZE, _SAMENESS, _CHANGE = 0, 1, 2
_AXIS = {
    word: (axis, sign)
    for axis, sides in enumerate(_OPPOSITES)
    for sign, side in zip((1, -1), sides, strict=True)
    for word in side
}
_COMPARATIVES = frozenset((*_MORE, *_LESS)) - {"high", "low", "many", "few"}
_VERBS = frozenset(words("exceed exceeds exceeded surpass surpasses outnumber outnumbers"))
_EXTREMES = frozenset((*_MOST, *_LEAST))
_COMPARATIVE_STEMS = frozenset(stem(word) for word in _COMPARATIVES)
_VAGUE = frozenset(stem(word) for word in words("slightly much actually clearly really bit little far"))
_AXIS_STEMS = frozenset(stem(word) for word in _AXIS)
_SUPERLATIVES = frozenset(
    stem(word)
    for word in words(
        "maximum max minimum min highest lowest greatest least smallest largest biggest tallest shortest longest most "
        "fewest smoothest roughest oldest youngest top bottom first last"
    )
)
_EQUAL = pattern(
    r"\b(?:(?:the )?same (?:number|amount|value|size|age|height|length|as)|equal (?:number|amount|to)"
    r"|(?:are|is) (?:both )?equal|equals?|as many \w+(?: \w+){0,4} as|identical)\b",
    re.IGNORECASE,
    yes="the same number of cats",
    no="numbers",
)
_THAN = pattern(
    r"\b(?:than|exceed(?:s|ed|ing)?|surpass(?:es|ed)?|outnumbers?)\b",
    re.IGNORECASE,
    yes="fewer cats than dogs",
    no="thanks",
)
_FROM_TO = pattern(r"\bfrom\b(.{1,60})\bto\b(.{1,60})", re.IGNORECASE, yes="from 3 in 2017 to 4 in 2018", no="to 4")
_ALL = frozenset(words("they both these it neither one"))
_PLAIN = pattern(r"[a-z]+(?:'t)?", yes="isn't", no="123")
_TOO = pattern(r"\btoo \w+ (?:for \w+ )?to\b", re.IGNORECASE, yes="too small to fit", no="to fit")
_PRONOUN = pattern(
    r"\W*(?:(?:so|but|when|then|and|therefore|thus|yet),? )?(?:it|they|both|these|this|he|she)\b",
    re.IGNORECASE,
    yes="So they are",
    no="Cats are",
    by="match",
)
_SIGNS = (("<", " less than "), (">", " greater than "), ("≤", " at most "), ("≥", " at least "), ("=", " equals "))
_ABOUT_IT = 1 / 3
"""Share of the question's words from which a statement is about the same thing."""
_PRONOUN_CHARS = 60


def spelled_out(text: str) -> str:
    """`x < y` in words."""
    for sign, spelling in _SIGNS:
        text = text.replace(sign, spelling)
    return text


def plain_words(text: str) -> list[str]:
    """The words of a text in small letters, contractions whole."""
    return _PLAIN.findall(text.lower())


@lru_cache(maxsize=4096)
def _axes(text: str, names: frozenset[str] = frozenset()) -> dict[int, int]:
    """Axis -> sign of the words of measure in a text, but for `names`; an axis with both signs is left out."""
    found: dict[int, set[int]] = {}
    said = plain_words(text)
    # in "Are the two shortest bars longer?" the superlative names the bars, and the comparative asks
    compares = any(word in _COMPARATIVES for word in said)
    for word in said:
        if word in _AXIS and word not in names and not (compares and word in _EXTREMES):
            axis, sign = _AXIS[word]
            found.setdefault(axis, set()).add(sign)
    return {axis: signs.pop() for axis, signs in found.items() if len(signs) == 1}


@lru_cache(maxsize=2048)
def _named_by(question: str) -> frozenset[str]:
    """Words of measure that only name something in a question that compares: `the lower bar`, `the shortest bars`."""
    before = plain_words(_THAN.split(question, 1)[0])
    asking = next((word for word in reversed(before) if word in _COMPARATIVES), "")
    said = frozenset(plain_words(question))
    if not said & _COMPARATIVES or not _THAN.search(question):
        return said & _EXTREMES if said & _COMPARATIVES else frozenset()
    return said & (_COMPARATIVES | _EXTREMES) - {asking} - _VERBS


def _negations(text: str) -> int:
    counted = sum(word in NEGATIONS or word.endswith("n't") for word in plain_words(text))
    return counted + len(_TOO.findall(text))


def equates(statement: str, question: str) -> bool:
    """Does a statement say that two things are equal, where the question asks which is larger?"""
    asked_axes = _axes(question, _named_by(question))
    return _SIZE in asked_axes and _SAMENESS not in asked_axes and bool(_EQUAL.search(statement))


def turns_round(statement: str, question: str) -> bool:
    """Does a statement measure the other way than the question: `The cat is smaller ..` for `Which is larger?`"""
    return _axes(asked(question)).get(_SIZE, 0) * _axes(statement).get(_SIZE, 0) < 0


def polarity(statement: str, question: str) -> YesNo | None:  # noqa: PLR0911 - one return a rule
    """Does a statement affirm what the question asks? None when it is about something else."""
    wanted, said = content(question), frozenset(stems(statement))
    names = _named_by(question)
    asked_axes, said_axes = _axes(question, names), _axes(statement, names)
    shared = [axis for axis in asked_axes if axis in said_axes]
    if equates(statement, question) and _SIZE not in said_axes:
        return _signed(1 if _negations(statement) else -1)
    if _SAMENESS in asked_axes and _SAMENESS not in said_axes and _differs(statement):
        return None if _negations(statement) else _signed(-asked_axes[_SAMENESS])
    if _SIZE in asked_axes and not shared and _CHANGE in said_axes:
        return _by_change(statement, question, asked_axes[_SIZE] * said_axes[_CHANGE])
    compares = bool(_THAN.search(question)) or len(wanted & said) < max(1, len(wanted) // 2)
    if not (wanted & said or shared) or (asked_axes and not shared and compares):
        return None
    if not _same_thing(statement, wanted, said, shared):
        # "The maximum is Orchid" for "Is Periwinkle the maximum?": another one is it
        another = _SUPERLATIVES & wanted & said and content(statement) - wanted and not _negations(statement)
        return "no" if another else None
    sign = 1
    for axis in shared:
        sign *= asked_axes[axis] * said_axes[axis]
    turned = _swapped(statement, question) if _SIZE in shared else 1
    if turned == 0:
        return None
    sign *= turned
    if _negations(statement) % 2 != _negations(question) % 2:
        sign = -sign
    return _signed(sign)


def _same_thing(statement: str, wanted: frozenset[str], said: frozenset[str], shared: Sequence[int]) -> bool:
    """Is a statement about what the question is about? `shared`: axes of the question that it measures."""
    bare = wanted - _AXIS_STEMS
    if not bare or len(bare & said) / len(bare) >= _ABOUT_IT:
        return True
    if _SAMENESS in shared and bare & said and len(statement) <= _PRONOUN_CHARS:
        return True
    if shared and len(bare) == 1 and not _SUPERLATIVES & wanted:
        return True
    return bool(_PRONOUN.match(statement)) and len(statement) <= _PRONOUN_CHARS


def _signed(sign: int) -> YesNo:
    return "yes" if sign > 0 else "no"


def _sides(question: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """The words of either side of `than` that the other does not have."""
    parts = _THAN.split(question, 1)
    if len(parts) != 2:
        return None
    names = frozenset(stem(word) for word in _named_by(question))
    left, right = (content(part) - (_COMPARATIVE_STEMS - names) for part in parts)
    return left - right, right - left


def _swapped(statement: str, question: str) -> int:
    """-1 when the two sides of a comparison are exchanged: `A is less than B` against `B is less than A`.

    0 when the statement measures something that is on neither side, else 1.
    """
    sides, told = _sides(question), _THAN.split(statement, 1)
    if sides is None:
        return 1
    left, right = sides
    before = frozenset(stems(told[0]))
    if len(told) == 2:
        after = frozenset(stems(told[1]))
        return -1 if len(left & after) + len(right & before) > len(left & before) + len(right & after) else 1
    if left & before or not right or _ALL.intersection(plain_words(told[0])):
        return -1 if right & before and not left & before else 1
    if right & before:
        return -1
    return 1 if content(statement) - _AXIS_STEMS <= content(question) | _VAGUE else 0


def _differs(statement: str) -> bool:
    """Does a statement compare, so that two things are not the same?"""
    return any(word in _COMPARATIVES for word in plain_words(statement))


def _by_change(statement: str, question: str, sign: int) -> YesNo | None:
    """`The sales fell from 4 in 2017 to 3 in 2018` for `Did the sales in 2018 exceed those in 2017?`"""
    sides, told = _sides(question), _FROM_TO.search(statement)
    if sides is None or told is None or _negations(statement):
        return None
    start, end = (frozenset(stems(part)) for part in told.groups())
    if sides[0] & end and sides[1] & start:
        return _signed(sign)
    return _signed(-sign) if sides[0] & start and sides[1] & end else None


def by_counts(made: Sequence[Statement], question: str) -> YesNo | None:
    """Compare the two numbers that a text gives: `There are 2 cats and 5 dogs` for `Are there fewer cats than dogs?`"""
    sides, sign = _sides(question), _axes(question, _named_by(question)).get(_SIZE)
    if sides is None or sign is None:
        return None
    left: list[Fraction] = []
    right: list[Fraction] = []
    for statement in made:
        text = statement.text
        found = [amount for amount in amounts(text) if amount.score >= 0]
        starts = [*(amount.start for amount in found), len(text)]
        for amount, (_, following) in zip(found, pairwise(starts), strict=True):
            near = frozenset(stems(text[amount.end : min(following, amount.end + 60)]))
            if not near & (sides[0] | sides[1]):
                near = frozenset(stems(text[max(0, amount.start - 60) : amount.start]))
            weight = len(near & sides[0]) - len(near & sides[1])
            if weight:
                (left if weight > 0 else right).append(amount.value)
    if len(set(left)) != 1 or len(set(right)) != 1:
        return None
    return _signed(1 if (left[0] - right[0]) * sign > 0 else -1)
