"""Whether a statement affirms or denies what a question asks.

Three things turn a statement round: a negation, a word of measure with the other sign (`fewer` for `more`, `minimum`
for `maximum`), and the exchange of the two sides of a comparison.

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
_LARGE = words(
    "more greater larger higher high bigger taller longer older exceed exceeds most greatest largest highest biggest "
    "tallest longest oldest maximum max maximal surpasses outnumber stronger heavier warmer hotter wider many"
)
_SMALL = words(
    "fewer less smaller lower low shorter younger least fewest smallest lowest shortest youngest minimum min minimal "
    "weaker lighter colder cooler narrower few"
)
_SAME, _DIFFERENT = words("same equal identical similar"), words("different unequal differ distinct")
_OTHER_OPPOSITES = """
    increase increases increasing increased rises rising / decrease decreases decreasing decreased falls falling
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
    *(
        (one.split(), other.split())
        for one, other in (line.split("/") for line in _OTHER_OPPOSITES.strip().splitlines())
    ),
]
_SIZE, _SAMENESS = 0, 1
_AXIS = {
    word: (axis, sign)
    for axis, sides in enumerate(_OPPOSITES)
    for sign, side in zip((1, -1), sides, strict=True)
    for word in side
}
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
_THAN = pattern(r"\bthan\b", re.IGNORECASE, yes="fewer cats than dogs", no="thanks")
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
def _axes(text: str) -> dict[int, int]:
    """Axis -> sign of the words of measure in a text; an axis that is named with both signs is left out."""
    found: dict[int, set[int]] = {}
    for axis, sign in (_AXIS[word] for word in plain_words(text) if word in _AXIS):
        found.setdefault(axis, set()).add(sign)
    return {axis: signs.pop() for axis, signs in found.items() if len(signs) == 1}


def _negations(text: str) -> int:
    counted = sum(word in NEGATIONS or word.endswith("n't") for word in plain_words(text))
    return counted + len(_TOO.findall(text))


def equates(statement: str, question: str) -> bool:
    """Does a statement say that two things are equal, where the question asks which is larger?"""
    asked_axes = _axes(question)
    return _SIZE in asked_axes and _SAMENESS not in asked_axes and bool(_EQUAL.search(statement))


def turns_round(statement: str, question: str) -> bool:
    """Does a statement measure the other way than the question: `The cat is smaller ..` for `Which is larger?`"""
    return _axes(asked(question)).get(_SIZE, 0) * _axes(statement).get(_SIZE, 0) < 0


def polarity(statement: str, question: str) -> YesNo | None:
    """Does a statement affirm what the question asks? None when it is about something else."""
    wanted, said = content(question), frozenset(stems(statement))
    asked_axes, said_axes = _axes(question), _axes(statement)
    shared = [axis for axis in asked_axes if axis in said_axes]
    if equates(statement, question) and _SIZE not in said_axes:
        return _signed(1 if _negations(statement) else -1)
    compares = bool(_THAN.search(question)) or len(wanted & said) < max(1, len(wanted) // 2)
    if not (wanted & said or shared) or (asked_axes and not shared and compares):
        return None
    if not _same_thing(statement, wanted, said, measured=bool(shared)):
        # "The maximum is Orchid" for "Is Periwinkle the maximum?": another one is it
        another = _SUPERLATIVES & wanted & said and content(statement) - wanted and not _negations(statement)
        return "no" if another else None
    sign = 1
    for axis in shared:
        sign *= asked_axes[axis] * said_axes[axis]
    if _swapped(statement, question, wanted - _AXIS_STEMS):
        sign = -sign
    if _negations(statement) % 2 != _negations(question) % 2:
        sign = -sign
    return _signed(sign)


def _same_thing(statement: str, wanted: frozenset[str], said: frozenset[str], *, measured: bool) -> bool:
    """Is a statement about what the question is about? `measured`: it has one of the question's words of measure."""
    bare = wanted - _AXIS_STEMS
    if not bare or len(bare & said) / len(bare) >= _ABOUT_IT:
        return True
    if measured and len(bare) == 1 and not _SUPERLATIVES & wanted:
        return True
    return bool(_PRONOUN.match(statement)) and len(statement) <= _PRONOUN_CHARS


def _signed(sign: int) -> YesNo:
    return "yes" if sign > 0 else "no"


def _sides(question: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """The words of either side of `than` that the other does not have."""
    parts = _THAN.split(question, 1)
    if len(parts) != 2:
        return None
    left, right = (content(part) - _AXIS_STEMS for part in parts)
    return left - right, right - left


def _swapped(statement: str, question: str, bare: frozenset[str]) -> bool:
    """Are the two sides of a comparison exchanged: `A is less than B` against `B is less than A`?"""
    sides, told = _sides(question), _THAN.split(statement, 1)
    if sides is None or len(told) != 2:
        return False
    left, right = sides[0] & bare, sides[1] & bare
    before, after = frozenset(stems(told[0])), frozenset(stems(told[1]))
    return len(left & after) + len(right & before) > len(left & before) + len(right & after)


def by_counts(made: Sequence[Statement], question: str) -> YesNo | None:
    """Compare the two numbers that a text gives: `There are 2 cats and 5 dogs` for `Are there fewer cats than dogs?`"""
    sides, sign = _sides(question), _axes(question).get(_SIZE)
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
