r"""The public pools' own formats: a raw row becomes the fields of a problem, before anything is checked.

    LLaVA-CoT-100k  `conversations` of human and gpt (or query, image, answer, content) with SUMMARY, CAPTION,
                    REASONING, CONCLUSION: the conclusion is the gold answer, the caption becomes `Problem.caption`
    Mulberry-SFT    `messages` of user and assistant with "### Image Description:" and "### The final answer is:"
    MathV360K       `conversations` with "Hint: ..", "Question: .." and a short answer
    verl            `prompt` messages, `reward_model.ground_truth`, `extra_info`; also a list of messages as the prompt
    columns         everything else: one column for each field (geometry3k's problem, answer, images; MMK12; ...)

>>> named("llava-cot").read({"query": "How many?", "content": "<CAPTION> Two. </CAPTION><CONCLUSION> 2 </CONCLUSION>"})
{'question': 'How many?', 'answer': '2', 'caption': 'Two.'}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from srpo.data.config import AdapterName
from srpo.data.fields import RowError

Values = Mapping[str, Any]


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
    question = extra.get("question") or _last(_turns(row, "prompt"), "user", "prompt")
    fields = {"question": question, "answer": gold["ground_truth"], "family": row.get("data_source")}
    return fields | _pictures(row) | {name: extra[name] for name in ("choices", "kind") if extra.get(name)}


def _has_conclusion(row: Values) -> bool:
    texts = [row.get("content"), *(turn.get("value") for turn in _mappings(row.get("conversations")))]
    return any(isinstance(text, str) and "<CONCLUSION>" in text for text in texts)


def _has_final(row: Values) -> bool:
    return any(_FINAL in str(turn.get("content")) for turn in _mappings(row.get("messages")))


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
)
"""In the order in which they are tried; LLaVA-CoT's conversations would also pass for MathV360K's."""

_FINAL = "### The final answer is:"
_DESCRIPTION = re.compile(r"### Image Description:\s*(.*?)\s*(?=###|\Z)", re.DOTALL)
_HINT = re.compile(r"\A(?:\s*<image>)*\s*(?:hint:[^\n]*\n)?\s*(?:question:)?\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\A\s*(?:the )?(?:final )?answer(?: is:?|:)\s*", re.IGNORECASE)


def _bare_question(text: str) -> str:
    """Without the hint on how to answer, which belongs to their prompt, and the label before the question."""
    return _HINT.sub("", text, count=1).strip()


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
    asked = [turn for turn in turns if turn[0] in {"human", "user"}]
    if len(asked) != 1:
        raise RowError(f"column {column!r}: {len(asked)} questions in one conversation; only single ones are used")
    return asked[0][1], _last(turns, "assistant", column)


def _last(turns: Sequence[tuple[str, str]], role: str, column: str) -> str:
    said = [text for who, text in turns if who == role or (role == "assistant" and who == "gpt")]
    if not said:
        raise RowError(f"column {column!r}: nobody speaks as {role}")
    return said[-1]


def _turns(row: Values, column: str) -> list[tuple[str, str]]:
    """Role and text of each turn, in either of the two spellings."""
    value = row.get(column)
    if isinstance(value, str):
        return [("user", value)]
    turns = _mappings(value)
    if not turns:
        raise RowError(f"column {column!r}: expected a list of turns, got {type(value).__name__}")
    return [
        (str(turn.get("from", turn.get("role"))), _as_text(turn.get("value", turn.get("content")), column))
        for turn in turns
    ]


def _as_text(content: Any, column: str) -> str:
    """The text of a turn; parts that are no text are pictures, which have a column of their own."""
    if isinstance(content, str):
        return content
    parts = _mappings(content)
    if not parts:
        raise RowError(f"column {column!r}: expected a text, got {type(content).__name__}")
    return "".join(str(part.get("text") or "") for part in parts)


def _pictures(row: Values) -> dict[str, Any]:
    return next(({"images": row[name]} for name in ("images", "image") if row.get(name) is not None), {})


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []
