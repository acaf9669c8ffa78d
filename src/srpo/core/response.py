r"""The reflective format (docs/design.md#the-response): text to blocks and back.

Five blocks in this order, nothing but white space between or around them; the end token of a template is no text, and a
first `<think>` that the template writes itself may be missing. The texts inside the blocks are kept verbatim, white
space included, so `parse(render(x)) == x` for every response whose texts hold none of our tags;
`render` refuses those that do.

    >>> text = "<think>3+4=7</think>\n<answer>7</answer>\n<reflection>again: 3 and 4</reflection>"
    >>> parse(text + "<think>3+4</think> <answer>7</answer>").second.answer
    '7'
    >>> error = parse(text)
    >>> error.where == len(text), error.what
    (True, 'expected <think> (block 4 of 5, the second think), found the end of the text')

Unlike the authors' regular expressions, the scanner never goes back: a text of n characters costs O(n), whatever is
in it, and `<answer>7</answer>` needs no blanks around the 7.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from srpo.core.cleaning import clean_response, tags_of, without_end_token
from srpo.core.records import Attempt, FormatError, MarkStyle, Response, Style

TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<reflection>", "</reflection>")
"""Everything that counts as a tag; matched exactly, in lower case."""

_REFLECTIVE = (
    ("think", "the first think"),
    ("answer", "the first answer"),
    ("reflection", "the reflection"),
    ("think", "the second think"),
    ("answer", "the second answer"),
)
_SINGLE = (("think", "the think"), ("answer", "the answer"))


class Pieces(NamedTuple):
    """What can still be read in a text, whether or not its format is right; None where a block is missing."""

    first_answer: str | None
    """Text of the first complete answer block, if it stands before any reflection."""
    reflection: str | None
    """Text of the first complete reflection block after the first answer."""
    second_answer: str | None
    """Text of the last complete answer block, if it is not the first answer."""


def render(response: Response) -> str:
    """The text of a response, blocks separated by newlines; ValueError if one of its texts could not be read back."""
    blocks = (response.first.think, response.first.answer, response.reflection)
    return _render(_REFLECTIVE, (*blocks, response.second.think, response.second.answer))


def render_attempt(attempt: Attempt) -> str:
    """The text of a single attempt, a think and an answer block; ValueError as for `render`."""
    return _render(_SINGLE, (attempt.think, attempt.answer))


def parse(text: str) -> Response | FormatError:
    """Read the five blocks, or say at which character what is wrong. O(len(text))."""
    blocks = _parse_blocks(text, _REFLECTIVE)
    if isinstance(blocks, FormatError):
        return blocks
    think, answer, reflection, second_think, second_answer = blocks
    return Response(
        first=Attempt(think=think, answer=answer),
        reflection=reflection,
        second=Attempt(think=second_think, answer=second_answer),
    )


def parse_attempt(text: str) -> Attempt | FormatError:
    """Read one think and one answer block (style `single`), or say at which character what is wrong."""
    blocks = _parse_blocks(text, _SINGLE)
    return blocks if isinstance(blocks, FormatError) else Attempt(think=blocks[0], answer=blocks[1])


def first_attempt_end(text: str) -> int | None:
    """Character offset just past the first `</answer>` outside of thinking: where the first attempt ends. None if there
    is none.
    """
    return next((tag.end for tag in tags_of(text) if tag.name == "answer" and tag.closing), None)


def leading_tokens(decode: Callable[[Sequence[int]], str], token_ids: Sequence[int], num_chars: int) -> int:
    """Smallest number of leading tokens whose text has at least `num_chars` characters.

    >>> leading_tokens(lambda ids: "ab" * len(ids), [1, 2, 3], 3)
    2
    """
    low, high = 0, len(token_ids)
    while low < high:
        middle = (low + high) // 2
        if len(decode(token_ids[:middle])) >= num_chars:
            high = middle
        else:
            low = middle + 1
    return low


def pieces(text: str) -> Pieces:
    """Read what is there, also where `parse` fails: a missing block must not hide the blocks that are not missing.

    Tags are read as `cleaning` reads them. An answer after the start of the reflection is never the first one, and one
    inside of a finished thinking is a draft. Of nested opening tags the innermost counts. O(len(text)).

        >>> pieces("<think>so<answer>7</answer> <reflection>fine</reflection>")
        Pieces(first_answer='7', reflection='fine', second_answer=None)
        >>> pieces("<reflection>fine</reflection><answer>7")
        Pieces(first_answer=None, reflection='fine', second_answer=None)
    """
    if isinstance(whole := parse(text), Response):
        return Pieces(whole.first.answer, whole.reflection, whole.second.answer)
    text = clean_response(text)
    first = last = reflection = None
    opened: dict[str, int] = {}
    reflects = False
    for tag in tags_of(text):
        reflects = reflects or (tag.name == "reflection" and not tag.closing)
        if not tag.closing:
            opened[tag.name] = tag.end
            continue
        if (start := opened.pop(tag.name, None)) is None or tag.name == "think":
            continue
        block = text[start : tag.start]
        if tag.name == "reflection":
            reflection = block if reflection is None else reflection
        elif first is None and last is None and not reflects:
            first = block
        else:
            last = block
    return Pieces(first, reflection, last)


def style_of(text: str, style: MarkStyle = "auto") -> Style:
    """A text that opens a reflection is reflective; every other one has a single answer."""
    if style != "auto":
        return style
    return "reflective" if "<reflection>" in text else "single"


def _render(names: Sequence[tuple[str, str]], texts: Sequence[str]) -> str:
    for (_, what), text in zip(names, texts, strict=True):
        found = _next_tag(text, 0)
        if found is not None:
            raise ValueError(
                f"{what} holds the tag {found[1]!r} at character {found[0]}; take it out of {_short(text)!r}"
            )
        if (surrogate := _lone_surrogate(text)) is not None:
            raise ValueError(f"{what} holds a lone surrogate at character {surrogate}, which is not text")
    return "\n".join(f"<{name}>{text}</{name}>" for (name, _), text in zip(names, texts, strict=True))


def _parse_blocks(text: str, names: Sequence[tuple[str, str]]) -> list[str] | FormatError:
    surrogate = _lone_surrogate(text)
    if surrogate is not None:
        return FormatError(where=surrogate, what="a lone surrogate, which is not text")
    text = without_end_token(text)
    texts: list[str] = []
    position = 0
    for number, (name, what) in enumerate(names, start=1):
        opening, closing = f"<{name}>", f"</{name}>"
        position = _skip_blank(text, position)
        if number == 1 and (_next_tag(text, 0) or (0, ""))[1] == closing:
            opening = ""  # the template has opened the thinking
        if not text.startswith(opening, position):
            wanted = f"{opening} (block {number} of {len(names)}, {what})"
            return FormatError(where=position, what=f"expected {wanted}, found {_found(text, position)}")
        start = position + len(opening)
        tag = _next_tag(text, start)
        if tag is None:
            return FormatError(where=position, what=f"{opening} of {what} is never closed")
        end, found = tag
        if found != closing:
            return FormatError(where=end, what=f"{found} inside {what}, before its {closing}")
        texts.append(text[start:end])
        position = end + len(closing)
    position = _skip_blank(text, position)
    if position < len(text):
        return FormatError(
            where=position, what=f"expected nothing after {names[-1][1]}, found {_found(text, position)}"
        )
    return texts


def _next_tag(text: str, start: int) -> tuple[int, str] | None:
    """Offset and name of the first tag at or after `start`. Each search is cut off at the best hit so far."""
    best: tuple[int, str] | None = None
    for tag in TAGS:
        limit = len(text) if best is None else best[0] + len(tag) - 1
        position = text.find(tag, start, limit)
        if position >= 0:
            best = (position, tag)
    return best


def _skip_blank(text: str, start: int) -> int:
    """Offset of the first character at or after `start` that is not white space."""
    # In pieces: one long strip would copy the rest of a long text once per block.
    while start < len(text):
        piece = text[start : start + 256]
        rest = piece.lstrip()
        start += len(piece) - len(rest)
        if rest:
            break
    return start


def _lone_surrogate(text: str) -> int | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def _found(text: str, position: int) -> str:
    return "the end of the text" if position >= len(text) else repr(_short(text[position : position + 25]))


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:24] + "…"
