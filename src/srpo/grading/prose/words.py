"""Words without their endings, the words of a text that carry meaning, and the sentence of a question that asks.

>>> sorted(content("Are there fewer metallic fighters than wooden objects?"))
['fewer', 'fight', 'metallic', 'object', 'wooden']
>>> stem("rubber")  # stems are compared with stems, and need not be words
'rubb'
>>> asked("The figure shows a car. If it has four wheels, how many wheels are hidden?")
'how many wheels are hidden?'
"""

import re
from functools import lru_cache

from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of, words

_WORD = pattern(r"[A-Za-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[一-鿿]|[\u0600-\u06ff]+", yes="5 cats", no="...")
_STOP = frozenset(
    words(
        "a an the of in on at to for from by with as and or but is are was were be been being am do does did has have "
        "had having will would can could shall should may might must this that these those it its it's they them "
        "their there here we you i he she his her him our us your what which who whom whose when where how why if so "
        "then thus therefore hence than such into onto about also very just only please any some each both all "
        "image picture figure graph chart diagram shown based given question following answer according provided "
        "appear appears seem seems visible see seen 的 是 为 则 若 如 图 中 在 和 有 这 个 所 示"
    )
)
_ENDINGS = ("iness", "ing", "ied", "ies", "ed", "es", "ers", "er", "ly", "s", "e")
_TO_Y = frozenset(("iness", "ied", "ies"))
_KEPT = frozenset(
    words(
        "number other under over greater fewer lower higher larger smaller longer shorter older younger taller bigger "
        "water paper lager never ever after order center centre meter liter perimeter diameter speed need red bed "
        "less class glass grass gas bus plus minus this series species does lens axis radius always yes as us"
    )
)
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "persons": "person", "mice": "mouse",
    "feet": "foot", "leaves": "leaf", "died": "die", "dies": "die", "dying": "die", "dead": "die", "grew": "grow",
    "grown": "grow", "fell": "fall", "fallen": "fall", "rose": "rise", "risen": "rise", "ate": "eat", "eaten": "eat",
    "spent": "spend", "bought": "buy", "paid": "pay", "sold": "sell", "went": "go", "gone": "go", "goes": "go",
    "lost": "lose", "gave": "give", "given": "give",
}  # fmt: skip


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A word without the ending that number and tense give it; `decreased` and `decreases` are one."""
    # the segment BE is not the verb
    if word.isupper() and 1 < len(word) <= 3 and word.lower() in _STOP:
        return word
    word = word.lower()
    if word in _IRREGULAR or word in _KEPT or not word.isascii() or not word[:1].isalpha():
        return _IRREGULAR.get(word, word)
    word = word if word.endswith("n't") else word.split("'")[0]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending in _TO_Y:
                return word + "y"
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sle" else word


def stems(text: str) -> tuple[str, ...]:
    """All words of `text`, stemmed, in order."""
    return tuple(stem(word) for word in _WORD.findall(text))


@lru_cache(maxsize=8192)
def content(text: str) -> frozenset[str]:
    """The stems that carry meaning."""
    found = ((stem(word), word) for word in _WORD.findall(text))
    return frozenset(made for made, word in found if made.isupper() or word.lower() not in _STOP)


_QUESTION_WORDS = any_of("what; which; how; who; when; where; find; is; are; do; does; did")
_ASKS = pattern(
    rf"\b(?:{_QUESTION_WORDS}|why|was|were|can|could|has|have|will|would|should|calculate|compute|determine|subtract"
    r"|fill|choose|select|estimate|complete|move)\b",
    re.IGNORECASE,
    yes="How many?",
    no="The figure.",
)
_SENTENCE = pattern(r"(?<=[.?!。？！])\s+|\n+|(?<=[。？！])", yes="One. Two", no="One, two")
_PREMISE = pattern(
    rf"^(?:if|when|given|suppose|assuming|since)\b[^?]*,\s(?={_QUESTION_WORDS}\b)",
    re.IGNORECASE,
    yes="If x = 2, what is y?",
    no="What is y if x = 2?",
)
_BLANK_END = pattern(r"[(（]\s?[)）][\s.。]*$", yes="AB = ()", no="f(x)")
_BEFORE_BLANK = pattern(r"[,，;；](?!\d)|\bthen\b|则", yes="x, y", no="1,000")


@lru_cache(maxsize=2048)
def asked(question: str) -> str:
    """The sentence of a question that asks, without its premise: the last one with a question mark, else the last."""
    parts = [part for part in _SENTENCE.split(question.strip()) if part.strip()]
    asking = [part for part in parts if part.rstrip(" '\")").endswith(("?", "？"))]
    asking = asking or [part for part in parts if _ASKS.search(part)]
    last = _PREMISE.sub("", (asking or parts or [""])[-1])
    # "如图，AB＝AC，则∠D＝（）", "if ∠D = 55, then ∠BCE = ()": what is asked stands before the blank
    tail = _BEFORE_BLANK.split(last)[-1] if _BLANK_END.search(last) else ""
    return tail if len(tail) > 3 else last
