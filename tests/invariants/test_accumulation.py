"""Micro-batches change memory, not the result: their gradients add up to the whole batch's, in SFT and every loss."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder
from srpo.rl.metrics import PieceStats
from srpo.rl.pieces import num_tokens
from srpo.rl.rollout import Trajectory, TrajectoryGroup
from srpo.rl.train import accumulate_gradients, with_checked_logprobs
from srpo.sft.examples import make_examples
from srpo.sft.train import accumulate_sft_gradients as accumulate_sft
from tests.support.training import about, problems, rl_config, sft_config, trace


def gradients(policy: Policy) -> dict[str, Tensor]:
    found = {name: weight.grad.clone() for name, weight in policy.model.named_parameters() if weight.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    return found


def assert_same(ours: dict[str, Tensor], whole: dict[str, Tensor]) -> None:
    assert ours.keys() == whole.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert largest > 1e-4, "a gradient of zero would equal anything"
    for name, gradient in whole.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5 * largest, rtol=0, msg=about(name))


@pytest.mark.parametrize("choice", ["all", "right", "none"])
def test_sft_micro_batches(tiny_policy: Policy, choice: str) -> None:
    config = sft_config(Path("m"), Path("t"), first_attempt_loss=choice)
    drawn = problems()[:5]
    # Two traces of one problem, so that the shared prompt is part of the comparison.
    traces = [trace(problem, "9") for problem in drawn] + [trace(drawn[0], drawn[0].answer)]
    batch = make_examples(traces, tiny_policy, config).kept
    encoder = PromptEncoder(tiny_policy, "bare", size=8, max_pixels=None)
    loss = sum(piece.loss for piece in accumulate_sft(tiny_policy, encoder, batch, None))
    whole = gradients(tiny_policy)
    for size in (1, 4):
        other = sum(piece.loss for piece in accumulate_sft(tiny_policy, encoder, batch, size))
        assert other == pytest.approx(loss, abs=1e-6)
        assert_same(gradients(tiny_policy), whole)


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "gspo", "cispo"])
def test_rl_pieces(tiny_checkpoint: Callable[[str], Path], variant: str) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), freeze_vision=False)
    encoder = PromptEncoder(policy, "bare", size=8, max_pixels=None)
    drawn = problems()[:3]
    random = torch.Generator().manual_seed(0)
    groups: list[TrajectoryGroup] = []
    for problem, prompt in zip(drawn, encoder.encode_all(drawn), strict=True):
        trajectories: list[Trajectory] = []
        for text, advantage in (("<think>1</think>", 1), ("<answer>22</answer> and more", -1), ("3", 0.5)):
            tokens = tuple(policy.encode_text(text))
            # Old log-probs far from the policy's, so that ratios and clipping take part.
            old = tuple((-6 + torch.randn(len(tokens), generator=random)).tolist())
            trajectories.append(
                Trajectory(
                    token_ids=tokens, logprobs=old, trace=trace(problem, "9"), advantages=(advantage,) * len(tokens)
                )
            )
        groups.append(TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=tuple(trajectories)))

    def learn_by_tokens(most: int) -> tuple[int, float, dict[str, Tensor]]:
        config = rl_config(Path("m"), loss={"variant": variant, "kl_coef": 0.1}, micro_tokens=most)
        pieces = accumulate_gradients(policy, reference, groups, config, on_policy=False)
        return len(pieces), sum(piece.loss for piece in pieces), gradients(policy)

    def learn(micro_prompts: int | None, micro_responses: int | None = None) -> tuple[float, dict[str, Tensor]]:
        changes: dict[str, Any] = {"micro_prompts": micro_prompts, "micro_responses": micro_responses}
        config = rl_config(Path("m"), loss={"variant": variant, "kl_coef": 0.1}, **changes)
        pieces = accumulate_gradients(policy, reference, groups, config, on_policy=False)
        rows = [3 * size for size in {None: (3,), 1: (1, 1, 1), 2: (2, 1)}[micro_prompts]]
        assert len(pieces) == sum(-(-count // (micro_responses or count)) for count in rows)
        return sum(piece.loss for piece in pieces), gradients(policy)

    reference = load_policy(tiny_checkpoint("qwen2_5_vl"), trainable=False)
    loss, whole = learn(None)
    for sizes in ((1, None), (2, None), (1, 1), (2, 4), (None, 2)):
        other, ours = learn(*sizes)
        assert other == pytest.approx(loss, rel=1e-5)
        assert_same(ours, whole)
    one, longest = num_tokens(groups[0]), max(len(row.token_ids) for row in groups[0].trajectories_G)
    by_tokens = {1: 9, one: 3, 2 * one + one // 2: 2, groups[0].prompt.num_tokens + longest: None, 10 * one: 1}
    for most, count in by_tokens.items():
        found, other, ours = learn_by_tokens(most)
        assert found == count if count else 3 < found < 9
        assert other == pytest.approx(loss, rel=1e-5)
        assert_same(ours, whole)


@pytest.mark.parametrize("on_policy", [True, False])
def test_what_the_sampler_drew_too_rarely_counts_for_more(
    tiny_checkpoint: Callable[[str], Path], on_policy: bool
) -> None:
    """A sampler that gives every token 2/3 of the trainer's probability: importance weights make it good."""
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), freeze_vision=False)
    problem = problems()[0]
    [prompt] = PromptEncoder(policy, "bare", size=8, max_pixels=None).encode_all([problem])
    bare = [
        Trajectory(
            token_ids=(tokens := tuple(policy.encode_text(text))),
            logprobs=(0.0,) * len(tokens),
            trace=trace(problem, "9"),
            advantages=(advantage,) * len(tokens),
        )
        for text, advantage in (("<think>1</think>", 1.0), ("<answer>22</answer> and more", -1.0))
    ]
    group = TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=tuple(bare))
    [scored] = with_checked_logprobs(policy, [group], rl_config(Path("m")))
    drawn_G = [
        replace(one, logprobs=tuple(value - math.log(1.5) for value in one.trainer_logprobs))
        for one in scored.trajectories_G
    ]
    drawn = replace(scored, trajectories_G=tuple(drawn_G))

    def learn(cap: float | None) -> tuple[PieceStats, dict[str, Tensor]]:
        config = rl_config(Path("m"), loss={"importance_cap": cap})
        [stats] = accumulate_gradients(policy, None, [drawn], config, on_policy=on_policy)
        return stats, gradients(policy)

    plain, plain_gradients = learn(None)
    assert plain.mismatch == pytest.approx(math.log(1.5), rel=1e-4)
    for cap, weight in ((2.0, 1.5), (1.2, 1.2)):
        stats, ours = learn(cap)
        assert (stats.stats.importance, stats.stats.ratio) == pytest.approx((weight, 1.0), rel=1e-4)
        assert_same(ours, {name: weight * gradient for name, gradient in plain_gradients.items()})
