r"""The public pools' own formats: a raw row becomes the fields of a problem, before anything is checked.

    LLaVA-CoT-100k  `conversations` of human and gpt (or query, image, answer, content) with SUMMARY, CAPTION,
                    REASONING, CONCLUSION: the conclusion is the gold answer, the caption becomes `Problem.caption`
    Mulberry-SFT    `messages` of user and assistant with "### Image Description:" and "### The final answer is:"
    MathV360K       `conversations` with "Hint: ..", "Question: .." and a short answer
    verl            `prompt` messages, `reward_model.ground_truth`, `extra_info`; also a list of messages as the prompt
    chat            one question in `messages`, `conversations`, `message` or `prompt`, the gold in a column: MM-EUREKA
                    (also as JSON text with typed parts), ms-swift, TRL, V-Thinker
    columns         everything else: one column for each field (geometry3k's problem, answer, images; MMK12; ...)

>>> named("llava-cot").read({"query": "How many?", "content": "<CAPTION> Two. </CAPTION><CONCLUSION> 2 </CONCLUSION>"})
{'question': 'How many?', 'answer': '2', 'caption': 'Two.'}
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from srpo.data.config import AdapterName
from srpo.data.fields import RowError, to_text
from srpo.data.jsonl import parse_json
from srpo.data.pictures import find_pictures, in_parts
from srpo.data.placeholders import PLACEHOLDER

Values = Mapping[str, Any]

QUESTIONS = ("question", "query", "problem", "prompt", "instruction")
ANSWERS = ("answer", "gold", "ground_truth", "gt_answer", "target", "final_answer", "solution")
"""Columns that are understood without a mapping; the first that is there wins. `solution` is R1-V's name for the gold,
and elsewhere stands beside one."""


class Adapter(NamedTuple):
    """One pool's format."""

    name: AdapterName
    fits: Callable[[Values], bool]
    """Whether a row can only be of this format."""
    read: Callable[[Values], dict[str, Any]]
    """The fields that the format spells in its own way; raises RowError. `id` and the like have common names."""
    columns: Mapping[str, str]
    """Which column a field comes from, for messages."""


def named(name: str) -> Adapter:
    """The adapter called `name`."""
    return next(adapter for adapter in _ADAPTERS if adapter.name == name)


def detect(rows: Sequence[Values]) -> Adapter | None:
    """The format of these rows; None when each field has a column of its own."""
    return next((adapter for adapter in _ADAPTERS if any(adapter.fits(row) for row in rows)), None)


def _read_llava_cot(row: Values) -> dict[str, Any]:
    if "conversations" in row:
        question, content = _one_exchange(row, "conversations")
    else:
        question, content = row.get("query", row.get("question")), _as_text(row.get("content"), "content")
    answer = row.get("answer") or _concluded(content)
    return {"question": question, "answer": answer, "caption": _tag(content, "CAPTION")} | _pictures(row)


def _read_mulberry(row: Values) -> dict[str, Any]:
    question, content = _one_exchange(row, "messages")
    _, found, answer = content.rpartition(_FINAL)
    if not found:
        raise RowError(f"column 'messages': the reply has no {_FINAL!r}")
    caption = _DESCRIPTION.search(content)
    fields = {"question": _bare_question(question), "answer": _bare_answer(answer)}
    return fields | {"caption": caption[1].strip() if caption else ""} | _pictures(row)


def _read_mathv360k(row: Values) -> dict[str, Any]:
    question, answer = _one_exchange(row, "conversations")
    return {"question": _bare_question(question), "answer": _bare_answer(answer)} | _pictures(row)


def _read_verl(row: Values) -> dict[str, Any]:
    extra = row.get("extra_info")
    extra = extra if isinstance(extra, Mapping) else {}
    gold = row.get("reward_model")
    if not isinstance(gold, Mapping) or gold.get("ground_truth") is None:
        raise RowError("column 'reward_model': no ground_truth")
    # The prompt holds the trainer's instructions; most preparation scripts keep the question itself beside it.
    asked = _last(_turns(row, "prompt"), "user", "prompt")
    question = _marked(asked, to_text(extra.get("question"), "extra_info.question")) or asked
    fields = {"question": question, "answer": gold["ground_truth"], "family": row.get("data_source")}
    return fields | _pictures(row) | {name: extra[name] for name in ("choices", "kind") if extra.get(name)}


def _read_chat(row: Values) -> dict[str, Any]:
    column = _chat_column(row) or "messages"
    turns = _turns(row, column)
    name = next((name for name in ANSWERS if to_text(row.get(name), name).strip()), None)
    gold = row[name] if name else _replied(turns, column)
    pictures = find_pictures(row) or in_parts(_parts(_messages(row[column])))
    return {"question": _asked(turns, column), "answer": gold, "images": pictures}


def _replied(turns: Sequence[tuple[str, str]], column: str) -> str:
    """The reply as the gold, where it is no more than an answer or marks one."""
    reply = _last(turns, "assistant", column)
    if len(reply) > _SHORT_REPLY and not any(mark in reply for mark in ("</answer>", "\\boxed", "####")):
        reason = f"column {column!r}: the reply is a whole text, and no column has the gold"
        raise RowError(reason, f"{reason} ({len(reply):,} characters); name one with mapping.answer")
    return _bare_answer(reply)


def _chat_column(row: Values) -> str | None:
    """The column with turns; None where a question has a column of its own."""
    if any(isinstance(row.get(name), str) and _messages(row[name]) == [] for name in QUESTIONS):
        return None
    return next((name for name in _CHATS if any(_ROLES & turn.keys() for turn in _messages(row.get(name)))), None)


def _has_conclusion(row: Values) -> bool:
    texts = [row.get("content"), *(turn.get("value") for turn in _mappings(row.get("conversations")))]
    return any(isinstance(text, str) and "<CONCLUSION>" in text for text in texts)


def _has_final(row: Values) -> bool:
    return any(_FINAL in turn["content"] for turn in _mappings(row.get("messages")) if _is_text(turn.get("content")))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ADAPTERS: tuple[Adapter, ...] = (
    Adapter(
        "llava-cot",
        _has_conclusion,
        _read_llava_cot,
        {"question": "conversations or query", "answer": "CONCLUSION", "caption": "CAPTION"},
    ),
    Adapter(
        "mulberry",
        _has_final,
        _read_mulberry,
        {"question": "messages", "answer": "messages", "caption": "messages"},
    ),
    Adapter(
        "mathv360k",
        lambda row: "image" in row and any("value" in turn for turn in _mappings(row.get("conversations"))),
        _read_mathv360k,
        {"question": "conversations", "answer": "conversations"},
    ),
    Adapter(
        "verl",
        lambda row: "prompt" in row and isinstance(row.get("reward_model"), Mapping),
        _read_verl,
        {"question": "prompt", "answer": "reward_model.ground_truth", "family": "data_source"},
    ),
    Adapter(
        "chat",
        lambda row: _chat_column(row) is not None,
        _read_chat,
        {"question": "messages", "answer": "answer or reply", "images": "images"},
    ),
)
"""In the order in which they are tried; LLaVA-CoT's conversations would also pass for MathV360K's."""

_CHATS = ("messages", "conversations", "message", "conversation", "prompt")
_ROLES = frozenset(("role", "from"))
_ASKERS = frozenset(("human", "user"))
_SHORT_REPLY = 200
"""Characters of a reply that can be nothing but an answer."""
_FINAL = "### The final answer is:"
_DESCRIPTION = re.compile(r"### Image Description:\s*(.*?)\s*(?=###|\Z)", re.DOTALL)
_HINT = re.compile(r"\A(?:\s*<image>)*\s*(?:hint:[^\n]*\n)?\s*(?:question:)?\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\A\s*(?:the )?(?:final )?answer(?: is:?|:)\s*", re.IGNORECASE)


def _bare_question(text: str) -> str:
    """Without the hint on how to answer, which belongs to their prompt, and the label before the question."""
    return _marked(text, _HINT.sub("", text, count=1).strip())


def _marked(asked: str, question: str) -> str:
    """The question with the placeholders of what was asked, which it may have lost: they are counted later on."""
    lost = PLACEHOLDER.findall(asked)[len(PLACEHOLDER.findall(question)) :] if question else ()
    return "".join(lost) + question


def _bare_answer(text: str) -> str:
    return _ANSWER.sub("", text, count=1).strip().strip("*").removesuffix(".").strip()


def _concluded(content: str) -> str:
    if "<CONCLUSION>" not in content:
        raise RowError("no <CONCLUSION> in the reply, and no column 'answer'")
    return _bare_answer(_tag(content, "CONCLUSION"))


def _tag(content: str, name: str) -> str:
    """The text of the last block of this name; one that is never closed goes to the end."""
    return content.rpartition(f"<{name}>")[2].partition(f"</{name}>")[0].strip() if f"<{name}>" in content else ""


def _one_exchange(row: Values, column: str) -> tuple[str, str]:
    """Question and reply of a conversation that has one of each; longer ones depend on what was said before."""
    turns = _turns(row, column)
    return _asked(turns, column), _last(turns, "assistant", column)


def _asked(turns: Sequence[tuple[str, str]], column: str) -> str:
    asked = [text for who, text in turns if who in _ASKERS]
    if len(asked) != 1:
        raise RowError(f"column {column!r}: {len(asked)} questions in one conversation; only single ones are used")
    return asked[0]


def _last(turns: Sequence[tuple[str, str]], role: str, column: str) -> str:
    said = [text for who, text in turns if who == role or (role == "assistant" and who == "gpt")]
    if not said:
        raise RowError(f"column {column!r}: nobody speaks as {role}")
    return said[-1]


def _turns(row: Values, column: str) -> list[tuple[str, str]]:
    """Role and text of each turn, in either of the two spellings."""
    value = row.get(column)
    turns = _messages(value)
    if isinstance(value, str) and not turns:
        return [("user", value)]
    if not turns:
        raise RowError(f"column {column!r}: expected a list of turns, got {type(value).__name__}")
    return [
        (str(turn.get("from", turn.get("role"))), _as_text(turn.get("value", turn.get("content")), column))
        for turn in turns
    ]


def _as_text(content: Any, column: str) -> str:
    """The text of a turn; of its other parts, those that are pictures and not in a column are read by `in_parts`."""
    if isinstance(content, str):
        return content
    parts = _mappings(content)
    if not parts:
        raise RowError(f"column {column!r}: expected a text, got {type(content).__name__}")
    return "".join(to_text(part.get("text"), column) for part in parts)


def _parts(turns: Iterable[Values]) -> Iterator[Any]:
    for turn in turns:
        yield from _mappings(turn.get("content", turn.get("value")))


def _pictures(row: Values) -> dict[str, Any]:
    return {"images": found} if (found := find_pictures(row)) is not None else {}


def _messages(value: Any) -> list[Mapping[str, Any]]:
    """The turns of a conversation, which MM-EUREKA keeps as the text of a JSON list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value.encode())
        except (ValueError, RecursionError):
            return []
    return _mappings(value)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []
