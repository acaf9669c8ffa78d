"""What must hold before RL may start; each refusal says what was found and what to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.records import FormatError, Problem, Style, Trace
from srpo.grading import grade_gold
from srpo.policy.vision_check import MIN_EFFECT, image_effect
from srpo.rl.rollout import Group

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

_EXCERPT = 300


class GradableProblems(NamedTuple):
    """The problems that RL can be rewarded on."""

    problems: tuple[Problem, ...]
    ungradable: tuple[tuple[str, str], ...]
    """Id and reason of the ones whose gold cannot be graded."""


def gradable(problems: Sequence[Problem], label: str) -> GradableProblems:
    """Leave out the problems whose gold cannot be graded; ValueError when none is left."""
    kept: list[Problem] = []
    ungradable: list[tuple[str, str]] = []
    for problem in problems:
        reason = grade_gold(problem)
        if reason is None:
            kept.append(problem)
        else:
            ungradable.append((problem.id, reason))
    if not kept:
        why = f"; the first: {ungradable[0][0]}: {ungradable[0][1]}" if ungradable else ""
        raise ValueError(f"data {label!r} has no problem whose gold answer can be graded{why}")
    return GradableProblems(tuple(kept), tuple(ungradable))


def check_format_rate(traces: Sequence[Trace], style: Style, least: float) -> None:
    """Refuse to train a policy that hardly ever writes the format: most of its rewards would be the same."""
    broken = [trace for trace in traces if not trace.has_format]
    rate = 1.0 - len(broken) / max(1, len(traces))
    if rate >= least:
        return
    example = next((trace for trace in broken if not _is_truncated(trace)), broken[0])
    error = example.parsed
    assert isinstance(error, FormatError)
    cut = sum(_is_truncated(trace) for trace in broken)
    raise ValueError(
        f"format rate {rate:.1%} of the first rollout ({len(traces)} responses) is below min_format_rate {least:.1%}; "
        f"GRPO cannot teach a format that is hardly ever sampled.\n"
        f"  first error: at character {error.where}: {error.what}\n"
        f"  in the text: {example.text[:_EXCERPT]!r}\n"
        f"  cut at max_tokens: {cut} of {len(broken)} broken responses\n"
        f"  what to do: start from a model that `srpo sft` trained with style {style!r} and the same prompt"
        f"{', or raise max_tokens' if cut else ''}; to train anyway, lower min_format_rate"
    )


def check_image_effect(policy: "Policy", groups: Sequence[Group]) -> None:
    """Refuse to train a policy that does not see: exchanging the pictures must move its log-probabilities."""
    seeing = [group for group in groups if group.problem.images]
    if not seeing:
        return
    prompts_P = [group.prompt for group in seeing]
    effect = image_effect(policy, prompts_P, [[group.samples_G[0].token_ids] for group in seeing])
    if effect.max_abs < MIN_EFFECT:
        raise ValueError(
            f"exchanging the pictures of {effect.num_prompts} prompts moves no log-probability by more than "
            f"{effect.max_abs:.2g} nats: the model does not see them. Check that the checkpoint's vision weights were "
            "loaded; to train all the same set check_images: false"
        )


def _is_truncated(trace: Trace) -> bool:
    return trace.tokens is not None and trace.tokens.truncated
