"""Traces become training examples: a prompt, the target's tokens, and which of them carry loss.

The target is rendered from the parsed response through the one template that also writes the RL and eval prompts'
format, never copied from the raw text: what the policy learns to write is what the parser accepts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.prompts import Prompt
from srpo.core.records import Attempt, Problem, Response, Trace
from srpo.core.response import render, render_attempt
from srpo.policy.policy import first_attempt_tokens
from srpo.policy.prompts import PromptEncoder, read_prompt
from srpo.sft.config import FirstAttemptLoss, SftConfig

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One target for one prompt."""

    problem: Problem
    tokens: tuple[int, ...]
    """The target with its end token."""
    first_tokens: int
    """How many of them belong to the first attempt; all of them for style `single`."""
    skipped_tokens: int
    """How many leading tokens carry no loss."""

    @property
    def num_loss_tokens(self) -> int:
        """Tokens that carry loss."""
        return len(self.tokens) - self.skipped_tokens


class Examples(NamedTuple):
    """The examples, and why some traces are not among them."""

    kept: tuple[Example, ...]
    dropped: dict[str, int]
    """Reason -> number of traces."""


def make_examples(traces: Sequence[Trace], policy: "Policy", config: SftConfig) -> Examples:
    """Turn traces into examples for `policy`'s tokenizer; raises ValueError when none is left."""
    kept: list[Example] = []
    dropped: Counter[str] = Counter()
    asked = _askable(traces, policy, config)
    if num_long := len(traces) - len(asked):
        dropped[f"longer than max_prompt_tokens {config.max_prompt_tokens}"] = num_long
    for trace in asked:
        target = _target(trace, config)
        if target is None:
            dropped[f"not of style {config.style!r}" if trace.has_format else "format does not parse"] += 1
            continue
        try:
            tokens = policy.encode_text(target)
        except ValueError as error:
            dropped[str(error)] += 1
            continue
        if len(tokens) > config.max_tokens:
            dropped[f"longer than max_tokens {config.max_tokens}"] += 1
            continue
        first = len(tokens) if config.style == "single" else first_attempt_tokens(policy, tokens, target)
        assert first is not None, "a rendered response has a first answer"
        skipped = 0 if _learns_first(trace, config.first_attempt_loss) else first
        kept.append(Example(problem=trace.problem, tokens=tuple(tokens), first_tokens=first, skipped_tokens=skipped))
    if not kept:
        raise ValueError(
            f"none of the {len(traces)} traces in {', '.join(config.traces)} can be learned from "
            f"({_describe(dropped)}); check style and max_tokens, or run `srpo reflect` again"
        )
    return Examples(tuple(kept), dict(dropped))


def _askable(traces: Sequence[Trace], policy: "Policy", config: SftConfig) -> Sequence[Trace]:
    """The traces whose prompts are not too long."""
    if config.max_prompt_tokens is None:
        return traces
    encoder = PromptEncoder(policy, prompt_of(config), size=0, max_pixels=config.max_pixels)
    # Several traces are of one problem, whose picture need not be opened for each.
    problems = {
        (trace.problem.question, trace.problem.choices, trace.problem.images): trace.problem for trace in traces
    }
    short, _ = encoder.within(list(problems.values()), config.max_prompt_tokens)
    allowed = {(problem.question, problem.choices, problem.images) for problem in short}
    return [
        trace for trace in traces if (trace.problem.question, trace.problem.choices, trace.problem.images) in allowed
    ]


def prompt_of(config: SftConfig) -> Prompt:
    """The prompt around every question of the run."""
    return read_prompt(config.prompt, config.system, None)


def _target(trace: Trace, config: SftConfig) -> str | None:
    match trace.parsed:
        case Response() if config.style == "reflective":
            return render(trace.parsed)
        case Attempt() if config.style == "single":
            return render_attempt(trace.parsed)
        case _:
            return None


def _learns_first(trace: Trace, choice: FirstAttemptLoss) -> bool:
    return choice == "all" or (choice == "right" and trace.first_grade.is_correct)


def _describe(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "there are none"
