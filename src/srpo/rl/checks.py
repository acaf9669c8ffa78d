"""What must hold before RL may learn; each refusal says what was found and what to do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from srpo.core.records import FormatError, Style, Trace
from srpo.policy.vision_check import MIN_EFFECT, image_effect
from srpo.rl.config import RlConfig
from srpo.rl.metrics import PieceStats, mean_mismatch
from srpo.rl.rollout import Rollout, TrajectoryGroup

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

_EXCERPT = 300


def check_start(config: RlConfig, policy: "Policy", first: Rollout) -> None:
    """Refuse to train when the first rollout shows that it would be in vain."""
    traces = [trace for group in first.groups for trace in group.traces]
    if not traces:
        raise ValueError(f"no picture of the first {config.num_prompts} problems can be read; see `srpo data check`")
    check_format_rate(traces, config.style, config.min_format_rate)
    if config.check_images:
        check_image_effect(policy, first.groups)


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


def check_mismatch(config: RlConfig, pieces: Sequence[PieceStats]) -> None:
    """Refuse to learn from what another program drew when it disagrees with the trainer beyond rounding."""
    mismatch = mean_mismatch(pieces)
    if config.sampler.kind == "local" or mismatch <= config.sampler.max_mismatch:
        return
    raise ValueError(
        f"vLLM's log-probabilities differ from the trainer's by {mismatch:.3g} nats a token, above "
        f"sampler.max_mismatch {config.sampler.max_mismatch:g}: it serves other weights, another type (dtype "
        f"{config.dtype!r}, quantize {config.quantize!r}) or other sampling settings. Mend that, or raise max_mismatch "
        "if you know the reason"
    )


def without_signal(rows: Iterable[Mapping[str, object]]) -> str | None:
    """What to say of a run whose steps had nothing to learn from, by its metrics; None where all had something.

    A reward that looks fine says nothing here: golds that no response reaches leave every group alike.
    """
    kept = [row["rl/groups/kept"] for row in rows if "rl/groups/kept" in row]
    if not (empty := kept.count(0.0)):
        return None
    return (
        f"{empty} of {len(kept)} steps learned nothing: no group had responses that were rewarded differently "
        "and passed the online filter. `srpo data check` finds golds that no response can reach; else the problems are "
        "too easy or too hard"
    )


def check_image_effect(policy: "Policy", groups: Sequence[TrajectoryGroup]) -> None:
    """Refuse to train a policy that does not see: exchanging the pictures must move its log-probabilities."""
    seeing = [group for group in groups if group.problem.images]
    if not seeing:
        return
    prompts_P = [group.prompt for group in seeing]
    effect = image_effect(policy, prompts_P, [[group.trajectories_G[0].token_ids] for group in seeing])
    if effect.max_abs < MIN_EFFECT:
        raise ValueError(
            f"exchanging the pictures of {effect.num_prompts} prompts moves no log-probability by more than "
            f"{effect.max_abs:.2g} nats: the model does not see them. Check that the checkpoint's vision weights were "
            "loaded; to train all the same set check_images: false"
        )


def _is_truncated(trace: Trace) -> bool:
    return trace.tokens is not None and trace.tokens.truncated
