r"""One cleaning of a response before anybody reads it: graders, rewards, teachers' and policies' replies alike.

Model families mark their thinking in many ways, templates leave end tokens, chats wrap answers in fences and JSON.
`clean_response` writes all of that in our own tags, and nothing else; `spoken` is what is left for a reader when the
thinking is taken out. Both are pure, linear in the length of the text, and change nothing when they are done twice.

    >>> clean_response("◁think▷7 or 8?◁/think▷ <Answer>7</Answer><|im_end|>")
    '<think>7 or 8?</think> <answer>7</answer>'
    >>> spoken("7 or 8? The answer is 8. No.</think> 7"), spoken("<reasoning>7 or 8?")
    (' 7', '')
    >>> unwrapped('```json\n{"answer": 12, "unit": "cm"}\n```')
    '12'

The format of a response (`core.response.parse`) is judged on the text as it is, less its end token: a family's own
marks are read, but they are not the five blocks.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MAX_WRAPPED_CHARS = 4000
"""Longer texts in JSON are no answers."""

# -- end tokens

_END_OF_TURN = (
    r"(?:<\|[A-Za-z][\w/]{1,40}\|>|<[|｜][A-Za-z▁_]{3,40}[|｜]>|</?s>|\[(?:EOS|PAD)\]"
    r"|<(?:eos|bos|pad|unk|end_of_turn|start_of_turn|end_of_utterance|turn\|)>)"
)
_ENDS = re.compile(rf"(?:\s*{_END_OF_TURN})+\s*$", re.IGNORECASE)
_TOKENS = re.compile(_END_OF_TURN, re.IGNORECASE)
# what follows the end of a turn is somebody else's text
_NEXT_TURN = re.compile(
    rf"{_END_OF_TURN}\s*(?:<\|im_start\|>|<start_of_turn>|<\|start_header_id\|>|<\|(?:user|system)\|>)", re.IGNORECASE
)
_TOKEN_HINTS = ("<|", "<｜", "s>", "[EOS]", "[PAD]", "[eos]", "turn>", "eos>", "pad>", "unk>", "bos>", "utterance>")


def without_end_token(text: str) -> str:
    """The text without the end tokens of a template, and blanks, at its end.

    >>> without_end_token("<answer>7</answer><|im_end|>")
    '<answer>7</answer>'
    """
    tail = text[-400:]
    match = _ENDS.search(tail) if tail.rstrip().endswith((">", "]")) else None
    return text if match is None else text[: len(text) - len(tail) + match.start()]


def _without_tokens(text: str) -> str:
    if not any(hint in text for hint in _TOKEN_HINTS):
        return text
    if turn := _NEXT_TURN.search(text):
        text = text[: turn.start()]
    return _TOKENS.sub(" ", without_end_token(text))


# -- tags

_THINK_WORDS = (
    "think(?:ing|_?process)?|thoughts?|thought[_ ]process|reason(?:ing)?|rationale|analysis|scratch_?pad|cot"
    "|inner_?(?:monologue|thoughts?)|deliberation"
)
_ATTRIBUTES = r"(?:\s+[\w-]{1,20}\s?=\s?(?:\"[^\"<>]{0,60}\"|'[^'<>]{0,60}'|\w{1,20})){0,3}"
# "<Answer>: <<B>>" is We-Math's marker, not a tag
_TAG = re.compile(
    r"(?:<|＜|&lt;)\s{0,2}(?P<close>/?)\s{0,2}(?:[a-z]{1,12}[:_])?"
    rf"(?:(?P<think>{_THINK_WORDS})|(?P<answer>(?:final[_ ]?)?answer)|(?P<reflection>reflection))"
    rf"{_ATTRIBUTES}\s{{0,2}}(?:>|＞|&gt;)(?!\s{{0,3}}[:：])",
    re.IGNORECASE,
)
_OTHER_THINK = re.compile(
    r"◁\s?(?P<a>/?)\s?think(?:ing)?\s?▷"
    r"|\[(?P<b>/?)THINK(?:ING)?\]"
    r"|<\|(?P<c>/|end_of_|END_|end_)?(?:begin_of_|START_|start_|begin_)?(?:thought|thinking|think|reasoning)s?\|>"
    r"|<unused(?:94>(?:\s?thought\b)?|(?P<d>95)>)"
    r"|<\|channel\|>(?:analysis|commentary)(?:<\|message\|>)?"
    r"|(?P<e>(?:<\|end\|>)?(?:<\|start\|>)?(?:assistant)?<\|channel\|>final(?:<\|message\|>)?)",
    re.IGNORECASE,
)
_OTHER_HINTS = ("◁", "[THINK", "[/THINK", "[think", "<|", "<unused")
_OUTCOME_TOKEN = re.compile(
    r"</?\|?(?:begin_of_|end_of_|START_|END_)?(?:solution|response|conclusion)\|?>", re.IGNORECASE
)

_OUTCOME_HINTS = ("olution", "OLUTION", "onclusion", "ONCLUSION", "esponse", "ESPONSE")


class Tag(NamedTuple):
    """One tag of a cleaned text."""

    name: str
    """think, answer or reflection."""
    closing: bool
    start: int
    end: int


def clean_response(text: str) -> str:
    """The text in our own tags: marks of thinking, tags in capitals or with blanks, end tokens, an outer fence."""
    bare = text
    for tag in _PLAIN_TAGS:
        bare = bare.replace(tag, "")
    if not _UNUSUAL.search(bare):
        return text
    if text[:1] == "\ufeff":
        text = text[1:]
    if any(hint in text for hint in _OTHER_HINTS):
        text = _OTHER_THINK.sub(lambda match: "</think>" if any(match.groups()) else "<think>", text)
    if "<" in text or "＜" in text or "&lt;" in text:
        text = _TAG.sub(_canonical, text)
        if any(hint in text for hint in _OUTCOME_HINTS):
            text = _OUTCOME_TOKEN.sub(" ", text)
    text = _without_tokens(text)
    return _without_fence(text) if text.lstrip()[:3] == "```" else text


def _canonical(match: re.Match[str]) -> str:
    name = "think" if match["think"] else "answer" if match["answer"] else "reflection"
    return f"<{match['close']}{name}>"


_PLAIN_TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<reflection>", "</reflection>")
_UNUSUAL = re.compile("[<◁\\[＜&`\ufeff]")
"""Without any of these a text has no marks but our own."""
_OUR_TAG = re.compile(r"<(/?)(think|answer|reflection)>")


def tags_of(text: str) -> list[Tag]:
    """The tags of a cleaned text that stand outside of finished thinking, and the think tags themselves.

    A block inside of a finished thinking is a draft, and none. A text whose first think tag closes starts inside of a
    thinking that its template opened.

    >>> [tag.name for tag in tags_of("<think>maybe <answer>7</answer>?</think> <answer>8</answer>")]
    ['think', 'think', 'answer', 'answer']
    """
    found = [Tag(match[2], bool(match[1]), match.start(), match.end()) for match in _OUR_TAG.finditer(text)]
    spans = list(_thinking(found))
    kept: list[Tag] = []
    at = 0
    for tag in found:
        while at < len(spans) and spans[at][1] < tag.start:
            at += 1
        if at < len(spans) and spans[at][0] < tag.start < spans[at][1]:
            continue
        kept.append(tag)
    return kept


def _thinking(tags: list[Tag]) -> Iterator[tuple[int, int]]:
    """Outermost spans of finished thinking, from the start of `<think>` to the start of its `</think>`."""
    spans: list[tuple[int, int]] = []
    opened: list[int] = []
    thinks = [tag for tag in tags if tag.name == "think"]
    if thinks and thinks[0].closing:
        spans.append((-1, thinks[0].start))
    for tag in thinks:
        if not tag.closing:
            opened.append(tag.start)
        elif opened:
            start = opened.pop()
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, tag.start))
    yield from spans


def spoken(text: str) -> str:
    """What a response says behind its thinking and its reflection; empty when it ends inside of one of them."""
    text = clean_response(text)
    if "think>" not in text and "reflection>" not in text:
        return text
    start = 0
    for tag in tags_of(text):
        if tag.name == "answer" and not tag.closing:
            break
        if tag.name != "answer":
            start = tag.end if tag.closing else len(text)
    return text[start:]


def wanted_blocks(text: str, names: Sequence[str]) -> list[str] | None:
    """The texts of the blocks `names` in this order, the last ones of a reply that says more; None when one is missing.

    What stands around the blocks, a model's own thinking before them and drafts inside of it are left out.

    >>> wanted_blocks("<think>Hm.</think> My review: <reflection>No.</reflection> I hope it helps.", ("reflection",))
    ['No.']
    """
    text = clean_response(text)
    tags = tags_of(text)
    at = len(tags)
    found: list[str] = []
    for name in reversed(names):
        closing = next((i for i in range(at - 1, -1, -1) if tags[i].name == name and tags[i].closing), 0)
        opening = closing - 1
        if closing < 1 or tags[opening].name != name or tags[opening].closing:
            return None
        found.append(_unbolded(text[: tags[opening].start], text[tags[opening].end : tags[closing].start]))
        at = opening
    return found[::-1]


def _unbolded(before: str, block: str) -> str:
    """A block without the stars of tags in bold: `**<answer>**7**</answer>**`."""
    if before.endswith("**"):
        block = block.removeprefix("**").removesuffix("**")
    return block


# -- fences and JSON

_FENCE = re.compile(r"\s*```[A-Za-z]{0,12}\s*\n?(.*?)\n?\s*```\s*", re.DOTALL)
_ANSWER_KEYS = (
    "final_answer",
    "finalanswer",
    "final answer",
    "answer",
    "result",
    "choice",
    "option",
    "prediction",
    "final",
    "value",
    "solution",
)
_OBJECT = re.compile(r"\{[^{}]{2,2000}\}")


def _without_fence(text: str) -> str:
    match = _FENCE.fullmatch(text)
    return text if match is None or "```" in match[1] else match[1]


def unwrapped(answer: str) -> str:
    """An answer without the fence or the JSON object around it; an object without an answer is left as it is."""
    text = answer.strip()
    if text.startswith("```"):
        text = _without_fence(text).strip()
    if text[:1] == "{" and text[-1:] == "}" and len(text) <= MAX_WRAPPED_CHARS:
        value = _value_of(text)
        return text if value is None else value
    return text


def answer_in_json(text: str) -> str | None:
    """The answer of the last JSON object in a text that has one; None where no object names an answer.

    >>> answer_in_json('I am done. {"answer": ["A", "C"]}')
    'A, C'
    """
    if "{" not in text or "nswer" not in text:
        return None
    for match in reversed(list(_OBJECT.finditer(text[-MAX_WRAPPED_CHARS:]))):
        if "nswer" in match.group() and (value := _value_of(match.group())) is not None:
            return value
    return None


def _value_of(text: str) -> str | None:
    found = _object(text)
    if found is None:
        return None
    fields = {str(name).strip().lower(): value for name, value in found.items()}
    value = next((fields[key] for key in _ANSWER_KEYS if key in fields), None)
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(str(one) for one in value)
    return str(value) if isinstance(value, str | int | float) else None


def _object(text: str) -> dict[str, Any] | None:
    # numbers stay as they are written: 12.50 is not 12.5
    if not re.match(r"\{\s*[\"']", text):
        return None
    try:
        found = json.loads(text, parse_float=str, parse_int=str, strict=False)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return found if isinstance(found, dict) else None
