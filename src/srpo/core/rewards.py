r"""What a response earns: the reward of the paper (v3, eq. 4-8) and the presets to compare it with.

| preset | terms |
|---|---|
| `paper` | format x 0.5, accuracy (FIRST answer) x 0.5, effect (-0.25 to 0.5), reflection (0.25), length x 0.1 |
| `release-openrlhf` | as the authors' released code pays: accuracy if EITHER answer is right, no reflection term |
| `answer` | format x 0.5, accuracy (final answer) x 1; one attempt, or five blocks paid by their last answer |

At full format, reflection and length `paper` pays right->right 1.60, wrong->right 1.35, right->wrong 1.10 and
wrong->wrong 0.85: a first attempt that is wrong on purpose loses 0.5 of accuracy to gain 0.25 of effect. The released
code has it the other way round (wrong->right 1.60, right->right 1.35, right->wrong 0.85, wrong->wrong 0.60); its preset
reproduces that, and none of the crashes.

    >>> from srpo.core.response import parse
    >>> right = Grade(verdict="correct", extracted="7", reason="")
    >>> wrong = Grade(verdict="incorrect", extracted="5", reason="")
    >>> text = "<think>a</think><answer>5</answer><reflection>I missed the red bar</reflection>"
    >>> text += "<think>b</think><answer>7</answer>"
    >>> tokens = TokenCounts(prompt=10, first=20, total=40)
    >>> known = {"text": text, "parsed": parse(text), "tokens": tokens}
    >>> round(reward("paper", first=wrong, final=right, **known).total, 9)
    1.35

Terms are independent of each other, as in the paper: a broken format costs the format term, and the others are paid by
what can still be read (`response.pieces`). A missing answer is an incorrect one, so a right first answer without a
second counts as right->wrong; without a reflection block that term is 0, without a first attempt the length term is 0.
Nothing raises and nothing is swallowed.
"""

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from srpo.core.records import (
    FormatError,
    Grade,
    Outcome,
    Parsed,
    Problem,
    Response,
    Reward,
    Style,
    Term,
    TokenCounts,
    outcome_of,
)
from srpo.core.response import pieces

Preset = Literal["paper", "release-openrlhf", "answer"]

WEIGHTS: dict[Preset, dict[str, float]] = {
    "paper": {"format": 0.5, "accuracy": 0.5, "effect": 1.0, "reflection": 1.0, "length": 0.1},
    "release-openrlhf": {"format": 0.5, "accuracy": 0.5, "effect": 1.0, "length": 0.1},
    "answer": {"format": 0.5, "accuracy": 1.0},
}
"""The terms of each preset and what they weigh (paper eq. 4: alpha is the weight of the length)."""

EFFECT: dict[Outcome, float] = {"right→right": 0.25, "wrong→right": 0.5, "wrong→wrong": 0.0, "right→wrong": -0.25}
"""I_eff, paper eq. 6: what the second attempt made of the first."""

REFLECTION = 0.25
"""I_ref, paper eq. 7."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


class RewardCase(NamedTuple):
    """One graded response, as a reward function sees it."""

    problem: Problem
    text: str
    """As it was generated, special end tokens removed."""
    parsed: Parsed
    first: Grade
    final: Grade
    tokens: TokenCounts
    style: Style


def pay(
    case: RewardCase, preset: Preset, *, weights: Mapping[str, float] | None = None, length_floor: int = 0
) -> Reward | None:
    """What a graded response earns: `reward` of a `RewardCase`; None when it has no grade.

    Local RL, `srpo reward` and the shims of `srpo.engines` all take their numbers from here.
    """
    return reward(
        preset,
        text=case.text,
        parsed=case.parsed,
        first=case.first,
        final=case.final,
        tokens=case.tokens,
        style=case.style,
        weights=weights,
        length_floor=length_floor,
    )


def reward(
    preset: Preset,
    *,
    text: str,
    parsed: Parsed,
    first: Grade,
    final: Grade,
    tokens: TokenCounts,
    style: Style = "reflective",
    weights: Mapping[str, float] | None = None,
    length_floor: int = 0,
) -> Reward | None:
    """All terms of `preset` for one response, those that are 0 included; None when the gold is ungradable.

    Args:
        preset: Which reward.
        text: The raw text. Read only when the format is broken, to find the reflection that is there all the same.
        parsed: The text as it was read.
        first: Grade of the first answer, incorrect when there is none.
        final: Grade of the final answer, incorrect when there is none.
        tokens: Lengths in tokens: `total` of the whole response, `first` of its first think and first answer.
        style: `single` is possible with preset `answer` only.
        weights: Of terms that are to weigh other than the preset says; 0 leaves a term to the log alone.
        length_floor: Tokens below which the length term asks for no less (`length_score`).

    Raises:
        ValueError: The preset or a term is unknown, or the preset pays for a reflection that `single` does not have.
    """
    if style == "single" and preset != "answer":
        raise ValueError(f"preset {preset!r} needs the five blocks, which style 'single' lacks; use preset 'answer'")
    outcome = outcome_of(first, final)
    if outcome is None:
        return None
    scores = {"format": 0.0 if isinstance(parsed, FormatError) else 1.0}
    match preset:
        case "answer":
            scores["accuracy"] = float(final.is_correct)
        case "paper":
            scores["accuracy"] = float(first.is_correct)
        case "release-openrlhf":
            scores["accuracy"] = float(outcome != "wrong→wrong")
    if preset != "answer":
        reflection = parsed.reflection if isinstance(parsed, Response) else pieces(text).reflection
        scores["effect"] = EFFECT[outcome]
        scores["reflection"] = REFLECTION if says_something(reflection) else 0.0
        scores["length"] = length_score(tokens, length_floor)
    weighed = weights_of(preset, weights or {})
    return Reward(terms=tuple(Term(name=name, score=scores[name], weight=weight) for name, weight in weighed.items()))


def weights_of(preset: Preset, changes: Mapping[str, float]) -> dict[str, float]:
    """The weights of a preset's terms with `changes`; ValueError for an unknown preset, term or number.

    >>> weights_of("answer", {"format": 0.1})
    {'format': 0.1, 'accuracy': 1.0}
    """
    if preset not in WEIGHTS:
        raise ValueError(f"unknown preset {preset!r}; use one of {', '.join(WEIGHTS)}")
    weights = WEIGHTS[preset] | dict(changes)
    for name, weight in changes.items():
        if name not in WEIGHTS[preset]:
            raise ValueError(f"preset {preset!r} has no term {name!r} to weigh; it has {', '.join(WEIGHTS[preset])}")
        if not math.isfinite(weight):
            raise ValueError(f"weight {weight!r} of term {name!r} must be a finite number")
    return weights


def segment_rewards(reward: Reward) -> tuple[float, float]:
    """Split a `paper` reward between the first attempt and what follows it (credit `segment`).

    First part: the accuracy of the first answer and half of the format. Second part: what the second attempt made of
    the first (effect), the reflection, the length and the other half of the format. The parts add up to the total.
    Each is to be normalised within the group on its own. The effect is the difference that the second attempt makes,
    not its correctness: a repair may count more than a confirmation here, because the first attempt's tokens never
    see this part and cannot gain by being wrong (docs/design.md#what-we-add).

        >>> segment_rewards(Reward(terms=(Term(name="accuracy", score=1, weight=0.5), Term(name="effect", score=0.25,
        ...     weight=1), Term(name="format", score=1, weight=0.5))))
        (0.75, 0.5)
    """
    names = {term.name for term in reward.terms}
    if not {"accuracy", "effect"} <= names:
        raise ValueError(
            f"credit 'segment' needs the terms accuracy and effect, this reward has {sorted(names)}; use preset 'paper'"
        )
    first = sum(term.value * {"accuracy": 1.0, "format": 0.5}.get(term.name, 0.0) for term in reward.terms)
    second = sum(term.value * {"accuracy": 0.0, "format": 0.5}.get(term.name, 1.0) for term in reward.terms)
    return first, second


def length_score(tokens: TokenCounts, floor: int = 0) -> float:
    """f_len, paper eq. 8: 1 when the whole response is twice as long as its first attempt, falling off as a bell.

    exp(-(|L - T_target| / (T_max - T_target))^2) with T_target = 2x and T_max = 2.5x the tokens of the first attempt;
    0 when there is no first attempt.

    Twice a short guess is too short for looking again: `floor` is the least T_target, T_max being 1.25 times T_target
    as before. Ours; 0 is the paper's form.
    """
    if tokens.first <= 0:
        return 0.0
    target = max(2.0 * tokens.first, float(floor))
    return math.exp(-((abs(tokens.total - target) / (0.25 * target)) ** 2))


def says_something(reflection: str | None) -> bool:
    """True if a reflection holds at least two different words; a word is a run of letters or digits, or one CJK sign.

    The paper asks for a "meaningful" reflection; this is the part of it that a rule can check. "." and "ok ok" say
    nothing, "3+5=8" and "看错了" do.
    """
    first: str | None = None
    for match in _WORD.finditer(reflection or ""):
        word = match.group()[:64].casefold()
        if first is None:
            first = word
        elif word != first:
            return True
    return False
