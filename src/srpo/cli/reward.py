"""`srpo reward FILE.jsonl`: what recorded responses earn under a reward preset, term by term.

Rows are `{id, gold, response, kind?, choices?, question?, num_tokens?, first_tokens?}`; `response` is the raw text.
Each gives `{id, terms: {name: {score, weight}}, total, outcome, note}`; a gold that cannot be graded makes the total
null.

The length term needs lengths in tokens: `num_tokens` of the whole response and `first_tokens` of its first think and
answer, tags included. Rows without them are counted by a simple rule (`core.lengths`): there is no tokenizer here.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.lengths import rough_counts
from srpo.core.records import (
    OUTCOMES,
    FormatError,
    Outcome,
    Record,
    Response,
    Reward,
    Style,
    TokenCounts,
    outcome_of,
)
from srpo.core.response import parse
from srpo.core.rewards import Preset, pay
from srpo.core.visible import one_line
from srpo.data.jsonl import GoldRow, Located, PlainText, read_jsonl
from srpo.rl.config import current_preset

if TYPE_CHECKING:
    from srpo.grading import Score


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


class RewardRow(GoldRow):
    """One line of the input."""

    response: PlainText
    num_tokens: Annotated[int, Field(ge=0)] | None = None
    first_tokens: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _both_lengths(self) -> Self:
        total, first = self.num_tokens, self.first_tokens
        if (total is None) != (first is None):
            raise ValueError("num_tokens and first_tokens belong together; give both or neither")
        if total is not None and first is not None and first > total:
            raise ValueError(f"need first_tokens <= num_tokens, got {first} and {total}")
        return self

    @property
    def tokens(self) -> TokenCounts:
        """The lengths that the row gives, or those of the simple rule."""
        if self.num_tokens is not None and self.first_tokens is not None:
            return TokenCounts(prompt=0, total=self.num_tokens, first=self.first_tokens)
        return rough_counts(self.response)


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
    rows = list(read_jsonl(options.file, RewardRow))
    results = [reward_row(row, options.preset, options.style) for row in rows]
    if options.as_json:
        for result in results:
            print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        print("\n".join(_table(results)))
    return 0


def reward_row(found: Located[RewardRow], preset: Preset, style: Style | None, score: "Score | None" = None) -> Result:
    """Grade and reward one row; by the rules alone, unless `score(problem, text, style)` is given."""
    # Graders are loaded when they are needed; a bad row does not need them.
    from srpo.grading import RULES_ONLY, case_of

    row = found.row
    if style is None:
        plain = preset == "answer" and not isinstance(parse(row.response), Response)
        style = "single" if plain else "reflective"
    case = case_of(row.problem(found.place), row.response, row.tokens, style, score or RULES_ONLY.grade_response)
    earned = pay(case, preset)
    note = None
    if earned is None:
        grade = case.final if case.first.counts else case.first
        note = f"{grade.verdict}: {grade.reason}"
    elif isinstance(case.parsed, FormatError):
        note = f"format: at character {case.parsed.where}, {case.parsed.what}"
    return Result(row.id, earned, outcome_of(case.first, case.final), note)


def _table(results: Sequence[Result]) -> Iterator[str]:
    ids = [one_line(str(result.id)) for result in results]
    width = max([2, *map(len, ids)])
    for key, result in zip(ids, results, strict=True):
        terms = () if result.reward is None else result.reward.terms
        total = "    -" if result.reward is None else f"{result.reward.total:5.2f}"
        parts = "  ".join(f"{term.name} {term.value:+.2f}" for term in terms)
        note = "" if result.note is None else f"  [{one_line(result.note)}]"
        yield f"{key:<{width}}  {total}  {result.outcome or '-':<11}  {parts}{note}"
    totals = [result.reward.total for result in results if result.reward is not None]
    outcomes = Counter(result.outcome for result in results)
    shares = ", ".join(f"{outcome} {outcomes[outcome]}" for outcome in OUTCOMES)
    mean = f"mean total {sum(totals) / len(totals):.3f}, " if totals else ""
    yield f"{len(results)} rows: {mean}{shares}, ungradable {len(results) - len(totals)}"


COMMAND = Command(RewardOptions, reward_file)
