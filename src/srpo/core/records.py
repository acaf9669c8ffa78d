"""The one record that flows through every stage: `Trace`, and the values it is made of.

`reflect`, `rl` and `eval` write traces; `sft`, `report` and `show` read them. Everything here is frozen, rejects
unknown fields and survives `model_dump_json` / `model_validate_json` unchanged.

    >>> right = Grade(verdict="correct", extracted="7", reason="number: equal")
    >>> wrong = Grade(verdict="incorrect", extracted="5", reason="number: 5 is not 7")
    >>> outcome_of(wrong, right)
    'wrong→right'
"""

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator

SCHEMA_VERSION = 2
"""Raised whenever a field changes its meaning; readers refuse versions that they do not know, and bring older ones up
to date. Version 1 had `response` and `format_error` in place of `parsed`."""
READABLE_VERSIONS = (1, SCHEMA_VERSION)

Verdict = Literal["correct", "incorrect", "ungradable", "undecided"]
"""`ungradable`: the gold is of no use; `undecided`: computer algebra ran out of its CPU time. Neither counts."""
Outcome = Literal["right→right", "wrong→right", "right→wrong", "wrong→wrong"]
OUTCOMES: tuple[Outcome, ...] = ("right→right", "wrong→right", "right→wrong", "wrong→wrong")
OUTCOME_KEYS: dict[Outcome, str] = dict(zip(OUTCOMES, ("r2r", "w2r", "r2w", "w2w"), strict=True))
"""Names of the transitions in metrics."""
Stage = Literal["base", "reflect", "sft", "rl", "eval"]
Style = Literal["reflective", "single"]
"""`reflective`: the five blocks of docs/design.md#the-response; `single`: one think and one answer, for plain GRPO."""


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, field docstrings are the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Problem(Record):
    """A question about zero or more pictures, with the answer that counts as right."""

    id: str
    question: str
    answer: str
    """The gold answer as the data set states it."""
    images: tuple[str, ...] = ()
    """Where the pictures are: absolute file paths, or `drawn:<family>/<level>/<seed>` for pictures that we draw."""
    choices: tuple[str, ...] = ()
    """Option texts in order A, B, C, ...; empty for free-form questions."""
    kind: str | None = None
    """The gold's kind when the data set states it (see `srpo.grading`); otherwise it is worked out from the gold."""
    source: str = ""
    """Data set or file that the problem comes from; `file:line` for JSONL."""
    family: str = ""
    """Group in which results are broken down (`pairs`, `geometry`, ...)."""
    level: int | None = None
    """Difficulty, 1 is easiest."""
    chance: float | None = None
    """Accuracy of a blind guess, between 0 and 1, where it is known."""
    caption: str = ""
    """What the pictures show, in words, for those who read but do not see; empty where the data set has none."""


class Attempt(Record):
    """One think block and one answer block, texts without their tags."""

    think: str
    answer: str


class Response(Record):
    """First attempt, reflection, second attempt, whose answer is THE answer (docs/design.md#the-response)."""

    first: Attempt
    reflection: str
    second: Attempt


class FormatError(Record):
    """Why a text is not a response of the wanted style."""

    where: int
    """Character offset in the text at which the problem was noticed."""
    what: str
    """What is wrong there, in words."""


class Grade(Record):
    """Right, wrong, or no grade: what is ungradable or undecided is left out and counted, never silently 0."""

    verdict: Verdict
    extracted: str | None
    """The final answer that was taken out of the text; None when there is none."""
    reason: str
    """Which rule decided and why, for people."""

    @property
    def counts(self) -> bool:
        """Whether this is a grade at all: right or wrong."""
        return self.verdict in ("correct", "incorrect")

    @property
    def is_correct(self) -> bool:
        """True for `correct` only."""
        return self.verdict == "correct"


Parsed = Response | Attempt | FormatError
"""What a text is read as: the five blocks, one attempt, or why it is neither."""


class GradedText(NamedTuple):
    """What a generated text turned out to be."""

    parsed: Parsed
    first_grade: Grade
    final_grade: Grade


class Term(Record):
    """One part of a reward. Its contribution is `score * weight`."""

    name: str
    score: float
    weight: float

    @property
    def value(self) -> float:
        """What the term adds to the total."""
        return self.score * self.weight


class Reward(Record):
    """All terms of a reward, kept apart; loss, log and viewer read the same object."""

    terms: tuple[Term, ...]

    @property
    def total(self) -> float:
        """Sum of the terms' values."""
        return sum(term.value for term in self.terms)

    def score(self, name: str) -> float:
        """The unweighted score of the term called `name`; raises KeyError if the reward has no such term."""
        for term in self.terms:
            if term.name == name:
                return term.score
        raise KeyError(f"no reward term {name!r}; this reward has {[term.name for term in self.terms]}")


class Sampling(Record):
    """How a text was sampled. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0


class Origin(Record):
    """Where a trace comes from, enough to make it again."""

    stage: Stage
    model: str
    """Checkpoint directory or model name."""
    step: int | None = None
    """Optimizer step of the policy that wrote the text; None outside training."""
    sampling: Sampling | None = None
    prompt: str = ""
    """Name and version of the prompt, e.g. `reflective/v1`."""
    teacher: str | None = None
    """Who wrote reflection and second attempt, when that was not the policy."""
    srpo_version: str = ""
    commit: str = ""


class TokenCounts(Record):
    """Lengths in tokens; `total` counts every generated token, the end-of-sequence token included."""

    prompt: int
    total: int
    first: int = 0
    """First think and first answer, tags included."""
    truncated: bool = False
    """True when generation ran into `max_tokens`."""


class Trace(Record):
    """One response to one problem, with everything that was found out about it."""

    schema_version: int = SCHEMA_VERSION
    origin: Origin
    problem: Problem
    sample: int = 0
    """Index of the sample within its group (0 .. G-1)."""
    style: Style = "reflective"
    text: str
    """The generated text as it is, special end tokens removed."""
    parsed: Parsed
    """The text as it was read: a Response (reflective), an Attempt (single), or where its format breaks and how."""
    first_grade: Grade
    """Grade of the first answer. For style `single` it is the same as `final_grade`."""
    final_grade: Grade
    """Grade of THE answer. A text without a parsable answer is `incorrect`, unless the gold is ungradable."""
    reward: Reward | None = None
    advantage: float | None = None
    """Advantage within the group (for credit `segment`: of the second attempt)."""
    tokens: TokenCounts | None = None
    share_right: float | None = None
    """Right ones among all first attempts at this problem, between 0 and 1: its difficulty for the policy, by which a
    trainer can choose. Reflection data alone has it."""

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("schema_version") != 1 or "parsed" in value:
            return value
        known = {name: one for name, one in value.items() if name not in ("response", "format_error")}
        parsed = value.get("response") or value.get("format_error") or {"where": 0, "what": "no reason was recorded"}
        return known | {"schema_version": SCHEMA_VERSION, "parsed": parsed}

    @classmethod
    def of(
        cls,
        graded: GradedText,
        *,
        origin: Origin,
        problem: Problem,
        text: str,
        style: Style,
        sample: int = 0,
        tokens: TokenCounts | None = None,
        reward: Reward | None = None,
    ) -> Self:
        """The trace of a text that has been graded."""
        return cls(
            origin=origin,
            problem=problem,
            sample=sample,
            style=style,
            text=text,
            parsed=graded.parsed,
            first_grade=graded.first_grade,
            final_grade=graded.final_grade,
            reward=reward,
            tokens=tokens,
        )

    @property
    def has_format(self) -> bool:
        """Whether the text keeps the format of its style."""
        return not isinstance(self.parsed, FormatError)

    @property
    def outcome(self) -> Outcome | None:
        """The transition from first to final answer; None when either has no grade."""
        return outcome_of(self.first_grade, self.final_grade)


def outcome_of(first: Grade, final: Grade) -> Outcome | None:
    """Name the transition between two grades; None when either is ungradable or undecided."""
    if not (first.counts and final.counts):
        return None
    match first.is_correct, final.is_correct:
        case True, True:
            return "right→right"
        case False, True:
            return "wrong→right"
        case True, False:
            return "right→wrong"
        case _:
            return "wrong→wrong"


Where = Literal["source", "prompt", "attempt", "gold", "teacher", "selection", "response", "probe", "export"]


class Rejected(Record):
    """What was left out: a row, a problem, a sample or a trace. Made where the reason is first known."""

    where: Where
    """`source`: not a problem; `prompt`: the model cannot take it; `attempt`: the first attempt has no format; `gold`:
    ungradable; `teacher`: no acceptable reply; `selection`: good, but not wanted; `response`: nothing
    came of it in an evaluation; `probe`: nothing came of it with a disturbed picture; `export`: a trace that is no
    sample."""
    id: str
    """The problem's id; empty for rows of the source."""
    place: str
    """`file:line` of the problem."""
    sample: int | None = None
    """Which of the problem's samples; None for all of them."""
    reason: str
    """A short text that repeats, so that it can be counted."""
    detail: str = ""
    """What exactly was wrong here."""
    text: str = ""
    """The generated text that was turned down."""

    @classmethod
    def about(
        cls, problem: Problem, where: Where, reason: str, detail: str = "", *, sample: int | None = None, text: str = ""
    ) -> Self:
        """A problem, or one of the samples for it."""
        return cls(
            where=where, id=problem.id, place=problem.source, sample=sample, reason=reason, detail=detail, text=text
        )

    @classmethod
    def row(cls, place: str, reason: str, detail: str = "") -> Self:
        """A row of the source that is no problem."""
        return cls(where="source", id="", place=place, reason=reason, detail=detail or reason)

    @property
    def why(self) -> str:
        """Reason and detail as one text."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


DRAWN = "drawn:"
"""References with this beginning are drawn, not read."""


MarkStyle = Literal["auto", "reflective", "single"]
"""`auto`: reflective when the text opens a reflection block, else single."""
