"""Answers in words: equality of texts, yes and no, and a small table of common words in Chinese."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words

_ARTICLES = frozenset(("a", "an", "the"))
_SPELLINGS = {
    "colour": "color", "grey": "gray", "centre": "center", "metre": "meter", "litre": "liter", "rightangled": "right",
    "angled": "", "organisation": "organization", "behaviour": "behavior", "aluminium": "aluminum",
}  # fmt: skip
_CHINESE_WORDS = {
    "三角形": "triangle", "等腰三角形": "isosceles triangle", "等边三角形": "equilateral triangle",
    "正三角形": "equilateral triangle", "直角三角形": "right triangle", "锐角三角形": "acute triangle",
    "钝角三角形": "obtuse triangle", "正方形": "square", "长方形": "rectangle", "矩形": "rectangle",
    "平行四边形": "parallelogram", "菱形": "rhombus", "梯形": "trapezoid", "等腰梯形": "isosceles trapezoid",
    "四边形": "quadrilateral", "五边形": "pentagon", "六边形": "hexagon", "正六边形": "regular hexagon",
    "八边形": "octagon", "圆": "circle", "圆形": "circle", "半圆": "semicircle", "椭圆": "ellipse",
    "扇形": "sector", "抛物线": "parabola", "双曲线": "hyperbola", "直线": "straight line", "球": "sphere",
    "球体": "sphere", "圆柱": "cylinder", "圆柱体": "cylinder", "圆锥": "cone", "圆锥体": "cone", "正方体": "cube",
    "立方体": "cube", "长方体": "cuboid", "棱柱": "prism", "棱锥": "pyramid", "红色": "red", "红": "red",
    "蓝色": "blue", "蓝": "blue", "绿色": "green", "绿": "green", "黄色": "yellow", "黄": "yellow",
    "黑色": "black", "黑": "black", "白色": "white", "白": "white", "橙色": "orange", "紫色": "purple",
    "灰色": "gray", "粉色": "pink", "粉红色": "pink", "棕色": "brown", "左": "left", "右": "right side",
    "上": "up", "下": "down", "北": "north", "南": "south", "东": "east", "西": "west", "东北": "northeast",
    "西北": "northwest", "东南": "southeast", "西南": "southwest", "增加": "increase", "增大": "increase",
    "减少": "decrease", "减小": "decrease", "不变": "unchanged", "相等": "equal", "平行": "parallel",
    "垂直": "perpendicular", "相似": "similar", "全等": "congruent", "锐角": "acute angle", "直角": "right angle",
    "钝角": "obtuse angle", "奇数": "odd", "偶数": "even", "第一象限": "first quadrant",
    "第二象限": "second quadrant", "第三象限": "third quadrant", "第四象限": "fourth quadrant",
    "无解": "no solution",
}  # fmt: skip
_SYNONYMS = {
    "trapezium": "trapezoid", "rectangular prism": "cuboid",
    "upward": "up", "upwards": "up", "downward": "down", "downwards": "down",
}  # fmt: skip
_CHINESE_EDGES = pattern(r"^(?:答案[是为]?|应?[是为]|这[是个]|它是|一[个条种])|(?:。|的)$", yes="答案是红色", no="红色")
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_QUADRANTS = {
    name: word
    for names, word in zip(
        (("i", "1", "1st"), ("ii", "2", "2nd"), ("iii", "3", "3rd"), ("iv", "4", "4th")),
        ("first", "second", "third", "fourth"),
        strict=True,
    )
    for name in names
}
_QUADRANT = pattern(
    r"\bquadrant (i{1,3}|iv|[1-4])\b|\b(i{1,3}|iv|1st|2nd|3rd|4th) quadrant\b", yes="quadrant ii", no="second quadrant"
)
_ORDINAL = pattern(r"第(\d|i{1,3}|iv)(?![\da-z])", yes="第2", no="第12")
_NOT_WORD = pattern(r"[^\w+#%&<>=*/.'^∥⊥≅∼≠≤≥∈∪∩→∅∞π±°√-]+", yes="a, b", no="ab")
_GREEK = {
    ord(unicodedata.lookup(f"GREEK SMALL LETTER {name}")): name.lower()
    for name in words(
        "ALPHA BETA GAMMA DELTA EPSILON ZETA ETA THETA IOTA KAPPA MU NU XI PI RHO SIGMA TAU UPSILON PHI CHI PSI OMEGA"
    )
} | {ord("λ"): "lambda"}
_DIMENSIONS = pattern(r"(?<=\d)\s?[*×x]\s?(?=\d)", yes="3 x 4", no="x 4")
_TRADITIONAL = str.maketrans("圓長對錯紅綠藍黃東邊體線無減", "圆长对错红绿蓝黄东边体线无减")


def _bare_word(word: str) -> str:
    """A word without its punctuation; the sign of a number is no punctuation."""
    bare = word.strip(".'")
    return (bare if bare[1:2].isdigit() or bare[1:2] == "." else bare.strip("-")) or word


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


@lru_cache(maxsize=2048)
def fold(text: str) -> str:
    """Normal form of a text: case, articles, hyphens, plurals, punctuation and British spelling do not count."""
    text = text.casefold().translate(_TRADITIONAL).strip()
    if not text.isascii():
        text = text.translate(_GREEK)
        text = text.replace(" ", "") if text[:1] >= "一" else text
        text = _ORDINAL.sub(
            lambda match: "第" + "零一二三四五六七八九"[int(_ROMAN.get(match.group(1), match.group(1)))],
            _CHINESE_EDGES.sub("", text) or text,
        )
        text = _CHINESE_WORDS.get(text, text)
    if "quadrant" in text and (quadrant := _QUADRANT.search(text)):
        number = _QUADRANTS[quadrant[1] or quadrant[2]]
        text = text.replace(quadrant.group(), f"{number} quadrant")
    text = _DIMENSIONS.sub("x", re.sub(r"(?<=\w)[-_](?=\w)", " ", text.replace("{", "").replace("}", "")))
    words = [_bare_word(word) for word in _NOT_WORD.sub(" ", text).split()]
    words = [_SPELLINGS.get(word, word) for word in words if word not in _ARTICLES] or words
    folded = " ".join(_singular(word) for word in words if word)
    return _SYNONYMS.get(folded, folded)


def same_text(gold: str, other: str) -> bool:
    """Equality of two texts after folding; spaces between words do not count."""
    left, right = fold(gold), fold(other)
    if not left or not right:
        return gold.strip() == other.strip() and bool(gold.strip())
    if left == right or _unspaced(left) == _unspaced(right):
        return True
    return not left.isascii() and not right.isascii() and _han_digits(left) == _han_digits(right)


_SPACE = pattern(r"(?<!\d) | (?!\d)", yes="a 1", no="1 2")


def _unspaced(text: str) -> str:
    """Without the blanks between words; those between figures tell `1 2` from `12`."""
    return _SPACE.sub("", text)


_HAN_DIGITS = str.maketrans("一二三四五六七八九〇零两", "123456789002")


def _han_digits(text: str) -> str:
    return text.translate(_HAN_DIGITS).replace(" ", "")


YesNo = Literal["yes", "no"]
_YES = frozenset(words("yes true yeah yep yup correct right 是 是的 对 对的 正确 能 可以 会 有 √"))
_NO = frozenset(words("no false nope incorrect wrong 否 不 不是 不对 错 错误 错的 不正确 不能 不可以 不会 没有 ×"))
_GOLD_YES = frozenset(words("yes true 是 是的 对 正确 √ correct"))
_GOLD_NO = frozenset(words("no false 否 不是 不对 错 错误 × incorrect"))
_WORD = pattern(r"[a-z']+|[一-鿿]+|[√×]", yes="yes, it is", no="...")
_LEADING = pattern(
    r"^(?:the )?(?:final )?(?:answer|statement|claim|conclusion|it|that|this)?(?: (?:is|would be|must be))?\s?:?\s?",
    yes="the answer is yes",
    no="yes",
)
_BOTH = pattern(
    r"\b(?:yes|true)\b\s?(?:/|,|or|and)\s?\b(?:no|false)\b|\b(?:no|false)\b\s?(?:/|,|or|and)\s?\b(?:yes|true)\b|是\s?(?:[/,]|或|还是)\s?否|是不是|对不对",
    yes="yes or no",
    no="yes",
)


_INITIALS: dict[str, YesNo] = {"y": "yes", "n": "no", "t": "yes", "f": "no"}
_CHINESE_LEAD = pattern(r"^(?:所以|因此|故)?答案[是为:：]?\s?(?=[a-z])", yes="答案是yes", no="答案是对")
_EMPHATIC_NO = pattern(
    r"(?:(?:absolutely|definitely|certainly|of course|surely|clearly|obviously) not|not at all|by no means|never"
    r"|no way|in the negative|negative)(?=$|[.,;!])|✗$",
    yes="absolutely not.",
    no="absolutely",
    by="match",
)
_EMPHATIC_YES = pattern(
    r"(?:definitely|indeed|of course|sure|absolutely|certainly|surely|in the affirmative|affirmative)[.!]*",
    yes="definitely.",
    no="definitely not",
    by="fullmatch",
)
_SAYS = pattern(
    r"^(?:i(?:'d| would)? say|i (?:think|believe))(?: that)?:? (?=(?:yes|no)\b)", yes="i'd say no", no="i say"
)
_HENCE = pattern(
    r"^(?:and )?(?:so|therefore|thus|hence|then|i(?:'d| would) say|definitely|certainly),? ", yes="so yes", no="some"
)
_NO_DOUBT = pattern(
    r"\b(?:there is |without )?(?:no|any) (?:doubt|question)(?: about (?:it|that))?\b", yes="there is no doubt", no="no"
)
_VERDICT = r"(?:yes|no|true|false)"
# "yes is wrong", "yes ≠ x" speak about the word
_TALKED_ABOUT = pattern(
    rf"[<>≤≥≠+?]|{_VERDICT}(?:\s?(?:[≠≤≥±+?]|吗)|\s(?:or|is (?!(?:the |my )?(?:correct|right|answer|true)\b)"
    r"|seems|cannot|can't|isn't))",
    yes="yes is wrong",
    no="yes it is",
    by="match",
)
_OTHER_TOO = pattern(
    rf"{_VERDICT}\b.{{0,40}}?(?:\b(?:or|but|though|and|plus|versus|vs)\b|[,;/.])\s?(?:also |not )?{_VERDICT}"
    rf"(?=$|[,;(]|\s(?:is|too|also|works|if|when)\b)",
    yes="yes, but also no",
    no="yes, it is",
    by="match",
)


def gold_yes_no(text: str) -> YesNo | None:
    """Read a gold answer as yes or no; None when it is neither."""
    bare = text.strip(" .。!'\"").casefold().translate(_TRADITIONAL)
    return "yes" if bare in _GOLD_YES else "no" if bare in _GOLD_NO else None


def says_yes_or_no(text: str) -> bool:
    """Does any word of `text` say yes or no?"""
    return any(_one_word(word) for word in _WORD.findall(text[:400].casefold()))


def yes_no(text: str) -> YesNo | None:  # noqa: PLR0911 - one return a rule
    """Read what a prediction decides; None when it says both, hedges, or says neither."""
    text = text.casefold().translate(_TRADITIONAL).strip(" .。!,'\"*")
    if text in _INITIALS:
        return _INITIALS[text]
    text = _NO_DOUBT.sub(" ", _CHINESE_LEAD.sub("", text)).strip(" .,")
    if len(text) > 400 or _BOTH.search(text) or _TALKED_ABOUT.match(text) or _OTHER_TOO.match(text):
        return None
    if _EMPHATIC_NO.match(text) or _EMPHATIC_YES.fullmatch(text):
        return "no" if _EMPHATIC_NO.match(text) else "yes"
    words: list[str] = _WORD.findall(text)
    if not words:
        return None
    text = _SAYS.sub("", text)
    words = _WORD.findall(text) or words
    first = _one_word(words[0])
    if first and (len(words) == 1 or not _taken_back(words)):
        return first
    if first and _taken_back(words) and words[-1] in (_NO if first == "yes" else _YES):
        return None
    rest = _WORD.findall(_LEADING.sub("", text, count=1))
    if rest and len(rest) <= 8 and (decided := _one_word(rest[0])) and not _taken_back(rest):
        return decided
    if rest[:1] == ["not"] and rest[1:2] and (decided := _one_word(rest[1])):
        return "no" if decided == "yes" else "yes"
    return _last_word(text, words)


def _one_word(word: str) -> YesNo | None:
    if word in _YES:
        return "yes"
    if word in _NO:
        return "no"
    if word[:1] >= "一":
        if word.startswith(("不", "否", "错", "没")) or (word.startswith("肯定") and "不" in word):
            return "no"
        if word.startswith(("是", "对", "正确", "肯定")) and not word.startswith("是否"):
            return "yes"
        if word.startswith("答案") and (tail := word.removeprefix("答案").lstrip("是为")) != word:
            return _one_word(tail) if tail else ("yes" if word == "答案是" else None)
    return None


def _taken_back(words: list[str]) -> bool:
    """`no doubt it is yes`, `no idea`, `right triangle`: the first word is not the verdict."""
    first = words[0]
    if first == "no" and words[1:2] and words[1] in ("doubt", "idea", "answer", "one", "matter", "problem", "clue"):
        return True
    if (
        first in ("right", "correct", "wrong", "true", "false")
        and words[1:2]
        and words[1] not in ("because", "since", "as", "the", "it", "this")
    ):
        return True
    other = ("no", "false") if first in _YES else ("yes", "true")
    return words[-1] in other and words[-2] not in ("not", "never", "isn't", "aren't", "wasn't")


def _last_word(text: str, words: list[str]) -> YesNo | None:
    """`There is no doubt: yes.`: a verdict after a colon or a comma at the very end."""
    tail = _HENCE.sub("", re.split(r"[:,;-]\s|\bis\s", text)[-1].strip(" ."))
    decided = _one_word(tail) if len(words) > 1 and len(tail.split()) == 1 else None
    negated = re.search(r"\b(?:not|never|n't)\s+\w*\s*$", text[: len(text) - len(tail)])
    return None if negated else decided
