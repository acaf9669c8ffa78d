"""`srpo reward FILE.jsonl`: what recorded responses earn under a reward preset, term by term.

Rows are `{id, gold, response, kind?, choices?, question?, num_tokens?, first_tokens?}`; `response` is the raw text.
Each gives `{id, terms: {name: {score, weight}}, total, outcome, note}`; a gold that cannot be graded makes the total
null.

The length term needs lengths in tokens: `num_tokens` of the whole response and `first_tokens` of its first think and
answer, tags included. Rows without them are counted by a simple rule, since there is no tokenizer here: a tag, a run of
letters or digits, a CJK sign and any other visible character is one token each. Both lengths follow the same rule, and
only their ratio matters.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

from pydantic import ValidationError, field_validator

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import (
    OUTCOMES,
    FormatError,
    GradedText,
    Outcome,
    Problem,
    Record,
    Response,
    Reward,
    Style,
    TokenCounts,
    outcome_of,
)
from srpo.core.response import first_attempt_end, parse
from srpo.core.rewards import Preset, reward
from srpo.rl.config import current_preset

Score = Callable[[Problem, str, Style], GradedText]

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"</?(?:think|answer|reflection)>|[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


class RewardOptions(Record):
    """What recorded responses earn under a reward preset, term by term.

    The length term needs lengths in tokens. Rows may bring them (num_tokens of the whole response and first_tokens of
    its first think and answer); others are counted by a simple rule.
    """

    file: Annotated[str, Positional("FILE.jsonl")]
    """Rows {id, gold, response, kind?, choices?, question?, num_tokens?, first_tokens?}; - reads standard input."""
    preset: Preset = "paper"
    """Which reward."""
    style: Style | None = None
    """Wanted format (null: reflective, and for preset answer single unless the text has the five blocks)."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print one JSON object {id, terms, total, outcome, note} per row."""

    @field_validator("preset", mode="before")
    @classmethod
    def _todays_preset(cls, value: Any) -> Any:
        return current_preset(value)


class Row(NamedTuple):
    """One line of the input."""

    id: str | int
    problem: Problem
    response: str
    tokens: TokenCounts


class Result(NamedTuple):
    """One line of the output."""

    id: str | int
    reward: Reward | None
    """None when the gold cannot be graded."""
    outcome: Outcome | None
    note: str | None
    """Why the gold cannot be graded, or what is wrong with the format."""

    def as_json(self) -> dict[str, Any]:
        """The output row."""
        terms = () if self.reward is None else self.reward.terms
        return {
            "id": self.id,
            "terms": {term.name: {"score": term.score, "weight": term.weight} for term in terms},
            "total": None if self.reward is None else round(self.reward.total, 12),
            "outcome": self.outcome,
            "note": self.note,
        }


def reward_file(options: RewardOptions) -> int:
    """Print what each row earns, ungradable golds included. ValueError names file and line of a bad row."""
    rows = list(_read(options.file))
    # Graders are loaded when they are needed; a bad row does not need them.
    from srpo.grading import RULES_ONLY

    results = [reward_row(row, options.preset, options.style, RULES_ONLY.grade_response) for row in rows]
    if options.as_json:
        for result in results:
            print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        print("\n".join(_table(results)))
    return 0


def reward_row(row: Row, preset: Preset, style: Style | None, score: Score) -> Result:
    """Grade and reward one row; `score(problem, text, style)` parses and grades."""
    if style is None:
        plain = preset == "answer" and not isinstance(parse(row.response), Response)
        style = "single" if plain else "reflective"
    scored = score(row.problem, row.response, style)
    earned = reward(
        preset,
        text=row.response,
        parsed=scored.parsed,
        first=scored.first_grade,
        final=scored.final_grade,
        tokens=row.tokens,
        style=style,
    )
    note = None
    if earned is None:
        ungradable = scored.first_grade if scored.first_grade.verdict == "ungradable" else scored.final_grade
        note = f"ungradable: {ungradable.reason}"
    elif isinstance(scored.parsed, FormatError):
        note = f"format: at character {scored.parsed.where}, {scored.parsed.what}"
    return Result(row.id, earned, outcome_of(scored.first_grade, scored.final_grade), note)


def count_tokens(text: str) -> int:
    """Tokens by the rule of the module docstring.

    >>> count_tokens("<answer>3+4=7 bars</answer>"), count_tokens("答案是7")
    (8, 4)
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def read_rows(lines: Iterable[bytes], name: str) -> Iterator[Row]:
    """Rows of a JSONL file called `name`; ValueError with `name:line` for one that cannot be used."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            found = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}: not a line of JSON: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{place}: expected an object with id, gold and response, got {type(found).__name__}")
        yield _row(found, place)


def _read(file: str) -> Iterator[Row]:
    if file == "-":
        yield from read_rows(sys.stdin.buffer, "stdin")
    else:
        with Path(file).open("rb") as lines:
            yield from read_rows(lines, file)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _row(found: Mapping[str, Any], place: str) -> Row:
    identity = _field(found, "id", (str, int), place)
    gold = _field(found, "gold", (str, int, float), place)
    response = _field(found, "response", (str,), place)
    choices = found.get("choices") or ()
    if not isinstance(choices, list | tuple) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError(f"{place}: choices must be a list of texts, got {choices!r}")
    kind = None if found.get("kind") is None else _field(found, "kind", (str,), place)
    question = _field(found, "question", (str,), place) if found.get("question") is not None else ""
    try:
        problem = Problem(
            id=str(identity), question=question, answer=str(gold), choices=tuple(choices), kind=kind, source=place
        )
        # Records keep lone surrogates but cannot be written with them.
        problem.model_dump_json()
    except (ValidationError, ValueError) as error:
        raise ValueError(f"{place}: not a usable problem: {error}") from error
    return Row(identity, problem, response, _tokens(found, response, place))


def _tokens(found: Mapping[str, Any], response: str, place: str) -> TokenCounts:
    given = [found.get("num_tokens"), found.get("first_tokens")]
    if given == [None, None]:
        end = first_attempt_end(response)
        first = 0 if end is None else count_tokens(response[:end])
        return TokenCounts(prompt=0, total=count_tokens(response), first=first)
    if None in given:
        raise ValueError(f"{place}: num_tokens and first_tokens belong together; give both or neither")
    total, first = (_field(found, key, (int,), place) for key in ("num_tokens", "first_tokens"))
    if not 0 <= first <= total:
        raise ValueError(f"{place}: need 0 <= first_tokens <= num_tokens, got {first!r} and {total!r}")
    return TokenCounts(prompt=0, total=total, first=first)


def _field(found: Mapping[str, Any], key: str, types: tuple[type, ...], place: str) -> Any:
    if key not in found:
        raise ValueError(f"{place}: no field {key!r}; this row has {sorted(found)}")
    value = found[key]
    if not isinstance(value, types) or isinstance(value, bool):
        wanted = " or ".join({"str": "text", "int": "whole number", "float": "number"}[kind.__name__] for kind in types)
        raise ValueError(f"{place}: {key} must be {wanted}, got {value!r}")
    return value


def _table(results: Sequence[Result]) -> Iterator[str]:
    width = max([2, *(len(str(result.id)) for result in results)])
    for result in results:
        terms = () if result.reward is None else result.reward.terms
        total = "    -" if result.reward is None else f"{result.reward.total:5.2f}"
        parts = "  ".join(f"{term.name} {term.value:+.2f}" for term in terms)
        note = "" if result.note is None else f"  [{result.note}]"
        yield f"{result.id!s:<{width}}  {total}  {result.outcome or '-':<11}  {parts}{note}"
    totals = [result.reward.total for result in results if result.reward is not None]
    outcomes = Counter(result.outcome for result in results)
    shares = ", ".join(f"{outcome} {outcomes[outcome]}" for outcome in OUTCOMES)
    mean = f"mean total {sum(totals) / len(totals):.3f}, " if totals else ""
    yield f"{len(results)} rows: {mean}{shares}, ungradable {len(results) - len(totals)}"


COMMAND = Command(RewardOptions, reward_file)
