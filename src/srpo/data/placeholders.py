r"""Where texts say that a picture stands, and what in them a model would take for its own control tokens.

>>> bare("<image>\nWhich of <image 1> and <|vision_start|><|image_pad|><|vision_end|> is red?<image>")
'Which of <image 1> and <image> is red?'
>>> mismatch(["<image><image>Which one?"], 1)
'2 placeholders <image> for 1 picture'
"""

import re
from collections.abc import Iterable, Sequence

PLACEHOLDER = re.compile(
    r"<image[ _]?\d{0,3}>|<\|image_\d{1,3}\|>|(?:<\|vision_start\|>)?<\|image_pad\|>(?:<\|vision_end\|>)?"
)
"""`<image>`, `<image 1>`, `<image1>`, `<image_1>`, and what chat templates make of one."""

_CONTROL = re.compile(
    r"<\|(?:[a-z0-9]+_)+[a-z0-9]+\|>|<\|(?:endoftext|system|user|assistant|end|image|video|audio)\|>"
    r"|<(?:bos|eos|start_of_turn|end_of_turn|start_of_image)>|\[/?INST\]|<</?SYS>>|<｜[^<>｜]{1,40}｜>"
)
"""What tokenizers of the common families read as one token that structures the conversation."""

_MODEL_FORM = re.compile(r"(?:<\|vision_start\|>)?<\|image_pad\|>(?:<\|vision_end\|>)?")
_BARE = re.compile(rf"<image ?\d{{0,3}}>|{_MODEL_FORM.pattern}")
"""What goes at the ends; EMMA's `<image_1>` is a name that the question uses, and its official prompt keeps it."""
_ENDS = re.compile(rf"\A(?:\s*(?:{_BARE.pattern}))*\s*")
_NUMBER = re.compile(r"\d+")


def bare(text: str) -> str:
    """A text without the placeholders at its ends; those inside are written as `<image>` where they were tokens."""
    text = _MODEL_FORM.sub("<image>", text[_ENDS.match(text).end() :])  # type: ignore[union-attr]  # it matches always
    end = _end(text, len(text))
    for match in reversed(list(_BARE.finditer(text))):
        if match.end() != end:
            break
        end = _end(text, match.start())
    return text[:end]


def _end(text: str, end: int) -> int:
    """`end` without the white space before it; without copies, because a text may be nothing but placeholders."""
    while end and text[end - 1].isspace():
        end -= 1
    return end


def mismatch(texts: Iterable[str], num_pictures: int) -> str | None:
    """Why these texts and this number of pictures do not belong together; None when they do.

    Texts without a placeholder go with any number: the pictures stand before the text. Numbered placeholders may
    be more than one picture has room for in the number only, because some sets merge all pictures into one file.
    """
    found = [match[0] for text in texts for match in PLACEHOLDER.finditer(text)]
    numbers = [int(number[0]) for one in found if (number := _NUMBER.search(one))]
    plain = len(found) - len(numbers)
    if plain and plain + len(set(numbers)) != num_pictures:
        return f"{_count(found)} for {_pictures(num_pictures)}"
    if numbers and (num_pictures == 0 or 1 < num_pictures < max(numbers)):
        return f"placeholder {max(numbers)} and {_pictures(num_pictures)}"
    return None


def control_tokens(texts: Iterable[str]) -> list[str]:
    """The control tokens in these texts, each once."""
    return list(dict.fromkeys(match[0] for text in texts for match in _CONTROL.finditer(text)))


def _count(found: Sequence[str]) -> str:
    return f"{len(found)} placeholder{'s' * (len(found) != 1)} {found[0]}"


def _pictures(count: int) -> str:
    return "no picture" if count == 0 else f"{count} picture{'s' * (count != 1)}"
