r"""Pull the final answer out of a text, before anything is graded.

The order is fixed: the last complete `<answer>` block; else the last balanced `\boxed{}`; else a marked answer
(`The answer is ..`, `Answer:`, `答案`, `####`, `**..**`); else a conclusion in the last sentences; else the text itself
when it is short. A text that breaks off after its first answer (an open block, an open box, a reflection without a
second answer) has no final answer. Every step is linear in the length of the text.

    >>> extract_answer("<answer>3</answer> <reflection>No.</reflection> <think>..</think> <answer>5</answer>").text
    '5'
    >>> extract_answer("<answer>3</answer> <reflection>Let me look ag").text is None
    True
"""

import re
from typing import Literal, NamedTuple

from srpo.core.cleaning import Tag, answer_in_json, clean_response, tags_of, unwrapped
from srpo.grading.normalise import MAX_ANSWER_CHARS, clean, repair
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of

_SHORT_CHARS = 400
"""A text without any mark is taken as the answer itself up to this length."""
MAX_BLOCKS, MAX_BOXES = 8, 24
"""More answers than these are a list of guesses, of which the last is no better than the others."""
_TAIL_CHARS = 20_000
"""Marks are looked for in the end of a long text only."""

How = Literal["answer block", "box", "marker", "bold", "conclusion", "whole text", "none"]


class Extraction(NamedTuple):
    """The final answer of a text."""

    text: str | None
    """None when there is no answer; `why` says why."""
    how: How
    why: str = ""
    context: str = ""
    """The sentence or short text around the answer, in which hedges are looked for."""
    lead: str = ""
    """What stands before the mark of the answer."""


def _nothing(why: str) -> Extraction:
    return Extraction(None, "none", why)


def extract_answer(text: str) -> Extraction:
    """Return THE answer of a response, or of a text that is an answer already."""
    text = clean_response(text)
    if not text.strip():
        return _nothing("the text is empty")
    tags = tags_of(text) if "<" in text else []
    if any(tag.name == "answer" and not tag.closing for tag in tags):
        return _from_blocks(text, tags)
    if tags:
        last = tags[-1]
        if last.name != "answer" and not last.closing:
            return _nothing(f"the response ends inside <{last.name}>")
        text = text[last.end :] if last.name != "answer" else text[: last.start]
        if not text.strip():
            return _nothing("nothing follows the thinking")
    return _from_text(text)


def _from_blocks(text: str, tags: list[Tag]) -> Extraction:  # noqa: PLR0911 - one return a reason
    answers = [tag for tag in tags if tag.name == "answer"]
    if sum(not tag.closing for tag in answers) > MAX_BLOCKS:
        return _nothing(f"more than {MAX_BLOCKS} answer blocks: none of them is the answer")
    opened = max(index for index, tag in enumerate(tags) if tag.name == "answer" and not tag.closing)
    closed = max((index for index, tag in enumerate(tags) if tag.name == "answer" and tag.closing), default=-1)
    if closed < opened:
        return _nothing("the last answer block is not closed")
    for tag in tags[closed + 1 :]:
        if not tag.closing:
            return _nothing(f"a <{tag.name}> follows the last answer block: the response is not finished")
        if tag.name == "think" and not text[tag.end :].strip():
            return _nothing("the answer block stands inside the thinking")
    inner = repair(text[tags[opened].end : tags[closed].start]).strip()
    if not inner:
        return _nothing("the last answer block is empty")
    if len(inner) > MAX_ANSWER_CHARS:
        return _nothing("the last answer block is too long for an answer")
    inner = unwrapped(inner)
    found = _boxed(inner) or _marked(inner)
    if found is not None:
        return found._replace(how="answer block", context=inner if len(inner) <= _SHORT_CHARS else found.context)
    return Extraction(inner, "answer block", context=inner)


def _from_text(text: str) -> Extraction:
    text = unwrapped(repair(text))
    boxed = _boxed(text)
    if boxed is not None:
        return boxed
    if (value := answer_in_json(text)) is not None:
        return Extraction(value, "marker", context=value)
    tail = text[-_TAIL_CHARS:]
    short = len(text) <= _SHORT_CHARS
    found = _marked(tail)
    if found is None and (not short or _SENTENCE_END.search(text.strip()[:-1])):
        found = _bold(tail) or _conclusion(tail)
    if found is not None:
        return found._replace(context=text) if short else found
    if short:
        return Extraction(text.strip(), "whole text", context=text)
    return _nothing("no answer is marked in the text")


# -- boxes

_BOX = pattern(r"\\?(?:boxed|fbox)\s{0,3}(?=\{)|\\boxed\s{1,3}(?=[^\s{])", yes=r"\boxed{5}", no="a box {5}")
_BRACE = pattern(r"\\.|[{}]", re.DOTALL, yes="{", no="a")
_BLANK = pattern(r"\s", yes="5 cm", no="5")
_JOINT_WORDS = any_of("and; or; plus; also; as well as; vs; versus; 或者; 或; 以及; 和; 与; 及")
_BOX_JOINT = pattern(
    rf"[^\w]*(?:{_JOINT_WORDS}[^\w]*){{0,3}}", re.IGNORECASE, yes=" or ; ", no=" is not ", by="fullmatch"
)


def _closing_brace(text: str, start: int) -> int:
    """Index of the brace that closes the one at `start`, or -1. Escaped braces do not count."""
    depth = 0
    for match in _BRACE.finditer(text, start):
        sign = match.group()
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return -1


def _joined(gap: str) -> bool:
    return len(gap) <= 60 and bool(_BOX_JOINT.fullmatch(clean(gap)))


class _Box(NamedTuple):
    start: int
    end: int
    """Index of its closing brace; -1 when it is never closed."""
    content: str


def _boxes(text: str) -> list[_Box]:
    found: list[_Box] = []
    for match in [*_BOX.finditer(text)][-12:]:
        start, brace = match.span()
        if text[brace] == "{":
            end = _closing_brace(text, brace)
            found.append(_Box(start, end, text[brace + 1 : end].strip()))
        else:
            bare = _BLANK.split(text[brace : brace + MAX_ANSWER_CHARS], 1)[0].strip("$.,")
            found.append(_Box(start, brace + len(bare), bare))
    return found


def _boxed(text: str) -> Extraction | None:
    if "box" not in text or (count := sum(1 for _ in _BOX.finditer(text))) == 0:
        return None
    if count > MAX_BOXES:
        return _nothing(f"more than {MAX_BOXES} boxes: none of them is the answer")
    boxes = _boxes(text)
    last = boxes[-1]
    if spoiled := _spoiled(text, last):
        return _nothing(spoiled)
    contents = [last.content]
    later = last
    for box in reversed(boxes[:-1]):
        # boxes with nothing but "or", "and" or signs between them are one answer in several boxes
        if not 0 < box.end < later.start or not _joined(text[box.end + 1 : later.start]):
            break
        if contents[0] != box.content:
            contents.insert(0, box.content)
        later = box
    answer = " , ".join(contents)
    if len(answer) > MAX_ANSWER_CHARS:
        return _nothing("the last box is too long for an answer")
    return Extraction(answer, "box", context=answer)


def _spoiled(text: str, last: _Box) -> str:
    """Why the last box of a text is no answer; empty when it is one."""
    if last.end < 0:
        return "the last box is not closed"
    if not clean(last.content):
        return "the last box is empty"
    return "the boxed answer is taken back" if _taken_back(text[last.end + 1 : last.end + 200]) else ""


# -- marked answers

_IS = r"(?:is|are|was|were|would be|should be|must be|will be|equals|=|:|：|→|->)"
_ENGLISH_MARKER = (
    rf"\b(?:answer|ans)\b(?:\s(?:to|for)\s[^.:\n]{{1,80}}?)?[>*_\s\"'）)]{{0,6}}{_IS}"
    rf"|\b(?:correct|right|best) (?:option|choice|statement|figure|letter)\b[*_\s]{{0,4}}{_IS}"
    r"|\banswer\s{1,3}(?=[$\\(\[\d])|####"
)
_CHINESE_MARKER = (
    r"(?:最终|正确|参考)?答案\s{0,3}[*_]{0,2}\s{0,2}(?:应该是|应该为|应为|应是|是|为|选|：|:)?"
    r"|(?:故|因此|所以)?(?:本题)?(?<![不非未可能])(?:应?选择?|故选)\s{0,2}[:：]?(?=\s{0,2}[（(]?[A-Z])"
)
_MARKER = pattern(f"{_ENGLISH_MARKER}|{_CHINESE_MARKER}", re.IGNORECASE, yes="The answer is 5", no="The answers differ")
_NO_ANSWERS = pattern(
    any_of(
        "correct; right; wrong; incorrect; as follows; given; below; above; clear; known; unknown; found; not",
        "the same; valid; reasonable; let's; let us; let me; we (?:need|must|have to|can|first|start)",
        "to (?:find|solve|determine|answer|calculate)[^,.:]{1,80},; step by step",
    )
    + r"(?<=[,\w])(?!\w)",
    re.IGNORECASE,
    yes="as follows: 1",
    no="5 cm",
    by="match",
)
_SENTENCE_END = pattern(r"[.!?](?=\s+[A-Z\"“*\\$(])|。|！|\n", yes="It is 5. So", no="It is 5.2")
_DISPLAY = pattern(
    r"[\s:：*]{0,6}(?:\$\$(?P<a>[^$]{1,600})\$\$|\\\[(?P<b>.{1,600}?)\\\])",
    re.DOTALL,
    yes=": $$x=5$$",
    no="x = 5",
    by="match",
)
# ">" at the start of a line is a quotation mark, elsewhere an inequality
_LEFTOVER = pattern(
    r"(?:[\s*_:：,，\"'“]|(?<=\n)>)*(?:(?:is|therefore|thus|option|choice)\b\s?)?(?:[\s*_:：,，]|(?<=\n)>)*",
    re.IGNORECASE,
    yes=": ** 5",
    no="5",
    by="match",
)
_RETRACTED = pattern(
    rf"[\s.!?。…$*\"')}}]*{any_of('(?:oh |hmm,? )?(?:no,? )?wait; actually; no, (?!not); correction; scratch that')}\b"
    rf"|[\s.!?。…$*\"')}}]*{any_of('on second thought; hold on; hmm; 不对; 等等; 等一下; 更正')}",
    re.IGNORECASE,
    yes=". No, wait, 6",
    no=". No doubt",
    by="match",
)


def _taken_back(rest: str) -> bool:
    """Does the text after an answer go back on it?"""
    return bool(_RETRACTED.match(rest[:200]))


def _segment(text: str, start: int) -> tuple[str, str]:
    """The answer behind a marker, and the sentence from the marker on."""
    display = _DISPLAY.match(text, start)
    if display:
        return (display["a"] or display["b"]).strip(), display.group()
    leftover = _LEFTOVER.match(text, start)
    begin = leftover.end() if leftover else start
    window = text[begin : begin + MAX_ANSWER_CHARS]
    end = _SENTENCE_END.search(window)
    # a question mark is part of what is said
    segment = window[: end.start() + (end.group() == "?")] if end else window
    return segment.strip().strip("*").strip(), segment


_VALUE_EDGE = r"[\s.,;!()\[\]*$\\{}]"
# "The answer is B. C": another value, and nothing else, follows the answer
_MORE_VALUES = pattern(
    rf"(?:{_VALUE_EDGE}*+(?:(?:option|text|and|or)\b{_VALUE_EDGE}*)?(?:[A-H]|-?\d[\d.,/]*+)(?![A-Za-z\d]))++{_VALUE_EDGE}*",
    re.IGNORECASE,
    yes=". C",
    no="is C",
    by="fullmatch",
)


def _marked(text: str) -> Extraction | None:
    matches = list(_MARKER.finditer(text))
    for match in reversed(matches[-40:]):
        segment, sentence = _segment(text, match.end())
        if segment and not _NO_ANSWERS.match(segment) and len(segment) <= _SHORT_CHARS:
            after = text.find(sentence, match.end()) + len(sentence)
            if _taken_back(text[after : after + 200]):
                return _nothing("the marked answer is taken back")
            if (
                len(rest := text[after:].strip(" .,;!\n\t*")) <= 40
                and _MORE_VALUES.fullmatch(rest)
                and rest != segment.strip(" .!")
            ):
                segment = f"{segment} , {rest}"
            return Extraction(
                segment, "marker", context=sentence, lead=text[max(0, match.start() - 80) : match.start()]
            )
    return None


_BOLD = pattern(r"\*\*([^*\n]{1,120})\*\*", yes="It is **5**.", no="2 ** 3")
_HEADING = pattern(
    r"(?:step|note|conclusion|explanation|reason|part|case|solution|analysis|given|find)\b",
    re.IGNORECASE,
    yes="Step 1",
    no="5 steps",
    by="match",
)


def _bold(text: str) -> Extraction | None:
    tail = text[-600:]
    matches = list(_BOLD.finditer(tail))
    if len(matches) > 1 and _joined(tail[matches[-2].end() : matches[-1].start()]):
        content = " , ".join(dict.fromkeys(match.group(1).strip() for match in matches[-2:]))
        return Extraction(content, "bold", context=content)
    for match in reversed(matches[-3:]):
        content = match.group(1).strip()
        if (
            not content.endswith((":", "："))
            and not _HEADING.match(content)
            and re.search(r"\d|^\(?[A-J]\)?\.?$|\\|√|π", content)
        ):
            return Extraction(content, "bold", context=content)
    return None


_CONCLUDES = pattern(
    r"(?:^|[\s,])(?:so|thus|therefore|hence|consequently|in conclusion|finally|∴)\b|∴|所以|因此|综上|故|即",
    re.IGNORECASE,
    yes="so 5",
    no="also 5",
)


def _conclusion(text: str) -> Extraction | None:
    window = text[-1500:]
    last = None
    for match in _CONCLUDES.finditer(window):
        last = match
    if last is None:
        return None
    end = _SENTENCE_END.search(window, last.end())
    sentence = window[last.start() : end.start() + (end.group() == "?") if end else len(window)].strip(" ,，")
    if end and _taken_back(window[end.start() :]):
        return _nothing("the conclusion is taken back")
    left_over = len(window) - (end.end() if end else len(window))
    return (
        Extraction(sentence, "conclusion", context=sentence)
        if len(sentence) <= _SHORT_CHARS and left_over <= 300
        else None
    )
