r"""Replies as JSON: a schema for servers that can hold a model to one, and a reader for whatever comes back.

    >>> blocks_in_tags('Sure!\n```json\n{"think": "3+4", "answer": 7,}\n```', ("think", "answer"))
    '<think>3+4</think>\n<answer>7</answer>'
    >>> blocks_in_tags("<think>3+4</think> <answer>7</answer>", ("think", "answer"))
    '<think>3+4</think> <answer>7</answer>'

The rest of srpo knows blocks in tags alone, so JSON ends here.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from srpo.core.cleaning import clean_response, tags_of, wanted_blocks
from srpo.core.response import TAGS

TEACHER_BLOCKS = ("reflection", "think", "answer")
"""What a teacher writes about an attempt."""
ATTEMPT_BLOCKS = ("think", "answer")
"""What a policy writes in a first attempt."""

_MAX_OBJECTS = 8
"""Places at which an object is looked for; each costs a pass over the rest of the text."""
_OBJECT_START = re.compile(r'\{\s*"')
_COMMA_OR_TEXT = re.compile(r',(?=\s*[}\]])|"(?:[^"\\]|\\.)*"', re.DOTALL)
_N_COMMANDS = "eq|abla|ot|otin|leq|geq|less|mid|parallel|exists|subseteq|supseteq|earrow|warrow|ormalsize"
_BACKSLASH = re.compile(
    rf'\\(?:(["\\/]|u[0-9a-fA-F]{{4}}|n(?!(?:{_N_COMMANDS})(?![a-zA-Z]))|[bfrt](?![a-zA-Z]))|)',
)
r"""A backslash; group 1 is empty where LaTeX was not escaped. `\f`, `\t`, `\b` and `\r` before a letter are
commands such as `\frac` and `\times`, which nobody means as a form feed; `\n` before a letter mostly is a new line."""


def response_format(blocks: Sequence[str]) -> dict[str, Any]:
    """The request's `response_format` for an object with the texts of `blocks`, in this order."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in blocks},
        "required": list(blocks),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "blocks", "strict": True, "schema": schema}}


def instruction(blocks: Sequence[str]) -> str:
    """What the prompt must add when JSON is asked for, since it speaks of tags."""
    fields = ", ".join(f'"{name}"' for name in blocks)
    return f"Instead of tags, write one JSON object with the text fields {fields}, one for each block."


def blocks_in_tags(text: str, blocks: Sequence[str]) -> str:
    """The reply as its blocks in tags and nothing else; the text as it was when a block is missing.

    Tolerated in tags: a model's own thinking before the blocks, text around them, end tokens, capitals. In JSON:
    fences, text around the object, trailing commas, new lines and single backslashes inside of texts, numbers instead
    of texts, capital letters in field names, further fields, tags inside of the fields.
    """
    lower = text.lower()
    if not all(f'"{name}"' in lower for name in blocks):
        return _only_blocks(text, blocks)
    for found in _objects(text):
        fields = {name.lower(): value for name, value in found.items()}
        if all(isinstance(fields.get(name), str | int | float) for name in blocks):
            return "\n".join(f"<{name}>{_plain(fields[name])}</{name}>" for name in blocks)
    return _only_blocks(text, blocks)


def _only_blocks(text: str, blocks: Sequence[str]) -> str:
    """The last blocks of these names without what stands around them. Two attempts are not told apart: they stay."""
    found = wanted_blocks(text, blocks) if "<" in text or "＜" in text or "&lt;" in text else None
    if found is None or (tuple(blocks) == ATTEMPT_BLOCKS and _num_answers(text) > 1):
        return text
    bare = "".join(f"<{name}>{block}</{name}>" for name, block in zip(blocks, found, strict=True))
    if "".join(text.split()) == "".join(bare.split()):
        return text
    return "\n".join(f"<{name}>{block.strip()}</{name}>" for name, block in zip(blocks, found, strict=True))


def _num_answers(text: str) -> int:
    return sum(tag.name == "answer" and tag.closing for tag in tags_of(clean_response(text)))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in `text`, mended where that is needed."""
    decoder = json.JSONDecoder(strict=False)
    for start in itertools.islice(_OBJECT_START.finditer(text), _MAX_OBJECTS):
        piece = _BACKSLASH.sub(lambda match: match[0] if match[1] else r"\\", text[start.start() :])
        # Texts are matched as a whole, so that no comma inside of one is taken for a trailing one.
        piece = _COMMA_OR_TEXT.sub(lambda match: match[0].removeprefix(","), piece)
        try:
            yield decoder.raw_decode(piece)[0]
        except (ValueError, RecursionError):
            continue


def _plain(value: str | float) -> str:
    """The field's text without tags of its own, which would nest."""
    text = value if isinstance(value, str) else json.dumps(value)
    for tag in TAGS:
        text = text.replace(tag, "")
    return text.strip()
