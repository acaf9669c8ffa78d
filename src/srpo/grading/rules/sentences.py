"""Answers inside sentences: `The area is 12 cm².`, `x = 5 is the solution`, `她一共有 3 个苹果。`

Reductions are tried from the whole text inwards, and only while the text is not understood, so that a part of an
answer (`2 or 3`) is never taken for the whole.
"""

import re
from collections.abc import Iterator

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of
from srpo.grading.rules.hedges import blurred, negated
from srpo.grading.rules.splitting import trim

_MAX_CHARS = 500
_ANSWER_CHARS = 12

_LEAD_WORDS = any_of(
    "so; thus; therefore; hence; then; finally; ok; okay; well; sure; yes; because; in conclusion; conclusion",
    "i (?:think|believe|say|get|got|choose|find|found); we (?:find|get|have|see|know|conclude|obtain)",
    "that; the; my; our; its?; it's; this; there; they; exactly; only; just; simply",
    r"(?:correct|right|final|exact)(?=\s(?:answer|option|choice|solution|result|value))",
    "answer; ans; solution; result; value; option; choice",
    "is; are; was; equals?; equal to; must be; should be; would be; will be; would; will",
)
_LEAD_CHINESE = any_of("所以; 因此; 故选; 故; 综上所述; 综上; 则; 即; 最终答案; 答案; 答; 结果; 应该; 应; 为; 是; 等于")
_LEAD = pattern(
    rf"^(?:[\s,:*_]|{_LEAD_WORDS}|{_LEAD_CHINESE})(?=\s|[,:*_\d(\[$\\-]|[\u4e00-\u9fff]|$)",
    re.IGNORECASE,
    yes="so 5",
    no="sorry",
    by="match",
)
_CJK_LEAD = pattern(rf"^(?:{_LEAD_CHINESE}|[,:])\s?", yes="答案5", no="5", by="match")
_TRAIL = pattern(
    r"\s(?:is|are|would be|must be)\s(?:the|our|my|a)?\s?(?:only |final |correct |right |required |best )*"
    rf"{any_of('answer; solution; result; choice; one; value; correct; right')}s?$",
    re.IGNORECASE,
    yes="5 is the only solution",
    no="5 is it",
)
_REASON_WORDS = any_of(
    "because\\b; since\\b; where\\b; which\\b; as (?:the\\b|it\\b|there\\b|we\\b|a\\s); so that\\b; by the\\b",
    "for (?:all|any|every|each)\\b; for [a-zA-Z]\\s?[<>≤≥≠∈]",
)
_REASON = pattern(
    rf"[,;]?\s{_REASON_WORDS}|[,;]?(?:因为|由于)|,\s(?:so|not|and not)\s",
    re.IGNORECASE,
    yes="5 because 2 + 3",
    no="5 causes",
)
_VERBS = any_of(
    "is; are; was; were; be; equals?; equal to; gives?; yields?; has; have; contains?; becomes?; of; =; ≈; about"
)
_COPULA = pattern(
    rf"\s{_VERBS}\s|(?<!\d):\s?|=\s?|[是为得]|{any_of('等于; 共有; 一共; 约为; 有')}",
    re.IGNORECASE,
    yes="the area is 5",
    no="the area",
)
_SEPARATE = pattern(r"\s(?:or|and)\s|,|;|或|和", re.IGNORECASE, yes="2, 3", no="23")
_CHOICE = pattern(r"\s(?:or|and)\s|或|和", re.IGNORECASE, yes="2 or 3", no="2, 3")
_COUNT_WORDS = any_of("two; three; four; five; six; seven; eight; nine; ten; eleven; twelve")
_AFTER_COUNT = any_of(
    "with; in; that; left; which; of; on; below; above; sold; after; who; whose; between; from; less; more"
)
_THERE_ARE = pattern(
    rf"there (?:are|is|were|was) (?:a total of |only |exactly |just )?((?:\d[\d,]*|{_COUNT_WORDS})(?: [a-z-]+){{1,3}}?)"
    rf" {_AFTER_COUNT}\b(?!.*\b(?:and|or) (?:\d|{_COUNT_WORDS}))",
    re.IGNORECASE,
    yes="there are 5 cats left",
    no="there are cats left",
)
_WORD_NUMBER = pattern(rf"\b{_COUNT_WORDS}\b", re.IGNORECASE, yes="five cats", no="fives")
_NUMBER = pattern(
    r"(?<![A-Za-z\d.])[-+]?(?:[¤€£¥]\s?)?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?", yes="costs ¤1,250.5", no="x5"
)
_AFTER_NUMBER = any_of(
    "is; are; was; were; in; on; at; for; left; because; since; as; when; if; that; which; from; by; with; to",
    "inside; shown; remaining; there; than; altogether; total",
)
_STOP = pattern(
    rf"[,;!?]|\.(?!\d)|\s{_AFTER_NUMBER}\b|[\u4e00-\u9fff]{{3,}}", re.IGNORECASE, yes="5 in all", no="5 cats"
)
_TOTAL = pattern(
    r"[.;\n]\s{1,3}(?:so |thus |therefore,? |hence )?(?:in total|total|altogether|the total|sum|the sum|result)"
    r"(?: is| =|:|,)\s?([^.;\n]{1,60})\W*$",
    re.IGNORECASE,
    yes="5 and 7. Total: 12",
    no="Total: 12",
)
_SPAN = pattern(
    r"(?<![\w.-])\d[\d,]{0,12}(?:\.\d{1,9})?%?\s?(?:-|∼|to)\s?\d[\d,]{0,12}(?:\.\d{1,9})?%?(?![\w-])",
    yes="The range 0-5 is",
    no="x-5",
)
_FORMULA = pattern(
    r"[π√^\\{}|<>≤≥≠±!∪∞%_;]|\d\s?[:*/]\s?\d|sqrt|\w\s?\.{2,}\s?\d|[A-Za-z]\(|['\"]\d", yes="2√3", no="23"
)


_PART_OF = pattern(
    r"\b(?:twice|thrice|double|triple|quadruple|half|third|quarter|fifth|fraction|multiple|root|square|cube|power|minus"
    r"|reciprocal|inverse|opposite|negative)(?: (?:of|the|as much as|that of))*\W*$",
    re.IGNORECASE,
    yes="half of the ",
    no="half an hour, ",
)
_RAISED = pattern(r"\W*(?:squared|cubed|factorial|times as)\b", re.IGNORECASE, yes=" squared", no=" square", by="match")


def without_reason(text: str) -> str:
    """Cut off what only explains: `5 because 2 + 3 = 5`."""
    match = _REASON.search(text)
    return text[: match.start()] if match and match.start() > 0 else text


def _bare(text: str) -> str:
    """Take off lead-ins (`So the answer is`) and tails (`is the solution`)."""
    for _ in range(16):
        match = _LEAD.match(text) or _CJK_LEAD.match(text)
        if match is None or match.end() >= len(text):
            break
        text = text[match.end() :].lstrip(" ,:")
    return _TRAIL.sub("", text)


def reductions(text: str) -> Iterator[str]:
    """Yield shorter and shorter statements of the same answer, the text itself first. The last are the most daring."""
    yield text
    if len(text) > _MAX_CHARS:
        return
    flat = trim(clean(text))
    reasonless = trim(without_reason(flat))
    bare = trim(_bare(reasonless))
    if reasonless != flat:
        yield reasonless
    if bare and bare != reasonless:
        yield bare
    tail = _complement(bare)
    if tail is not None:
        yield tail
    if (total := _TOTAL.search(flat)) is not None:
        yield trim(total[1])
    if (span := _lone_range(flat)) is not None:
        yield span
    if (number := lone_number(bare)) is not None:
        yield number
    lines = [line for line in text.splitlines() if line.strip()]
    # one short line above another is another answer, not the way to it
    if len(lines) > 1 and all(len(line) > _ANSWER_CHARS or "=" in line for line in lines[:-1]):
        yield lines[-1]


def _lone_range(text: str) -> str | None:
    """The only range of a sentence that has no other number."""
    found = _SPAN.search(text)
    if found is None or any(c.isdigit() for c in text[: found.start()] + text[found.end() :]):
        return None
    return None if negated(text) else found.group()


def _complement(text: str) -> str | None:
    """What follows the last verb of the sentence, when nothing before it could be an answer of its own."""
    last = None
    for match in _COPULA.finditer(text):
        head = text[: match.start()]
        # half of 15 is not 15
        if _PART_OF.search(head):
            break
        if _SEPARATE.search(head) and (_CHOICE.search(head) or any(c.isdigit() for c in head)):
            break
        last = match
    if last is None or last.end() >= len(text):
        return None
    tail = trim(_bare(text[last.end() :].strip()))
    return tail or None


def lone_number(text: str) -> str | None:
    """The only number of a sentence that neither compares, negates nor hedges, with the words that may be its unit."""
    there = _THERE_ARE.search(text)
    if there is not None and not negated(text):
        return there.group(1)
    if blurred(text) or _FORMULA.search(text) or text.count("(") != text.count(")"):
        return None
    numbers = [*_NUMBER.finditer(text), *_WORD_NUMBER.finditer(text)]
    if len(numbers) != 1:
        return None
    tail = text[numbers[0].end() :]
    if _PART_OF.search(text[: numbers[0].start()]) or _RAISED.match(tail):
        return None
    stop = _STOP.search(tail)
    return trim(numbers[0].group() + (tail[: stop.start()] if stop else tail))
